"""Seeded chance: one integer and a label give an independent stream, so that one more draw here moves nothing there."""

from hashlib import sha256
from random import Random


def derived_bytes(seed: int, *labels: object, size: int = 32) -> bytes:
    """Return `size` bytes (at most 32) that depend on the seed and the labels alone."""
    text = "/".join(("skyops-simulation", str(seed), *(str(label) for label in labels)))
    return sha256(text.encode()).digest()[:size]


def derived_random(seed: int, *labels: object) -> Random:
    """Return a generator of its own for one purpose."""
    number = int.from_bytes(derived_bytes(seed, *labels), "big")
    return Random(number)  # noqa: S311 - a simulation must be repeatable; nothing here guards a secret


class SeededEntropy:
    """ports.Entropy from a seed: the same node of the same world draws the same keys and nonces.

    Args:
        seed: The world's seed.
        labels: Whose entropy it is, e.g. the node's name and how often it has started. A restarted node must not
            draw its old nonces again, so the count of starts belongs in the labels.
    """

    def __init__(self, seed: int, *labels: object) -> None:
        self._random = derived_random(seed, "entropy", *labels)

    def token(self, size_bytes: int) -> bytes:
        """Return `size_bytes` bytes; predictable by anyone who knows the seed."""
        return self._random.randbytes(size_bytes)

    def uniform(self) -> float:
        """Return a number in [0, 1)."""
        return self._random.random()
