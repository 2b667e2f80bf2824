"""What the runs of a worker are made with, together."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.node.content.shelf import ContentShelf
from skyops_p2p.node.execution.gang_exchange import GangExchange
from skyops_p2p.node.execution.run_journal import RunJournal
from skyops_p2p.node.misbehaving import HONEST, Conduct
from skyops_p2p.node.settlement.office import PaymentOffice
from skyops_p2p.ports import Entropy, Sandbox, WallClock, Workspace
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import GpuLoadPart, HolderPart

GpuMeter = Callable[[tuple[str, ...]], Awaitable[tuple[GpuLoadPart, ...]]]
"""Looks at the devices with these UUIDs; empty where there is nothing to see."""
SpreadCopies = Callable[[BundleRef, str, tuple[HolderPart, ...], bytes], Awaitable[int]]
"""(bundle, owner, keepers, receipt) -> how many keepers took a copy."""


@dataclass(frozen=True, slots=True)
class RunTools:
    """Everything that a run needs of its node."""

    network: str
    node_key: NodeKey
    wall_clock: WallClock
    entropy: Entropy
    shelf: ContentShelf
    sandboxes: Mapping[str, Sandbox]
    """Runtime -> sandbox, those that this machine has."""
    workspace: Workspace
    journal: RunJournal
    gpu_meter: GpuMeter
    spread: SpreadCopies
    gangs: GangExchange
    payments: PaymentOffice | None = None
    """Is paid for runs; None: nothing is paid here."""
    conduct: Conduct = HONEST
    """On a test network a worker may do wrong on purpose."""

    @property
    def own(self) -> PeerId:
        """This worker."""
        return self.node_key.peer_id
