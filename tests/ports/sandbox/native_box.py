"""Opens the native sandbox on this machine's own Python below /usr."""

import contextlib
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from skyops_p2p.adapters.native import open_native_sandbox
from tests.ports.sandbox.box import Box

ABILITIES = frozenset({"processes", "threads", "signals", "sockets", "pause"})
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONUNBUFFERED": ""}


def missing() -> str:
    if shutil.which("bwrap") is None:
        return "bwrap not installed (Debian: apt-get install bubblewrap)"
    return "" if _python() else "no Python below /usr (Debian: apt-get install python3)"


def run_python(program: str, arguments: Sequence[str]) -> dict[str, Any]:
    return {"command": (_python(), "-c", program, *arguments)}


@contextlib.asynccontextmanager
async def open_box(folder: Path) -> AsyncIterator[Box]:
    sandbox = await open_native_sandbox(folder / "data")
    assert sandbox is not None, "bubblewrap is installed and does not work here"
    yield Box("native", sandbox, folder / "mounts", run_python, ABILITIES, ENV)


def _python() -> str:
    return shutil.which("python3", path="/usr/bin:/usr/local/bin") or ""
