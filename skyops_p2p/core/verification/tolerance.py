"""Are two arrays the same up to rounding? Counts, a cosine, and how both are calibrated. Pure.

Everything is symmetric: which of the two is the reference does not matter, so a verdict does not depend on an order.
Plain double arithmetic in the order of the elements, so every machine gets the same numbers. Spec:
protocol/06-verification.md, "Tolerance".
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WITHIN_PERMILLE_LEAST = 999
"""Elements that must be within the tolerance."""
ATOL_OF_RMS = 1e-5
"""Absolute tolerance, in root mean squares of the larger array: for what is zero but for rounding."""
CALIBRATION_FACTOR = 3
"""Tolerance in greatest distances of honest results, and least distance of cheats in tolerances."""
RTOL_LEAST = 1e-6
"""No calibrated tolerance is less: the unit in which specifications say it."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two elements, and two arrays, may be apart."""

    rtol: float
    """Relative to the larger of two elements."""
    cosine_gap: float
    """1 less the cosine between the arrays, at most."""


@dataclass(frozen=True, slots=True)
class Distance:
    """How far two arrays are apart."""

    elements: int
    within: int
    """Elements that are within the tolerance."""
    cosine_gap: float
    """0 to 2; 0 for arrays without a finite element other than 0."""

    def is_within(self, tolerance: Tolerance) -> bool:
        """Tell whether they count as equal. Rules: VER-12, VER-17."""
        is_near = self.within * 1000 >= WITHIN_PERMILLE_LEAST * self.elements
        return is_near and self.cosine_gap <= tolerance.cosine_gap


def tolerance_for(bits: int, asked: int = 0) -> Tolerance:
    """Return the tolerance of a kind of element.

    Args:
        bits: Of one element: 16, 32 or 64.
        asked: Largest relative difference that the specification asks for, millionths; 0: that of the kind.

    Rules: VER-17.
    """
    rtol, gap = (2e-2, 1e-3) if bits == 16 else (1e-4, 1e-6)
    if not asked:
        return Tolerance(rtol, gap)
    wanted = asked / 1_000_000
    return Tolerance(wanted, max(gap, wanted * wanted))


def measure(first: Sequence[float], second: Sequence[float], tolerance: Tolerance) -> Distance:
    """Compare two arrays of the same length, element by element.

    Not a number is equal to itself alone, an infinity to the same one; neither enters the means.

    Args:
        first: One worker's.
        second: Another's.
        tolerance: Of their kind.

    Rules: VER-17.
    """
    assert len(first) == len(second)
    peak = max(_peak(first), _peak(second))
    atol = ATOL_OF_RMS * max(_rms(first, peak), _rms(second, peak))
    within = 0
    rtol, isfinite = tolerance.rtol, math.isfinite
    for one, other in zip(first, second, strict=True):
        if one == other:
            within += 1
        elif isfinite(one) and isfinite(other):
            larger = max(abs(one), abs(other))
            within += abs(one - other) <= atol + rtol * larger
        else:
            within += math.isnan(one) and math.isnan(other)
    return Distance(len(first), within, _cosine_gap(first, second, peak))


def needed_rtol(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the least relative tolerance under which enough elements of two arrays are within; for calibration.

    Args:
        first: One worker's.
        second: Another's, as long; not empty.

    Returns:
        Infinity if too many are not finite in one of them alone.

    Rules: VER-18.
    """
    assert len(first) == len(second) > 0
    peak = max(_peak(first), _peak(second))
    atol = ATOL_OF_RMS * max(_rms(first, peak), _rms(second, peak))
    needed = sorted(_needed(one, other, atol) for one, other in zip(first, second, strict=True))
    return needed[-(-WITHIN_PERMILLE_LEAST * len(needed) // 1000) - 1]


def calibrate(honest: Iterable[float], cheats: Iterable[float]) -> float | None:
    """Return the tolerance that honest distances ask for; None: a cheat is too near, and nothing can be told apart.

    Args:
        honest: Distances between honest results, of several classes of device and several runs; at least one.
        cheats: Distances of the cheapest cheats known from honest results; at least one.

    Rules: VER-18.
    """
    found = max(CALIBRATION_FACTOR * max(honest), RTOL_LEAST)
    return found if min(cheats) >= CALIBRATION_FACTOR * found else None


def _needed(one: float, other: float, atol: float) -> float:
    if one == other or (math.isnan(one) and math.isnan(other)):
        return 0.0
    if not (math.isfinite(one) and math.isfinite(other)):
        return math.inf
    return max(0.0, abs(one - other) - atol) / max(abs(one), abs(other))


def _peak(values: Iterable[float]) -> float:
    """Return the largest finite size: what squares are scaled by, so that they do not overflow."""
    return max((abs(value) for value in values if math.isfinite(value)), default=0.0)


def _rms(values: Iterable[float], peak: float) -> float:
    if not peak:
        return 0.0
    total, count = 0.0, 0
    for value in values:
        if math.isfinite(value):
            total += (value / peak) * (value / peak)
            count += 1
    return peak * math.sqrt(total / count) if count else 0.0


def _cosine_gap(first: Iterable[float], second: Iterable[float], peak: float) -> float:
    if not peak:
        return 0.0
    product = ones = others = 0.0
    for one, other in zip(first, second, strict=True):
        if math.isfinite(one) and math.isfinite(other):
            x, y = one / peak, other / peak
            product += x * y
            ones += x * x
            others += y * y
    if not ones and not others:
        return 0.0
    return 1.0 - product / (math.sqrt(ones) * math.sqrt(others)) if ones and others else 1.0
