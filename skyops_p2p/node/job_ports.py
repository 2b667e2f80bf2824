"""What running jobs takes of the world, beside what every node needs."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from skyops_p2p.node.execution.tools import GpuMeter
from skyops_p2p.ports import Sandbox, Workspace
from skyops_p2p.ports.content import BlockStore
from skyops_p2p.wire.messages.execution import GpuLoadPart


async def no_gpus(_uuids: tuple[str, ...]) -> tuple[GpuLoadPart, ...]:
    """See nothing: devices that are declared, or none."""
    return ()


OpenRuntimes = Callable[[], AbstractAsyncContextManager[Mapping[str, Sandbox]]]
"""Opens runtimes for the length of a block: name -> sandbox."""
OpenRuntime = Callable[[str], AbstractAsyncContextManager[Mapping[str, Sandbox]]]
"""Opens the runtime of a name for the length of a block: name -> sandbox, or nothing where the machine has it not."""


@asynccontextmanager
async def no_runtime(_name: str) -> AsyncIterator[Mapping[str, Sandbox]]:
    """Open none."""
    await trio.lowlevel.checkpoint()
    yield {}


@dataclass(frozen=True, slots=True)
class JobPorts:
    """Where jobs run and where their data is."""

    folder: Path
    """Holds logs, and results on their way."""
    open_blocks: Callable[[], AbstractAsyncContextManager[BlockStore]]
    open_sandboxes: OpenRuntimes
    """Finds out which runtimes this machine has."""
    open_workspace: Callable[[], Awaitable[Workspace]]
    """Finds out what workspaces this user may have."""
    open_own_runtime: OpenRuntime = no_runtime
    """Opens one for runs that a node makes for itself, whether it is a worker or not."""
    gpu_meter: GpuMeter = no_gpus
    channel_port: int | None = None
    """TCP port of data channels, 0 for any free one; None: libp2p streams alone."""
