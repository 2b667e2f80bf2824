"""Work on many items that have nothing to do with each other, on all cores: the shell's `audit.Spread`.

Threads are enough where the time goes into signatures: libsodium and libsecp256k1 run without the interpreter's lock.
What is left to Python of each item still runs one after the other, and bounds what more cores can bring.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from skyops_p2p.limits import AUDIT_THREADS_MAX

Item = TypeVar("Item")
Result = TypeVar("Result")

_SLICE_MIN = 64
"""Fewer items than this are not worth a thread."""


def over_all_cores(work: Callable[[Item], Result], items: Sequence[Item], /) -> Sequence[Result]:
    """Apply a function to each item, a slice of them on each core; return the results in the order of the items.

    Args:
        work: Called from several threads at once.
        items: May be none.

    Raises:
        BaseException: What `work` raises for the first item for which it does.
    """
    threads = min(os.cpu_count() or 1, AUDIT_THREADS_MAX, len(items) // _SLICE_MIN)
    if threads < 2:
        return [work(item) for item in items]
    length = -(-len(items) // threads)
    slices = [items[start : start + length] for start in range(0, len(items), length)]
    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(lambda part: [work(item) for item in part], slices)
        return [result for part in done for result in part]
