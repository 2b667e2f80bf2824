"""The runtimes that this machine has, opened for the life of a node."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from skyops_p2p.ports import Sandbox

log = logging.getLogger(__name__)

OWN = "own"
"""Folder of what native programs leave that a node runs for itself."""


@asynccontextmanager
async def open_sandboxes(
    data_dir: Path, *, is_worker: bool, docker_images_gib: int | None = None
) -> AsyncIterator[Mapping[str, Sandbox]]:
    """Find out which runtimes there are, and close them when the block ends.

    Args:
        data_dir: The node's; images and compiled modules are kept below it.
        is_worker: A node that offers nothing has no use for any.
        docker_images_gib: The most that its images may take in the container engine; None: none is removed.
    """
    from skyops_p2p.adapters.docker import open_docker_sandbox
    from skyops_p2p.adapters.native import open_native_sandbox
    from skyops_p2p.adapters.wasm import open_wasm_sandbox

    found: dict[str, Sandbox] = {}
    async with AsyncExitStack() as stack:
        if is_worker:
            wasm = open_wasm_sandbox(data_dir)
            if wasm is not None:
                found["wasm"] = await stack.enter_async_context(wasm)
            docker = await open_docker_sandbox(data_dir, images_gib=docker_images_gib)
            if docker is not None:
                stack.callback(docker.close)
                found["docker"] = docker
            native = await open_native_sandbox(data_dir)
            if native is not None:
                found["native"] = native
            log.info("runtimes %s", " ".join(sorted(found)) or "none")
        yield found


@asynccontextmanager
async def open_own_runtime(data_dir: Path, name: str) -> AsyncIterator[Mapping[str, Sandbox]]:
    """Open one runtime for runs of one's own; a worker's in the same process is not disturbed.

    `wasm` every node has, `native` a machine with bubblewrap; `docker` is not opened: its engine is shared.

    Args:
        data_dir: The node's; below it compiled modules are kept, and in `own` what native programs leave.
        name: Of the runtime.
    """
    from skyops_p2p.adapters.native import open_native_sandbox
    from skyops_p2p.adapters.wasm import open_wasm_sandbox

    found: dict[str, Sandbox] = {}
    async with AsyncExitStack() as stack:
        if name == "wasm" and (wasm := open_wasm_sandbox(data_dir)) is not None:
            found[name] = await stack.enter_async_context(wasm)
        if name == "native" and (native := await open_native_sandbox(data_dir / OWN)) is not None:
            await native.reap()  # of a run that this node was killed in
            found[name] = native
        yield found
