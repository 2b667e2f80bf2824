"""The runtime `wasm`: WebAssembly modules under wasmtime, each job in a child process of its own. docs/wasm-jobs.md.

    sandbox.py    the port
    running.py    one job, on the node's side
    endings.py    how it ended, in words
    modules.py    compiled modules, kept
    structure.py  what a module's bytes say of its globals
    launcher.py   the preloaded process, on the node's side
    frames.py     what node and child say to each other
    child/        the other side; nothing of the node is in there

This package itself imports nothing: the children import parts of it, and shall not hold what the node needs.
The node never loads the engine: a crash of it, or an escape from it, is a crash of a child that holds one job.
"""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skyops_p2p.adapters.wasm.sandbox import WasmSandbox


def open_wasm_sandbox(data_dir: Path) -> "WasmSandbox | None":
    """Return the runtime, or None if the package `wasmtime` is not installed. Starts nothing yet; close it after use.

    Args:
        data_dir: The node's; compiled modules are kept in `wasm` below it.
    """
    if importlib.util.find_spec("wasmtime") is None:
        return None
    from skyops_p2p.adapters.wasm.sandbox import WasmSandbox

    return WasmSandbox(data_dir / "wasm")
