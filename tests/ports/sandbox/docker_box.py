"""Opens the docker sandbox on the test run's own engine, with an image of this machine's Python."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from skyops_p2p.adapters.docker import open_docker_sandbox
from tests.ports.sandbox.box import Box
from tests.ports.sandbox.engine import Engine, missing
from tests.ports.sandbox.rootfs import PYTHON, python_image

__all__ = ["missing", "open_box", "run_python"]
ABILITIES = frozenset({"processes", "threads", "signals", "sockets", "pause"})


def run_python(program: str, arguments: Sequence[str]) -> dict[str, Any]:
    archive, _ = python_image()
    return {"command": (PYTHON, "-c", program, *arguments), "image_archive": archive}


@contextlib.asynccontextmanager
async def open_box(folder: Path, engine: Engine, *, gvisor: bool = False) -> AsyncIterator[Box]:
    sandbox = await open_docker_sandbox(folder / "data", address=engine.address, gvisor=gvisor)
    assert sandbox is not None, "the engine of the tests does not answer"
    with contextlib.closing(sandbox):
        yield Box("docker", sandbox, folder / "mounts", run_python, ABILITIES)
