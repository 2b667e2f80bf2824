"""Exact products of integer matrices for the proof of compute: with numpy where it is there, else in plain Python.

The extra `poc` brings numpy. Both give the same bytes; plain Python is for small sizes and for checking.
`adapters/cuda` does the same on a GPU.
"""

import sys
from array import array
from collections.abc import Sequence
from typing import Any, Protocol

FOLD = 2_654_435_761
"""Odd multiplier of Knuth's multiplicative hash: 2^32 divided by the golden ratio."""


class Arithmetic(Protocol):
    """What a processor must be able to do. Entries are signed and little-endian, matrices row by row."""

    def multiply(self, left: bytes, right: bytes, size: int) -> bytes:
        """Return rows times matrix: `left` has rows of `size` signed bytes; the product's entries have 32 bits."""
        ...

    def fold(self, product: bytes) -> bytes:
        """Return for each entry c of 32 bits the high byte of c * FOLD mod 2^32."""
        ...

    def advance(self, left: bytes, right: bytes, size: int) -> bytes:
        """Return the fold of the product: one step of the chain, without showing the product."""
        ...

    def apply(self, matrix: bytes, vector: Sequence[int], width: int) -> tuple[int, ...]:
        """Return matrix times vector, exactly; entries of the matrix have `width` bytes, 1 or 4."""
        ...


class PlainArithmetic:
    """Plain Python: slow, exact, everywhere."""

    def multiply(self, left: bytes, right: bytes, size: int) -> bytes:
        """See Arithmetic."""
        entries = array("b", right)
        columns = [entries[column::size] for column in range(size)]
        rows = (array("b", left[at : at + size]) for at in range(0, len(left), size))
        return _written(array("i", (_dot(row, column) for row in rows for column in columns)))

    def fold(self, product: bytes) -> bytes:
        """See Arithmetic."""
        return bytes((c * FOLD & 0xFFFF_FFFF) >> 24 for c in _read(product))

    def advance(self, left: bytes, right: bytes, size: int) -> bytes:
        """See Arithmetic."""
        return self.fold(self.multiply(left, right, size))

    def apply(self, matrix: bytes, vector: Sequence[int], width: int) -> tuple[int, ...]:
        """See Arithmetic."""
        entries = array("b", matrix) if width == 1 else _read(matrix)
        size = len(vector)
        return tuple(_dot(entries[at : at + size], vector) for at in range(0, len(entries), size))


class NumpyArithmetic:
    """numpy: products as doubles, which hold every partial sum exactly, since each is an integer below 2^53.

    Args:
        numpy: The module.
    """

    def __init__(self, numpy: Any) -> None:
        self._numpy = numpy

    def multiply(self, left: bytes, right: bytes, size: int) -> bytes:
        """See Arithmetic."""
        numpy = self._numpy
        factors = (numpy.frombuffer(side, numpy.int8).reshape(-1, size) for side in (left, right))
        first, second = (factor.astype(numpy.float64) for factor in factors)
        product: bytes = (first @ second).astype("<i4").tobytes()
        return product

    def fold(self, product: bytes) -> bytes:
        """See Arithmetic."""
        numpy = self._numpy
        scrambled = numpy.frombuffer(product, "<u4") * numpy.uint32(FOLD)
        folded: bytes = (scrambled >> numpy.uint32(24)).astype(numpy.uint8).tobytes()
        return folded

    def advance(self, left: bytes, right: bytes, size: int) -> bytes:
        """See Arithmetic."""
        return self.fold(self.multiply(left, right, size))

    def apply(self, matrix: bytes, vector: Sequence[int], width: int) -> tuple[int, ...]:
        """See Arithmetic. In Freivalds' test every sum stays below 2^63."""
        numpy = self._numpy
        rows = numpy.frombuffer(matrix, "<i4" if width == 4 else numpy.int8).reshape(-1, len(vector))
        return tuple((rows.astype(numpy.int64) @ numpy.array(vector, dtype=numpy.int64)).tolist())


def best_arithmetic() -> Arithmetic:
    """Return numpy's arithmetic, or plain Python's without numpy."""
    try:
        import numpy as np
    except ImportError:
        return PlainArithmetic()
    return NumpyArithmetic(np)


def _dot(left: Sequence[int], right: Sequence[int]) -> int:
    return sum(map(int.__mul__, left, right))


def _read(data: bytes) -> "array[int]":
    entries = array("i", data)
    if sys.byteorder == "big":
        entries.byteswap()
    return entries


def _written(entries: "array[int]") -> bytes:
    if sys.byteorder == "big":
        entries.byteswap()
    return entries.tobytes()
