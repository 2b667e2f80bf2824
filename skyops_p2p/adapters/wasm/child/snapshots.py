"""The state of a step module between two steps, in a file: its memory, its exported mutable globals, its meters.

    magic (8 bytes), length of the header (4), header as JSON, pages, SHA-256 of all before it (32)
    page: index (4), length (4), the 64 KiB deflated; pages of zeros are left out

A file comes from another worker, perhaps a hostile one: it is checked as such, and can fill the module's memory and
nothing else. Numbers are big-endian. Whoever changes the layout gives it another magic.
"""

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import wasmtime

from skyops_p2p import limits
from skyops_p2p.adapters.wasm.child.machine import Machine
from skyops_p2p.adapters.wasm.frames import RunRequest

MAGIC = b"SKYWASM1"
_PAGE = 65536
_ZEROS = bytes(_PAGE)
_NUMBERS = struct.Struct(">II")
_LENGTH = struct.Struct(">I")
_DIGEST_BYTES = 32
_WRITE_ANEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_FAST = 1
"""Deflate level: a checkpoint holds up the job while it is made."""


class BadSnapshot(Exception):  # noqa: N818 - named after what was found
    """The file is damaged, of another version, or of another module."""


def save(machine: Machine, request: RunRequest, steps: int) -> None:
    """Write the state; what was there before stays whole until the new one is.

    Raises:
        OSError: It cannot be written.
    """
    target, folder = Path(request.snapshot), machine.snapshot_folder
    assert folder is not None, "saved without a place"
    partial = target.with_suffix(".partial").name
    descriptor = os.open(partial, _WRITE_ANEW, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write(file, _header(machine, request, steps), _pages(machine))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target.name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(partial, dir_fd=folder)
        raise
    os.fsync(folder)


def restore(machine: Machine, request: RunRequest) -> int | None:
    """Put a saved state into a fresh machine; return the steps before it, or None if there is no file.

    Raises:
        BadSnapshot: The file cannot be used; the machine is then worth nothing.
        OSError: It cannot be read.
    """
    try:
        name, folder = Path(request.snapshot).name, machine.snapshot_folder
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        _check_digest(file)
        header = _read_header(file)
        _check_header(header, request)
        try:
            return _apply(machine, header, file)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError, zlib.error) as error:
            raise BadSnapshot("its parts do not fit together") from error


def _header(machine: Machine, request: RunRequest, steps: int) -> dict[str, Any]:
    values = {}
    for name, item in machine.mutable_globals():
        value = item.value(machine.store)
        # Floats as their bits: JSON has no NaN, and a float has more forms than one.
        values[name] = struct.pack(">d", value).hex() if isinstance(value, float) else value
    return {
        "module": request.digest,
        "guests": [place.guest for place in request.preopens],
        "memory_bytes": machine.memory_bytes(),
        "globals": values,
        "fuel": machine.fuel_used,
        "steps": steps,
        "elapsed_ns": machine.world.elapsed_ns,
        "random_blocks": machine.world.random_blocks,
    }


def _pages(machine: Machine) -> Iterator[tuple[int, bytes]]:
    memory = machine.memory
    if memory is None:
        return
    for index in range(memory.data_len(machine.store) // _PAGE):
        page = bytes(memory.read(machine.store, index * _PAGE, (index + 1) * _PAGE))
        if page != _ZEROS:
            yield index, zlib.compress(page, _FAST)


def _write(file: BinaryIO, header: dict[str, Any], pages: Iterator[tuple[int, bytes]]) -> None:
    digest = hashlib.sha256()
    text = json.dumps(header, separators=(",", ":")).encode()
    for piece in (MAGIC, _LENGTH.pack(len(text)), text):
        file.write(piece)
        digest.update(piece)
    for index, data in pages:
        for piece in (_NUMBERS.pack(index, len(data)), data):
            file.write(piece)
            digest.update(piece)
    file.write(digest.digest())


def _check_digest(file: BinaryIO) -> None:
    size = os.fstat(file.fileno()).st_size
    digest, left = hashlib.sha256(), size - _DIGEST_BYTES
    while left > 0 and (piece := file.read(min(left, limits.WASM_READ_BYTES))):
        digest.update(piece)
        left -= len(piece)
    if left != 0 or file.read(_DIGEST_BYTES) != digest.digest():
        raise BadSnapshot("it is damaged or cut short")
    file.seek(0)


def _read_header(file: BinaryIO) -> dict[str, Any]:
    if file.read(len(MAGIC)) != MAGIC:
        raise BadSnapshot("it is no snapshot of this version")
    [size] = _LENGTH.unpack(file.read(_LENGTH.size))
    if size > limits.WASM_SNAPSHOT_HEADER_BYTES_MAX:
        raise BadSnapshot("its header is too long")
    try:
        header = json.loads(file.read(size))
    except ValueError as error:
        raise BadSnapshot("its header is no JSON") from error
    if not isinstance(header, dict):
        raise BadSnapshot("its header is no object")
    return header


def _check_header(header: dict[str, Any], request: RunRequest) -> None:
    if header.get("module") != request.digest:
        raise BadSnapshot("it is of another module")
    # A module remembers its directories by number, in the order in which it was given them.
    if header.get("guests") != [place.guest for place in request.preopens]:
        raise BadSnapshot("it was made with other directories")
    numbers = [header.get(name) for name in ("memory_bytes", "fuel", "steps", "elapsed_ns", "random_blocks")]
    if not all(type(number) is int and 0 <= number < 1 << 63 for number in numbers):
        raise BadSnapshot("its numbers make no sense")
    if header["memory_bytes"] > request.memory_bytes_max:
        raise BadSnapshot("it needs more memory than the job may have")


def _apply(machine: Machine, header: dict[str, Any], file: BinaryIO) -> int:
    end = os.fstat(file.fileno()).st_size - _DIGEST_BYTES
    memory = machine.memory
    if memory is not None:
        _grow(machine, memory, header["memory_bytes"])
        _fill(machine, memory, _read_pages(file, end))
    for name, item in machine.mutable_globals():
        value = header["globals"][name]
        item.set_value(
            machine.store, struct.unpack(">d", bytes.fromhex(value))[0] if isinstance(value, str) else value
        )
    machine.world.elapsed_ns = header["elapsed_ns"]
    machine.world.random_blocks = header["random_blocks"]
    machine.set_fuel_used(header["fuel"])
    return int(header["steps"])


def _grow(machine: Machine, memory: wasmtime.Memory, size: int) -> None:
    missing = size - memory.data_len(machine.store)
    if missing < 0 or missing % _PAGE:
        raise BadSnapshot("its memory is smaller than the module's first one")
    if missing:
        memory.grow(machine.store, missing // _PAGE)


def _read_pages(file: BinaryIO, end: int) -> Iterator[tuple[int, bytes]]:
    while file.tell() < end:
        index, size = _NUMBERS.unpack(file.read(_NUMBERS.size))
        if file.tell() + size > end:
            raise BadSnapshot("a page is cut short")
        inflater = zlib.decompressobj()
        page = inflater.decompress(file.read(size), _PAGE)
        if len(page) != _PAGE or inflater.unconsumed_tail:
            raise BadSnapshot("a page has not its size")
        yield index, page


def _fill(machine: Machine, memory: wasmtime.Memory, pages: Iterator[tuple[int, bytes]]) -> None:
    """Write the saved pages, and zeros where none is saved: the module's own data are there already."""
    expected, total = 0, memory.data_len(machine.store) // _PAGE
    for index, page in pages:
        if not expected <= index < total:
            raise BadSnapshot("its pages are out of order")
        for gap in range(expected, index):
            _clear(machine, memory, gap)
        memory.write(machine.store, page, index * _PAGE)
        expected = index + 1
    for gap in range(expected, total):
        _clear(machine, memory, gap)


def _clear(machine: Machine, memory: wasmtime.Memory, index: int) -> None:
    """Zero a page, but leave one that is zeros untouched, so that it takes no memory."""
    if memory.read(machine.store, index * _PAGE, (index + 1) * _PAGE) != _ZEROS:
        memory.write(machine.store, _ZEROS, index * _PAGE)
