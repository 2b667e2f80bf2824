"""How this process's C library gives memory back: not after every block of content.

glibc returns freed memory above a threshold at once, and its pages come back empty, one fault each. Sealing 256 KiB
then costs 160 page faults, which is more time than the cipher takes (measured: 5.0 against 2.3 ms of CPU a MB). With a
higher threshold at most KEPT_BYTES stay with the process. Source: mallopt(3).
"""

import ctypes
import logging

log = logging.getLogger(__name__)

KEPT_BYTES = 32 << 20
"""Freed memory at the end of the heap that is kept."""
MAPPED_BYTES_MIN = 4 << 20
"""Larger allocations are mapped by themselves, and given back by themselves."""

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> bool:
    """Set both thresholds for the whole process; False where the C library has no such call."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError) as error:
        log.debug("allocator_left_alone reason=%s", error)
        return False
    settings = ((_M_TRIM_THRESHOLD, KEPT_BYTES), (_M_MMAP_THRESHOLD, MAPPED_BYTES_MIN))
    return all(mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings)
