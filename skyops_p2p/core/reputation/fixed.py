"""Fixed-point arithmetic of the score: exact floors of roots and powers, so that every node gets the same integers.

Nothing here is an approximation: decay and the geometric mean are integer roots, rounded down. Spec:
protocol/08-reputation.md, "Arithmetic".
"""

import functools

from skyops_p2p import limits

ONE_BITS = 48
ONE = 1 << ONE_BITS
"""One, for shares and decay factors."""
MILLION = 1_000_000
"""One, for what is shown and compared: accuracy, availability, efficiency, credibility."""
_DECAYS_REMEMBERED = 4 * limits.REPUTATION_HORIZON_EPOCHS
"""A factor for each age and half-life in use."""


def root(value: int, degree: int) -> int:
    """Return the largest integer whose power of `degree` is not above `value`. Rules: REP-1.

    Args:
        value: Not negative.
        degree: At least 1.
    """
    if value < 2:
        return value
    guess = 1 << -(-value.bit_length() // degree)  # never below the root, so Newton's steps only fall
    while True:
        lower = ((degree - 1) * guess + value // guess ** (degree - 1)) // degree
        if lower >= guess:
            return guess
        guess = lower


@functools.lru_cache(maxsize=_DECAYS_REMEMBERED)
def decay(age: int, half_life: int) -> int:
    """Return 2^(-age / half_life) in units of 1 / ONE, rounded down. Rules: REP-1.

    Args:
        age: Whole epochs, not negative.
        half_life: Epochs, at least 1.
    """
    exponent = ONE_BITS * half_life - age
    return root(1 << exponent, half_life) if exponent >= 0 else 0


def geometric(parts: tuple[tuple[int, int], ...]) -> int:
    """Return the weighted geometric mean of values, rounded down. Rules: REP-1.

    Args:
        parts: Each value, not negative, with its weight, at least 1.
    """
    product, degree = 1, 0
    for value, weight in parts:
        product *= value**weight
        degree += weight
    return root(product, degree)


def clip(value: int, low: int, high: int) -> int:
    """Return the value, or the bound that it is beyond."""
    return max(low, min(high, value))
