"""What the jobs of a requester are made with, together."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import trio

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.content.shelf import ContentShelf
from skyops_p2p.node.job_ports import OpenRuntime
from skyops_p2p.node.jobs.inputs import Resolve
from skyops_p2p.node.jobs.lease_client import OpenSession
from skyops_p2p.node.jobs.records import JobRecords
from skyops_p2p.node.jobs.verdicts import VerdictFiles
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.node.settlement.office import PaymentOffice
from skyops_p2p.ports import Entropy, WallClock, Workspace
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.execution import HolderPart
from skyops_p2p.wire.messages.verification import CandidatePart
from skyops_p2p.wire.model import Message

AskWitnesses = Callable[[PeerId], Awaitable[bool | None]]
"""Ask others whether they reach a peer: True, False, or None if nobody could say."""
ChooseKeepers = Callable[[PeerId], tuple[HolderPart, ...]]
"""(worker) -> nodes that may keep copies of its checkpoints."""


Publish = Callable[[Path, str], Awaitable[str]]
"""(directory, owner) -> CID as text: the directory as plain UnixFS, which everybody may fetch."""


class Draws(Protocol):
    """From whom replicas are drawn; see DrawPool."""

    def candidates(self, spec: JobSpec) -> tuple[CandidatePart, ...]:
        """Return those who can be drawn for a job."""

    def binding(self, peer: PeerId) -> bytes | None:
        """Return a node's enveloped Binding."""

    def wallet(self, peer: PeerId) -> bytes | None:
        """Return whose node it is, 20 bytes."""

    def kin(self, peer: PeerId) -> tuple[PeerId, ...]:
        """Return the nodes of a node's wallet, itself first."""


class SpotChecks(Protocol):
    """Which results are checked, where a job asks for spot checks; see spot_checks.SpotChecks."""

    def is_due(self, worker: PeerId, spec: JobSpec, price: int, *, lot: int) -> bool:
        """Tell whether a result must be checked."""


class FindWorker(Protocol):
    """Runs a match; see Market.match."""

    async def __call__(
        self,
        spec: JobSpec,
        progress: Callable[[MatchStepView], None],
        *,
        excluded: Sequence[PeerId],
        job_id: bytes,
        only: Sequence[PeerId] = (),
        computing: Sequence[PeerId] = (),
    ) -> MatchView:
        """Return how it ended."""


@dataclass(frozen=True, slots=True)
class JobTools:
    """Everything that a job needs of its node."""

    network: str
    own: PeerId
    wall_clock: WallClock
    entropy: Entropy
    shelf: ContentShelf
    records: JobRecords
    folder: Path
    """Holds a directory for each job: logs, and results that were asked for."""
    find_worker: FindWorker
    release_award: Callable[[bytes], None]
    """Gives the award of that digest back; see Market.release_award."""
    open_session: OpenSession
    ask_witnesses: AskWitnesses
    choose_keepers: ChooseKeepers
    likely_keepers: ChooseKeepers
    """Who may have such copies."""
    own_holder: Callable[[], HolderPart]
    """Where this node itself can be reached for bundles."""
    holder_of: Callable[[PeerId], HolderPart]
    """Where a node of the map can be reached."""
    resolvers: Mapping[str, Resolve]
    """Scheme of an input's URI -> how its data gets here, besides `file:` and `job:`."""
    draws: Draws
    """Workers from whom those are drawn that compute a result once more."""
    own_binding: Callable[[], bytes]
    """Says whose node this is; enveloped."""
    spot_checks: SpotChecks
    """Knows how likely a worker's results are to be checked."""
    sign: Callable[[Message], bytes]
    """Envelopes what this node says, for others to check."""
    verdicts: VerdictFiles
    """What comes of comparing results."""
    publish: Publish
    """Puts outputs where IPFS nodes find them, on the person's word."""
    tell: Callable[[str, PeerId, str], None]
    """Tells whoever watches the node."""
    workspace: Workspace
    """For runs that this node makes for itself."""
    open_own_runtime: OpenRuntime
    """Opens what they run in."""
    payments: PaymentOffice | None = None
    """Pays leases; None: nothing is paid here."""
    verify_turn: trio.Lock = field(default_factory=trio.Lock)
    """Held while a job is run again to verify it: one at a time."""
