"""Files of numbers, read so that two of them can be compared: .npy, raw floats, JSON. Pure.

Bytes from workers, so everything is bounded, and whatever is not such a file is no file of numbers: then only equal
bytes are equal. Sources: the NPY format (numpy/lib/format.py, versions 1 to 3); RFC 8259. Spec:
protocol/06-verification.md, "Tolerance".
"""

import ast
import json
import math
import re
import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skyops_p2p import limits
from skyops_p2p.core.verification.tolerance import Distance, Tolerance, measure, tolerance_for
from skyops_p2p.errors import RemoteProtocolError

RAW_SUFFIXES = {".f32": "<f4", ".f64": "<f8"}
"""Files without a head: little-endian floats, nothing else."""
_MAGIC = b"\x93NUMPY"
_BITS = {"<f2": 16, "<f4": 32, "<f8": 64}


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a file says."""

    shape: object
    """What must be equal besides the numbers: kind and dimensions, or a JSON text without its numbers."""
    bits: int
    """Of one element."""
    values: Sequence[float]


def compare_files(path: str, first: bytes, second: bytes, *, asked: int = 0) -> tuple[Distance, bool]:
    """Compare what two workers wrote to one path.

    Args:
        path: Of both; its suffix says what they are.
        first: One worker's file.
        second: Another's.
        asked: Tolerance of the specification, millionths; 0: that of the kind of element.

    Returns:
        How far they are apart, and whether they count as equal; files that hold no numbers count as one element.

    Rules: VER-17.
    """
    if first == second:
        return Distance(1, 1, 0.0), True
    try:
        one, other = read_numbers(path, first), read_numbers(path, second)
    except RemoteProtocolError:
        return Distance(1, 0, 1.0), False
    if one is None or other is None or (one.shape, one.bits) != (other.shape, other.bits):
        return Distance(1, 0, 1.0), False
    tolerance: Tolerance = tolerance_for(one.bits, asked)
    found = measure(one.values, other.values, tolerance)
    return found, found.is_within(tolerance)


_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)
"""Strings, whose brackets do not count, and brackets."""


def read_numbers(path: str, data: bytes) -> Numbers | None:
    """Read a file of numbers; None: a file of its suffix is none.

    Raises:
        RemoteProtocolError: `malformed` or `oversized`: it is not what its suffix says.

    Rules: VER-17.
    """
    suffix = "." + path.rpartition(".")[2] if "." in path else ""
    if suffix not in (*RAW_SUFFIXES, ".npy", ".json"):
        return None
    limit = limits.NUMERIC_JSON_BYTES_MAX if suffix == ".json" else limits.NUMERIC_FILE_BYTES_MAX
    if len(data) > limit:
        raise RemoteProtocolError(f"longer than {limit} bytes", code="oversized", rule="VER-17")
    if suffix == ".json":
        return _read_json(data)
    if suffix == ".npy":
        return _read_npy(data)
    kind = RAW_SUFFIXES[suffix]
    values = _floats(data, kind)
    return Numbers((kind, len(values)), _BITS[kind], values)


def _read_npy(data: bytes) -> Numbers:
    if data[:6] != _MAGIC or len(data) < 12 or data[6] not in (1, 2, 3):
        raise _malformed("not an NPY file")
    wide = data[6] > 1
    start = 12 if wide else 10
    size = int.from_bytes(data[8:start], "little")
    if size > limits.NUMERIC_HEAD_BYTES_MAX or start + size > len(data):
        raise _malformed("the head of an NPY file is cut short")
    try:
        head = ast.literal_eval(data[start : start + size].decode("latin-1").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise _malformed("the head of an NPY file cannot be read") from error
    match head:
        case {"descr": str(kind), "fortran_order": bool(order), "shape": tuple(shape)} if len(head) == 3:
            pass
        case _:
            raise _malformed("the head of an NPY file says something else")
    if kind not in _BITS or not all(type(size) is int and size >= 0 for size in shape):
        raise _malformed("no NPY file of floats")
    values = _floats(data[start + size :], kind)
    if math.prod(shape) != len(values):
        raise _malformed("an NPY file with more or fewer elements than it says")
    return Numbers((kind, order, shape), _BITS[kind], values)


def _floats(data: bytes, kind: str) -> Sequence[float]:
    """Read little-endian floats."""
    width = _BITS[kind] // 8
    if len(data) % width:
        raise _malformed("a part of an element at the end")
    if kind == "<f2":
        return [value for (value,) in struct.iter_unpack("<e", data)]
    values = array("f" if kind == "<f4" else "d")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _read_json(data: bytes) -> Numbers:
    """Read a JSON text in UTF-8; its numbers in their order, and all else as its shape."""
    try:
        text = data.decode("utf-8")
        _check_depth(text)
        value = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise _malformed("no JSON") from error
    values: list[float] = []
    try:
        shape = _shape(value, values, 0)
    except OverflowError as error:
        raise _malformed("a number beyond doubles") from error
    return Numbers(shape, 64, values)


def _check_depth(text: str) -> None:
    """Refuse what is nested too deep before it is parsed: a parser recurses as deep as its process lets it."""
    depth = 0
    for found in _BRACKETS.finditer(text):
        mark = found[0]
        depth += (mark in "[{") - (mark in "]}")
        if depth > limits.NUMERIC_JSON_DEPTH_MAX + 1:
            raise _malformed("JSON that is nested too deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _shape(value: Any, values: list[float], depth: int) -> Any:
    """Collect the numbers, and return everything else; objects in the order of their names."""
    if depth > limits.NUMERIC_JSON_DEPTH_MAX:
        raise _malformed("JSON that is nested too deep")
    if isinstance(value, dict):
        return ("object", *((name, _shape(value[name], values, depth + 1)) for name in sorted(value)))
    if isinstance(value, list):
        return ("array", *(_shape(item, values, depth + 1) for item in value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        values.append(float(value))
        return "number"
    return ("text", value) if isinstance(value, str) else ("word", value)


def _malformed(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, code="malformed", rule="VER-17")
