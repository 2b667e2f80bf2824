"""A wasm sandbox with folders for mounts, and modules written as text."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import trio
import wasmtime

from skyops_p2p.adapters.wasm.sandbox import WasmSandbox
from skyops_p2p.ports import Mount, RunningSandbox, SandboxExit, SandboxSpec, Usage
from tests.ports.sandbox.box import DEADLINE_S, LIMITS, drain

WASI = {
    "fd_write": "(param i32 i32 i32 i32) (result i32)",
    "fd_read": "(param i32 i32 i32 i32) (result i32)",
    "fd_close": "(param i32) (result i32)",
    "fd_allocate": "(param i32 i64 i64) (result i32)",
    "path_open": "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)",
    "path_create_directory": "(param i32 i32 i32) (result i32)",
    "path_symlink": "(param i32 i32 i32 i32 i32) (result i32)",
    "path_unlink_file": "(param i32 i32 i32) (result i32)",
    "proc_exit": "(param i32)",
    "clock_time_get": "(param i32 i64 i32) (result i32)",
    "random_get": "(param i32 i32) (result i32)",
    "poll_oneoff": "(param i32 i32 i32 i32) (result i32)",
}
"""Functions that a module of these tests may import, with their types."""

SAY = """
  (func $say (param $place i32) (param $size i32)
    (i32.store (i32.const 0) (local.get $place)) (i32.store (i32.const 4) (local.get $size))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))"""
"""Writes bytes of the memory to stdout."""


def module_text(body: str, *, imports: tuple[str, ...] = ("fd_write", "proc_exit"), pages: str = "1") -> str:
    """Write a module with a memory, the named imports, `$say`, and what the test adds."""
    names = dict.fromkeys((*imports, "fd_write"))
    lines = [f'(import "wasi_snapshot_preview1" "{name}" (func ${name} {WASI[name]}))' for name in names]
    return f'(module {" ".join(lines)} (memory (export "memory") {pages}) {SAY} {body})'


@functools.cache
def assemble(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


@dataclass
class Workbench:
    """One sandbox, with /in (read-only), /out and /work."""

    sandbox: WasmSandbox
    folder: Path

    def __post_init__(self) -> None:
        for name in ("in", "out", "work", "state"):
            (self.folder / name).mkdir(parents=True)

    def spec(self, module: str | bytes, **changes: Any) -> SandboxSpec:
        data = assemble(module) if isinstance(module, str) else module
        path = self.folder / "module.wasm"
        path.write_bytes(data)
        mounts = tuple(
            Mount(self.folder / name, PurePosixPath("/", name), is_read_only=name == "in")
            for name in ("in", "out", "work")
        )
        fields: dict[str, Any] = {
            "name": "case",
            "command": (),
            "env": {},
            "mounts": mounts,
            "limits": LIMITS,
        }
        return SandboxSpec(**(fields | {"module": path} | changes))

    async def run(self, module: str | bytes, **changes: Any) -> "Outcome":
        async def read(running: RunningSandbox) -> bytes:
            return (await drain(running))["stdout"]

        return await self.drive(self.spec(module, **changes), read)

    async def drive(self, spec: SandboxSpec, body: Callable[[Any], Any]) -> "Outcome":
        """Run a program beside `body(running)`; what that returns is the outcome's output."""
        with trio.fail_after(DEADLINE_S):
            async with self.sandbox.start(spec) as running:
                out = await body(running)
                return Outcome(await running.wait(), out, await running.usage())


@dataclass
class Outcome:
    end: SandboxExit
    out: Any
    usage: Usage
