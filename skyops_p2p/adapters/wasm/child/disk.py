"""The gate through which a module writes: its bytes on disk are bounded at once, with little cost for each write.

The engine's own write functions read the memory of whoever calls them, so they must be called from a module that has
the job's memory. Two small modules stand between: the first is what the job imports, takes each write off an
allowance, and calls through a table; the second imports the job's memory once the job is there, and fills that table
with the engine's functions. When the allowance is used up, the files are added up and what is left becomes the new
allowance, so that what was deleted or overwritten counts no more. Source: WASI preview 1, witx.
"""

import contextlib
import os
import stat
from collections.abc import Sequence

import wasmtime
from wasmtime._exportable import AsExtern

from skyops_p2p import limits
from skyops_p2p.adapters.wasm.child.world import WASI

_NO_SPACE = 51
_ENTRY_BYTES = 4096
"""What a file or directory counts at least."""
_BEYOND = 1 << 62
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_VECTORS = "(param i32 i32 i32 i32) (result i32)"
_VECTORS_AT = "(param i32 i32 i32 i64 i32) (result i32)"
_ALLOCATE = "(param i32 i64 i64) (result i32)"
_OPEN = "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)"
_ONE_PATH = "(param i32 i32 i32) (result i32)"
_TWO_PATHS = "(param i32 i32 i32 i32 i32) (result i32)"
_LINK = "(param i32 i32 i32 i32 i32 i32 i32) (result i32)"

# name -> (signature, bytes that a call may add as an expression of type i64); $ask answers 0 or an error number
_GATED = {
    "fd_write": (_VECTORS, "(call $sum (local.get 1) (local.get 2))"),
    "fd_pwrite": (_VECTORS_AT, "(call $sum (local.get 1) (local.get 2))"),
    "fd_allocate": (_ALLOCATE, "(local.get 2)"),
    "path_open": (_OPEN, "(select (i64.const 4096) (i64.const 0) (i32.and (local.get 4) (i32.const 1)))"),
    "path_create_directory": (_ONE_PATH, "(i64.const 4096)"),
    "path_symlink": (_TWO_PATHS, "(i64.const 4096)"),
    "path_link": (_LINK, "(i64.const 4096)"),
}


def _parameters(signature: str) -> int:
    return len(signature.partition(")")[0].split()) - 1


def _gate_text() -> str:
    # The job pays for these instructions too. A refill depends on what lies on the disk, so the way around it costs
    # as much as the way through it: three.
    functions = []
    for slot, (name, (signature, size)) in enumerate(_GATED.items()):
        handed_on = " ".join(f"(local.get {index})" for index in range(_parameters(signature)))
        functions.append(
            f'(func (export "{name}") {signature} (local $refusal i32)'
            f" (local.set $refusal (call $ask {size}))"
            f" (if (local.get $refusal) (then (return (local.get $refusal))))"
            f" (call_indirect $engine {signature} {handed_on} (i32.const {slot})))"
        )
    return f"""(module
      (import "node" "refill" (func $refill (param i64) (result i64)))
      (table $engine (export "engine") {len(_GATED)} funcref)
      (table $sums (export "sums") 1 funcref)
      (global $left (mut i64) (i64.const 0))
      (func $sum (param i32 i32) (result i64)
        (call_indirect $sums (param i32 i32) (result i64) (local.get 0) (local.get 1) (i32.const 0)))
      (func $ask (param $size i64) (result i32)
        (if (i64.gt_u (local.get $size) (global.get $left))
          (then (global.set $left (call $refill (local.get $size))))
          (else (global.set $left (global.get $left)) (drop (local.get $size))))
        (if (i64.gt_u (local.get $size) (global.get $left)) (then (return (i32.const {_NO_SPACE}))))
        (global.set $left (i64.sub (global.get $left) (local.get $size)))
        (i32.const 0))
      {" ".join(functions)})"""


def _filling_text() -> str:
    imports, functions = [], []
    for slot, (name, (signature, _)) in enumerate(_GATED.items()):
        handed_on = " ".join(f"(local.get {index})" for index in range(_parameters(signature)))
        imports.append(f'(import "engine" "{name}" (func $engine{slot} {signature}))')
        functions.append(f"(func $own{slot} {signature} (call $engine{slot} {handed_on}))")
    own = " ".join(f"$own{slot}" for slot in range(len(_GATED)))
    # A vector count beyond the memory's end traps while it is summed; the engine would refuse it too.
    return f"""(module
      {" ".join(imports)}
      (import "job" "memory" (memory $memory 0))
      (import "gate" "engine" (table $engine {len(_GATED)} funcref))
      (import "gate" "sums" (table $sums 1 funcref))
      (export "memory" (memory $memory))
      {" ".join(functions)}
      (func $sum (param $place i32) (param $count i32) (result i64) (local $total i64)
        (block $done (loop $next
          (br_if $done (i32.eqz (local.get $count)))
          (local.set $total (i64.add (local.get $total) (i64.load32_u offset=4 (local.get $place))))
          (local.set $place (i32.add (local.get $place) (i32.const 8)))
          (local.set $count (i32.sub (local.get $count) (i32.const 1)))
          (br $next)))
        (local.get $total))
      (elem (table $engine) (i32.const 0) func {own})
      (elem (table $sums) (i32.const 0) func $sum))"""


class GateModules:
    """The two small modules, compiled for one engine."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self.gate = wasmtime.Module(engine, _gate_text())
        self.filling = wasmtime.Module(engine, _filling_text())


class DiskGate:
    """Bounds what lies in the writable directories of one job.

    Args:
        modules: For the engine in use.
        directories: Open descriptors of the writable directories.
        bytes_max: For all of them together.
    """

    def __init__(self, modules: GateModules, directories: Sequence[int], bytes_max: int) -> None:
        self._modules = modules
        self._directories = directories
        self._bytes_max = bytes_max
        self._gate: wasmtime.Instance | None = None
        self._engine_functions: list[AsExtern] = []
        self.was_full = False
        """Whether a write was refused."""

    def define(self, linker: wasmtime.Linker, store: wasmtime.Store) -> None:
        """Put the gate in the place of the engine's functions; before the job is instantiated."""
        self._engine_functions = [linker.get(store, WASI, name) for name in _GATED]
        kind = wasmtime.FuncType([wasmtime.ValType.i64()], [wasmtime.ValType.i64()])
        refill = wasmtime.Func(store, kind, self._refill)
        self._gate = wasmtime.Instance(store, self._modules.gate, [refill])
        exports = self._gate.exports(store)
        for name in _GATED:
            linker.define(store, WASI, name, exports[name])

    def connect(self, store: wasmtime.Store, memory: wasmtime.Memory) -> None:
        """Let the gate use the job's memory; before the job runs."""
        assert self._gate is not None
        exports = self._gate.exports(store)
        parts = [*self._engine_functions, memory, exports["engine"], exports["sums"]]
        wasmtime.Instance(store, self._modules.filling, parts)

    def _refill(self, wanted: int) -> int:
        left = max(0, self._bytes_max - count_bytes(self._directories))
        if wanted & 0xFFFF_FFFF_FFFF_FFFF > left:
            self.was_full = True
        return left


def count_bytes(directories: Sequence[int]) -> int:
    """Add up the space that trees take.

    Trees of more than WASM_ENTRIES_MAX entries, or deeper than TREE_DEPTH_MAX, are beyond any bound.
    """
    count = _Count()
    for directory in directories:
        count.add_tree(os.open(".", _OPEN_DIRECTORY, dir_fd=directory), depth=0)
    return count.total


class _Count:
    def __init__(self) -> None:
        self.total = 0
        self._entries = 0

    def add_tree(self, directory: int, *, depth: int) -> None:
        """Add what is below a directory, through no link; closes the descriptor."""
        try:
            with os.scandir(directory) as scan:
                for entry in scan:
                    self._entries += 1
                    if self._entries > limits.WASM_ENTRIES_MAX or depth > limits.TREE_DEPTH_MAX:
                        self.total = _BEYOND
                        return
                    # Only this program writes here, but it may not have been the first: links to nowhere are skipped.
                    with contextlib.suppress(FileNotFoundError):
                        self._add(entry, directory, depth)
        finally:
            os.close(directory)

    def _add(self, entry: os.DirEntry[str], directory: int, depth: int) -> None:
        status = entry.stat(follow_symlinks=False)
        self.total += max(status.st_blocks * 512, _ENTRY_BYTES)
        if stat.S_ISDIR(status.st_mode):
            self.add_tree(os.open(entry.name, _OPEN_DIRECTORY, dir_fd=directory), depth=depth + 1)
