"""How slow this machine is at present, measured: on a busy one the demonstration beats slower and waits longer."""

import time
from collections.abc import Callable
from hashlib import sha256

PROBE_CPU_S = 0.1
"""Work of one measurement."""
SLOWNESS_MAX = 8.0
"""Slower is not waited for."""
BEAT_STRETCH_MAX = 4.0
_EASY = 2.0
"""Up to so much slowness the usual beat holds."""
_CHUNK = bytes(64 * 1024)


def measure_slowness(
    wall: Callable[[], float] = time.monotonic, cpu: Callable[[], float] = time.thread_time
) -> float:
    """Return how many seconds go by for one second of work of this thread, 1 to SLOWNESS_MAX.

    Args:
        wall: A clock, s.
        cpu: Of this thread's own work, s.
    """
    began, worked = wall(), cpu()
    while cpu() - worked < PROBE_CPU_S and wall() - began < PROBE_CPU_S * SLOWNESS_MAX:
        sha256(_CHUNK).digest()
    done = max(cpu() - worked, PROBE_CPU_S / SLOWNESS_MAX)
    return min(max((wall() - began) / done, 1.0), SLOWNESS_MAX)


def stretched_beat_s(beat_s: float, slowness: float) -> float:
    """Return the seconds between heartbeats on a machine of some slowness.

    A death shows later then, but nobody who is only late is taken for dead.
    """
    return round(beat_s * min(max(slowness / _EASY, 1.0), BEAT_STRETCH_MAX), 1)
