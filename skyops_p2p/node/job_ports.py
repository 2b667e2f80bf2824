"""What running jobs takes of the world, beside what every node needs."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from skyops_p2p.node.execution.tools import GpuMeter
from skyops_p2p.ports import Sandbox, Workspace
from skyops_p2p.ports.content import BlockStore
from skyops_p2p.wire.messages.execution import GpuLoadPart


async def no_gpus(_uuids: tuple[str, ...]) -> tuple[GpuLoadPart, ...]:
    """See nothing: devices that are declared, or none."""
    return ()


@dataclass(frozen=True, slots=True)
class JobPorts:
    """Where jobs run and where their data is."""

    folder: Path
    """Holds logs, and results on their way."""
    open_blocks: Callable[[], AbstractAsyncContextManager[BlockStore]]
    open_sandboxes: Callable[[], AbstractAsyncContextManager[Mapping[str, Sandbox]]]
    """Finds out which runtimes this machine has."""
    open_workspace: Callable[[], Awaitable[Workspace]]
    """Finds out what workspaces this user may have."""
    gpu_meter: GpuMeter = no_gpus
    channel_port: int | None = None
    """TCP port of data channels, 0 for any free one; None: libp2p streams alone."""
