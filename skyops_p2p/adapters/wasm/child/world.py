"""Clocks, randomness, sleep and exit as the module sees them, in place of the engine's own.

Sleep is ours so that an interrupt wakes it, exit so that all codes from 0 to 255 can be told. In a deterministic run
the clock shows a fixed day and moves on by what was slept and a little with each look, and random bytes come from the
job's seed: two workers see the same. Source: WASI preview 1 (`wasi_snapshot_preview1`), witx.
"""

import hashlib
import struct
import time
from collections.abc import Callable
from typing import Any

import wasmtime

from skyops_p2p import limits

WASI = "wasi_snapshot_preview1"
_SUCCESS, _FAULT, _INVALID = 0, 21, 28
_REALTIME, _MONOTONIC, _PROCESS_CPU, _THREAD_CPU = range(4)
_EVENT_CLOCK = 0
_FLAG_ABSOLUTE = 1
_SUBSCRIPTION = struct.Struct("<QB7xI4xQQH6x")
_EVENT = struct.Struct("<QHB5xQH6x")
_MASK = 0xFFFF_FFFF
FIRST_MOMENT_NS = 946_684_800 * 10**9
"""2000-01-01T00:00:00Z: where the clocks of a deterministic run begin."""
_REAL_CLOCKS: dict[int, Callable[[], int]] = {
    _REALTIME: time.time_ns,
    _MONOTONIC: time.monotonic_ns,
    _PROCESS_CPU: time.process_time_ns,
    _THREAD_CPU: time.thread_time_ns,
}
_LOOK_NS = 1000
"""How far a deterministic clock moves with each look, so that loops that wait for it end."""

Sleep = Callable[[Any, int], None]
"""(context of the caller, nanoseconds) -> wait; raises what ends the program."""


class ProgramExit(Exception):  # noqa: N818 - named after what the program did
    """The module called `proc_exit`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class World:
    """The part of the system interface that is ours.

    Args:
        seed: For random bytes; None for a run that is not deterministic.
        sleep: How to wait.
    """

    def __init__(self, seed: bytes | None, sleep: Sleep) -> None:
        self._seed = seed
        self._sleep = sleep
        self.elapsed_ns = 0
        """How far the deterministic clocks have moved; part of a snapshot."""
        self.random_blocks = 0
        """Blocks of random bytes given out; part of a snapshot."""

    def define(self, linker: wasmtime.Linker) -> None:
        """Put these functions in the place of the engine's."""
        i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
        functions: list[tuple[str, list[wasmtime.ValType], list[wasmtime.ValType], Callable[..., Any]]] = [
            ("poll_oneoff", [i32, i32, i32, i32], [i32], self._poll),
            ("proc_exit", [i32], [], _exit),
            # Always ours: the engine counts its monotonic clock from a moment of its own, and a sleep until some
            # moment must be measured by the clock from which that moment was read.
            ("clock_time_get", [i32, i64, i32], [i32], self._clock),
        ]
        if self._seed is not None:
            functions += [
                ("clock_res_get", [i32, i32], [i32], self._resolution),
                ("random_get", [i32, i32], [i32], self._random),
            ]
        for name, parameters, results, function in functions:
            kind = wasmtime.FuncType(parameters, results)
            linker.define_func(WASI, name, kind, function, access_caller=True)

    def _clock(self, caller: wasmtime.Caller, clock: int, _precision: int, place: int) -> int:
        if clock not in _REAL_CLOCKS:
            return _INVALID
        self.elapsed_ns += _LOOK_NS
        return _store(caller, place, struct.pack("<Q", self._now_ns(clock)))

    def _resolution(self, caller: wasmtime.Caller, _clock: int, place: int) -> int:
        return _store(caller, place, struct.pack("<Q", _LOOK_NS))

    def _random(self, caller: wasmtime.Caller, place: int, size: int) -> int:
        assert self._seed is not None
        place, left = place & _MASK, size & _MASK
        while left > 0:
            block = hashlib.sha256(self._seed + struct.pack("<Q", self.random_blocks)).digest()[:left]
            self.random_blocks += 1
            if _store(caller, place, block) != _SUCCESS:
                return _FAULT
            place += len(block)
            left -= len(block)
        return _SUCCESS

    def _poll(self, caller: wasmtime.Caller, *numbers: int) -> int:
        """Wait for the earliest clock; files and standard streams are always ready."""
        questions, answers, count, told = numbers
        if not 0 < count & _MASK <= limits.WASM_POLL_MAX:
            return _INVALID
        data = _load(caller, questions, count * _SUBSCRIPTION.size)
        if data is None:
            return _FAULT
        asked = list(_SUBSCRIPTION.iter_unpack(data))
        if any(kind == _EVENT_CLOCK and clock not in _REAL_CLOCKS for _, kind, clock, *_ in asked):
            return _INVALID
        ready = [_EVENT.pack(user, 0, kind, 1, 0) for user, kind, *_ in asked if kind != _EVENT_CLOCK]
        if not ready:
            waits = [self._wait_ns(clock, timeout, flags) for _, _, clock, timeout, _, flags in asked]
            shortest = min(waits)
            self._sleep(caller, shortest)
            if self._seed is not None:
                self.elapsed_ns += shortest
            ready = [
                _EVENT.pack(question[0], 0, _EVENT_CLOCK, 0, 0)
                for question, wait in zip(asked, waits, strict=True)
                if wait <= shortest
            ]
        if _store(caller, answers, b"".join(ready)) != _SUCCESS:
            return _FAULT
        return _store(caller, told, struct.pack("<I", len(ready)))

    def _wait_ns(self, clock: int, timeout_ns: int, flags: int) -> int:
        if not flags & _FLAG_ABSOLUTE:
            return timeout_ns
        return max(0, timeout_ns - self._now_ns(clock))

    def _now_ns(self, clock: int) -> int:
        if self._seed is None:
            return _REAL_CLOCKS[clock]()
        return self.elapsed_ns + (FIRST_MOMENT_NS if clock == _REALTIME else 0)


def _exit(_caller: wasmtime.Caller, code: int) -> None:
    raise ProgramExit(code & 0xFF)


def _load(caller: wasmtime.Caller, place: int, size: int) -> bytes | None:
    memory = caller.get("memory")
    place &= _MASK
    if not isinstance(memory, wasmtime.Memory) or place + size > memory.data_len(caller):
        return None
    return bytes(memory.read(caller, place, place + size))


def _store(caller: wasmtime.Caller, place: int, data: bytes) -> int:
    memory = caller.get("memory")
    place &= _MASK
    if not isinstance(memory, wasmtime.Memory) or place + len(data) > memory.data_len(caller):
        return _FAULT
    memory.write(caller, data, place)
    return _SUCCESS
