"""What a module's bytes say of its mutable globals, as far as a snapshot must know it. Pure.

The engine shows exported globals alone. A mutable global that is not exported is state that no snapshot can hold,
with one exception: LLVM's stack pointer, which has its first value again whenever no function is running.
Source: WebAssembly core specification 2.0, chapter 5 "Binary Format".
"""

from collections.abc import Iterator
from dataclasses import dataclass

_MAGIC = b"\0asm\x01\0\0\0"
_SECTION_GLOBAL, _SECTION_EXPORT = 6, 7
_KIND_GLOBAL = 3
_TYPE_I32 = 0x7F
_REFERENCE_TYPES = frozenset({0x63, 0x64})
"""Types that are followed by a heap type."""
_END = 0x0B


@dataclass(frozen=True, slots=True)
class GlobalFact:
    """One global that the module defines."""

    type_byte: int
    is_mutable: bool


class UnknownStructure(Exception):  # noqa: N818 - named after what was met
    """The bytes use what this reader does not know."""


def is_module(data: bytes) -> bool:
    """Return whether bytes begin as a core module of version 1 does."""
    return data.startswith(_MAGIC)


def hidden_state(data: bytes) -> str:
    """Return why the state of a module cannot be saved between two calls, "" if it can."""
    try:
        hidden = list(_hidden_globals(data))
    except (UnknownStructure, IndexError):
        return "its globals cannot be read"
    if not hidden or (len(hidden) == 1 and hidden[0].type_byte == _TYPE_I32):
        return ""
    return f"{len(hidden)} of its mutable globals are not exported"


def _hidden_globals(data: bytes) -> Iterator[GlobalFact]:
    defined, exported = [], set()
    for number, body in _sections(data):
        if number == _SECTION_GLOBAL:
            defined = _read_globals(body)
        elif number == _SECTION_EXPORT:
            exported = _exported_globals(body)
    for index, fact in enumerate(defined):  # none is imported: the runtime gives a module functions alone
        if fact.is_mutable and index not in exported:
            yield fact


def _sections(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = len(_MAGIC)
    while place < len(data):
        number = data[place]
        size, place = _number(data, place + 1)
        yield number, data[place : place + size]
        place += size


def _read_globals(body: bytes) -> list[GlobalFact]:
    count, place = _number(body, 0)
    found = []
    for _ in range(count):
        kind = body[place]
        if kind in _REFERENCE_TYPES:
            raise UnknownStructure
        found.append(GlobalFact(kind, body[place + 1] == 1))
        place = _after_expression(body, place + 2)
    return found


def _after_expression(body: bytes, place: int) -> int:
    """Skip a constant expression."""
    while body[place] != _END:
        opcode = body[place]
        if opcode in (0x41, 0x42, 0x23, 0xD2, 0xD0):  # i32.const, i64.const, global.get, ref.func, ref.null
            _, place = _number(body, place + 1)
        elif opcode == 0x43:  # f32.const
            place += 5
        elif opcode == 0x44:  # f64.const
            place += 9
        elif opcode in (0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E):  # add, sub, mul of i32 and i64
            place += 1
        else:
            raise UnknownStructure
    return place + 1


def _exported_globals(body: bytes) -> set[int]:
    count, place = _number(body, 0)
    found = set()
    for _ in range(count):
        size, place = _number(body, place)
        kind = body[place + size]
        index, place = _number(body, place + size + 1)
        if kind == _KIND_GLOBAL:
            found.add(index)
    return found


def _number(data: bytes, place: int) -> tuple[int, int]:
    """Read a LEB128 number (signed ones are only skipped); return it and the place after it."""
    value, shift = 0, 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, place
