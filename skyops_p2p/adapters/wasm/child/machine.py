"""A module with its memory, its meters, and the part of the world that it may touch."""

import contextlib
import ctypes
import os
import stat
import time
from collections.abc import Iterator
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi  # the epoch callback has no wrapper in the Python package

from skyops_p2p import limits
from skyops_p2p.adapters.wasm.child.confinement import become
from skyops_p2p.adapters.wasm.child.disk import DiskGate, GateModules
from skyops_p2p.adapters.wasm.child.orders import Interrupted, Orders
from skyops_p2p.adapters.wasm.child.world import WASI, World
from skyops_p2p.adapters.wasm.frames import RunRequest

STOP_FUNCTION = "skyops_stop"
_FAR = 1 << 40
"""Epochs away: never, within one call."""
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.POINTER(ffi.wasmtime_context_t),
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.POINTER(ffi.wasmtime_update_deadline_kind_t),
)
_NO_FINALIZER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(0)
_PROGRAM_NAME = "program"
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class CannotStart(Exception):  # noqa: N818 - named after what is the case
    """The module cannot be brought to run; the text says why."""


class _CallbackContext:
    """A store as the epoch callback sees it; what the Python package calls a Storelike."""

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer

    def _context(self) -> Any:
        return self._pointer


class Machine:
    """One module, instantiated once.

    Args:
        request: What is to run.
        engine: With the settings that the module was compiled for.
        gates: Of the same engine.
        orders: What the node asks.
    """

    def __init__(
        self, request: RunRequest, engine: wasmtime.Engine, gates: GateModules, orders: Orders
    ) -> None:
        self._request = request
        self._orders = orders
        self._is_stop_told = False
        self.module = load_compiled(engine, request.compiled)
        self.world = World(bytes.fromhex(request.seed) if request.is_deterministic else None, self._sleep)
        self.store = wasmtime.Store(engine)
        self.store.set_limits(
            memory_size=request.memory_bytes_max,
            table_elements=limits.WASM_TABLE_ELEMENTS_MAX,
            instances=limits.WASM_INSTANCES_MAX,
            tables=limits.WASM_INSTANCES_MAX,
            memories=limits.WASM_INSTANCES_MAX,
        )
        self._hears_stop_anywhere = True
        self.disk = DiskGate(gates, self._open_writable(), request.disk_bytes_max)
        self.snapshot_folder = _open_folder_of(request.snapshot)
        """Open directory of the snapshot; None if none is wanted."""
        self._exports: dict[str, Any] = {}
        self._callback = _CALLBACK(self._reach_epoch)
        ffi.wasmtime_store_epoch_deadline_callback(self.store.ptr(), self._callback, None, _NO_FINALIZER)

    def instantiate(self) -> None:
        """Give the module its imports, and run its start function if it has one.

        Raises:
            CannotStart: It imports what there is not, or is no module for this runtime.
            wasmtime.Trap: Its start function trapped.
            wasmtime.WasmtimeError: It wants more memory than it may have.
        """
        for wanted in self.module.imports:
            if wanted.module != WASI or not isinstance(wanted.type, wasmtime.FuncType):
                raise CannotStart(f"it imports {wanted.module}.{wanted.name}, which there is not")
        linker = wasmtime.Linker(self.store.engine)
        linker.allow_shadowing = True
        self.store.set_wasi(self._system_interface())
        linker.define_wasi()
        self.world.define(linker)
        self.disk.define(linker, self.store)
        self.set_fuel_used(0)
        self.store.set_epoch_deadline(1)
        become(self._request.user)  # all that it may touch is open, and nothing of the module has run
        try:
            instance = linker.instantiate(self.store, self.module)
        except wasmtime.WasmtimeError as error:
            if "unknown import" in str(error) or "incompatible import" in str(error):
                raise CannotStart(str(error).splitlines()[0]) from error
            raise
        exports = instance.exports(self.store)
        self._exports = {name: exports[name] for name in (item.name for item in self.module.exports)}
        if self.memory is not None:
            self.disk.connect(self.store, self.memory)

    @property
    def memory(self) -> wasmtime.Memory | None:
        """The exported memory, if there is one."""
        memory = self._exports.get("memory")
        return memory if isinstance(memory, wasmtime.Memory) else None

    def has_export(self, name: str) -> bool:
        """Return whether the module exports something of this name; before it is instantiated, too."""
        return any(item.name == name for item in self.module.exports)

    def function(self, name: str) -> wasmtime.Func | None:
        """Return an exported function."""
        found = self._exports.get(name)
        return found if isinstance(found, wasmtime.Func) else None

    def mutable_globals(self) -> Iterator[tuple[str, wasmtime.Global]]:
        """Name the exported globals that can change."""
        for name, item in self._exports.items():
            if isinstance(item, wasmtime.Global) and item.type(self.store).mutable:
                yield name, item

    def call(self, function: wasmtime.Func) -> Any:
        """Call a function without parameters.

        Raises:
            Interrupted: The node wanted an end.
            ProgramExit: The module called `proc_exit`.
            wasmtime.Trap: It trapped.
            wasmtime.WasmtimeError: A system function refused its arguments.
        """
        self.attend(self.store)
        self.store.set_epoch_deadline(1)
        try:
            return function(self.store)
        except (wasmtime.Trap, wasmtime.WasmtimeError):
            if self._orders.is_interrupted:
                raise Interrupted from None
            raise

    def hear_stop_between_calls(self) -> None:
        """Tell the module of a stop between calls alone, not in the middle of one."""
        self._hears_stop_anywhere = False

    def attend(self, context: Any, *, may_tell: bool = False) -> None:
        """Do what the node asked; called between two instructions of the module, or while it waits.

        Args:
            context: Store, caller or context in which functions can be called.
            may_tell: Whether the module's stop function may be called here.

        Raises:
            Interrupted: The node wants an end.
        """
        if self._orders.is_interrupted:
            raise Interrupted
        self._orders.answer_fuel(self._fuel_used_in(context))
        if self._hears_stop_anywhere:
            self._orders.answer_snapshots(is_saved=False)
        if may_tell and self._orders.is_stop_asked:
            self.tell_stop(context)

    def tell_stop(self, context: Any) -> None:
        """Call the module's `skyops_stop`, once.

        Raises:
            Interrupted: It has none, so there is nothing to wait for.
        """
        function = self.function(STOP_FUNCTION)
        if function is None:
            raise Interrupted
        if self._is_stop_told:
            return
        self._is_stop_told = True
        ffi.wasmtime_context_set_epoch_deadline(context._context(), _FAR)
        function(context)
        ffi.wasmtime_context_set_epoch_deadline(context._context(), 1)

    @property
    def fuel_used(self) -> int:
        """Instructions so far, those before a resumed snapshot included."""
        return self._fuel_used_in(self.store)

    def set_fuel_used(self, used: int) -> None:
        """Let the meter say so many, and leave the rest of what is allowed."""
        self.store.set_fuel(max(0, self._request.fuel_max - used))

    def memory_bytes(self) -> int:
        """Size of the exported memory."""
        return self.memory.data_len(self.store) if self.memory is not None else 0

    def _fuel_used_in(self, context: Any) -> int:
        left = ctypes.c_uint64(0)
        ffi.wasmtime_context_get_fuel(context._context(), ctypes.byref(left))
        return self._request.fuel_max - left.value

    def _reach_epoch(self, pointer: Any, _data: Any, delta: Any, kind: Any) -> int:
        """Attend in the middle of the module; what is returned ends it, unless it is 0."""
        delta[0], kind[0] = 1, 0
        try:
            self.attend(_CallbackContext(pointer), may_tell=self._hears_stop_anywhere)
        except Interrupted:
            error = ffi.wasmtime_error_new(b"interrupted")
            return ctypes.cast(error, ctypes.c_void_p).value or 0
        except (wasmtime.Trap, wasmtime.WasmtimeError) as failure:
            error = ffi.wasmtime_error_new(f"{STOP_FUNCTION} failed: {failure}".encode())
            return ctypes.cast(error, ctypes.c_void_p).value or 0
        return 0

    def _sleep(self, caller: Any, nanoseconds: int) -> None:
        """Wait as long as the module wants, or until it was told to stop: as a signal would cut a sleep short."""
        until_s = time.monotonic() + nanoseconds / 1e9
        while True:
            self._orders.news.clear()
            self.attend(caller, may_tell=self._hears_stop_anywhere)
            left_s = until_s - time.monotonic()
            if left_s <= 0 or self._is_stop_told:
                return
            self._orders.news.wait(min(left_s, limits.WASM_SLEEP_S))

    def _system_interface(self) -> wasmtime.WasiConfig:
        config = wasmtime.WasiConfig()
        config.argv = [_PROGRAM_NAME, *self._request.arguments]
        config.env = sorted(self._request.env.items())
        config.inherit_stdout()
        config.inherit_stderr()
        for place in self._request.preopens:
            config.preopen_dir(place.source, place.guest, place.is_mutable)
        # WASI has no working directory: what a relative path means is what the directory "." holds.
        for place in self._request.preopens:
            if place.guest == self._request.working_dir:
                config.preopen_dir(place.source, ".", place.is_mutable)
        return config

    def _open_writable(self) -> list[int]:
        return [
            os.open(place.source, _OPEN_DIRECTORY) for place in self._request.preopens if place.is_mutable
        ]


def _open_folder_of(snapshot: str) -> int | None:
    return os.open(os.path.dirname(snapshot), _OPEN_DIRECTORY) if snapshot else None  # noqa: PTH120 - text only


def load_compiled(engine: wasmtime.Engine, path: str) -> wasmtime.Module:
    """Load native code that this user's own node has written, and nobody else.

    Raises:
        CannotStart: The file is not ours, can be changed by others, or was made by another version.
        OSError: It cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1
        if not is_ours or status.st_mode & 0o077:
            raise CannotStart("the compiled module in the cache is not this user's alone")
        try:
            return wasmtime.Module.deserialize_file(engine, f"/proc/self/fd/{descriptor}")
        except wasmtime.WasmtimeError as error:
            raise CannotStart(f"the compiled module cannot be loaded: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
