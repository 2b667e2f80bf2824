"""What the control API needs of a node; `Node` has it, and so has the fake of the tests."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import trio

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.gateway.purse_subject import PurseSubject
from skyops_p2p.node.evidence.views import EvidenceView
from skyops_p2p.node.job_preview import PreviewView
from skyops_p2p.node.job_rows import JobRowView
from skyops_p2p.node.jobs.job_views import CheckpointView, JobView, LogLineView, PublishedView, ResultView
from skyops_p2p.node.jobs.verdict_views import VerdictsView, VerdictView
from skyops_p2p.node.jobs.verify_views import VerifyView
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.node.reputation.views import ReputationView
from skyops_p2p.node.settlement.settlement_views import (
    BillingView,
    EarnedJobView,
    EarningsView,
    GroupName,
    PairView,
    QuoteView,
    ReceiptView,
    SettledView,
)
from skyops_p2p.node.views import (
    MapQuery,
    NodeEventView,
    NodeView,
    PeerView,
    ProofView,
    SessionView,
    StatusView,
)
from skyops_p2p.types import Multiaddr, PeerId


class JobSubject(Protocol):
    """One job of the node; `Job` is one."""

    def view(self) -> JobView:
        """Return how it stands."""

    async def wait_changed(self) -> JobView:
        """Wait until something has happened to it, and return how it stands then."""

    def logs(self, *, follow: bool = ..., shard: int | None = ...) -> AsyncIterator[LogLineView]:
        """Yield its log: what is here, and with `follow` what comes until it ends.

        Raises:
            ExecutionError: `no_shard`.
        """

    async def result(self, into: Path, *, progress: Callable[[int, int], None] = ...) -> ResultView:
        """Wait for its end and decrypt its outputs into a directory.

        Raises:
            ExecutionError: `no_result` or `result_in_the_way`.
        """

    async def publish(self, *, progress: Callable[[int, int], None] = ...) -> PublishedView:
        """Wait for its end and put its outputs out in plain, for everybody.

        Raises:
            ExecutionError: `no_result`.
        """

    async def verify(
        self, *, shard: int | None = ..., is_stretch: bool = ..., progress: Callable[[int, int], None] = ...
    ) -> VerifyView:
        """Wait for its end, run it again here, and compare.

        Raises:
            ExecutionError: `not_deterministic`, `no_result`, `no_stretch`, `no_shard`, `verify_busy` or `inputs_gone`.
        """

    async def verdict(self, *, shard: int = ...) -> VerdictView:
        """Return what came of comparing a shard's results.

        Raises:
            ExecutionError: `no_shard` or `no_verdict`.
        """

    def checkpoints(self) -> tuple[CheckpointView, ...]:
        """Return its saved checkpoints."""

    async def cancel(self) -> None:
        """End it."""

    def retry(self) -> None:
        """Run again what has not succeeded.

        Raises:
            ExecutionError: `job_open` or `job_succeeded`.
        """


class JobDesk(Protocol):
    """All jobs of the node; `Jobs` is one."""

    async def submit(
        self, spec: JobSpec, *, base_dir: Path | None = ..., secrets: Sequence[tuple[str, bytes]] | None = ...
    ) -> JobSubject:
        """Take a job; it survives a restart from then on.

        Raises:
            ExecutionError: `too_many_jobs` or `unknown_job`.
        """

    def find(self, text: str) -> JobSubject:
        """Return the job that an id, a unique beginning of one, or a name stands for.

        Raises:
            ExecutionError: `unknown_job` or `ambiguous_job`.
        """

    def rows(self, *, is_open: bool = ...) -> tuple[JobRowView, ...]:
        """Return a row for each job, or for each that has not ended, oldest first."""


class PaymentSubject(Protocol):
    """What the node pays and is paid; `Payments` is one.

    Each call but `billing` raises ConfigError `payment_not_configured` where nothing is paid.
    """

    def billing(self, job_id: bytes, name: str, replicas: Sequence[bytes] = ...) -> BillingView:
        """Return what a job and its replicas have cost."""

    def earnings(self, *, by: GroupName = ...) -> EarningsView:
        """Return what the node has earned as a worker."""

    def earned(self, job: str) -> EarnedJobView:
        """Return why one job has brought what it has, by the beginning of its id."""

    def pairs(self) -> tuple[PairView, ...]:
        """Return all pairs."""

    def receipt(self, lane: bytes) -> ReceiptView:
        """Return the receipt of a lease with its proof.

        Raises:
            ExecutionError: `unknown_lane`, `no_receipt`, `receipt_unprovable`.
        """

    def evidence(self, who: str = ...) -> EvidenceView:
        """Return receipts that the node holds: everybody's, or those of a wallet, a job or a peer."""

    def verdicts(self) -> VerdictsView:
        """Return the verdicts that the node holds, its own and others'."""

    def verdict(self, name: str) -> VerdictView:
        """Return one of these by how its name begins.

        Raises:
            ExecutionError: `no_verdict`.
        """

    async def reputation(self, who: str = ...) -> ReputationView:
        """Return what the node thinks of everybody, or of a wallet or a peer with the reasons."""

    async def quote(self) -> QuoteView:
        """Return what redeeming everything now would bring."""

    async def settle(self) -> SettledView:
        """Redeem everything now, and wait for its end."""

    @property
    def purse(self) -> PurseSubject:
        """The wallet's own money, for a person's commands."""


class Subject(Protocol):
    """The node that is controlled."""

    def status(self) -> StatusView:
        """Return the node's own screen."""

    def peers(self) -> tuple[PeerView, ...]:
        """Return the links to peers."""

    def map(self, query: MapQuery = ...) -> tuple[NodeView, ...]:
        """Return the nodes on the map that match."""

    def node(self, peer_or_prefix: str) -> NodeView:
        """Return one node of the map.

        Raises:
            NetworkError: `unknown_peer` or `ambiguous_peer`.
        """

    async def preview(self, spec: JobSpec) -> PreviewView:
        """Return which nodes of the map could run a job, and why the others could not."""

    def find_peer(self, text: str) -> PeerId:
        """Return the peer that a whole id, a unique beginning or end of one on the map, or "self" names.

        Raises:
            NetworkError: `unknown_peer` or `ambiguous_peer`.
        """

    async def search(self, query: MapQuery) -> int:
        """Look in the DHT for nodes that match; return how many are new."""

    async def ping(self, peer: PeerId) -> float:
        """Return the round trip to a peer in seconds."""

    async def handshake(self, peer: PeerId) -> SessionView:
        """Open a session with a peer."""

    async def prove(self, peer: PeerId, *, again: bool = False, memory_mib: int = 0) -> ProofView:
        """Have a worker prove what it computes."""

    async def join(self, addr: Multiaddr) -> PeerId:
        """Dial a multiaddr with /p2p."""

    async def match(self, spec: JobSpec, *, progress: Callable[[MatchStepView], None] = ...) -> MatchView:
        """Look for a worker for a job, telling each step."""

    @property
    def jobs(self) -> JobDesk:
        """The jobs that it has submitted.

        Raises:
            ExecutionError: `no_jobs_here`.
        """

    @property
    def payments(self) -> PaymentSubject:
        """What it pays and is paid."""

    def events(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[NodeEventView]]:
        """Follow what happens, boundedly."""

    def metrics(self) -> str:
        """Return Prometheus text."""


class FaultSwitch(Protocol):
    """Sets the faults of a node on a test network."""

    def describe(self) -> Mapping[str, object]:
        """Return the faults in force, as `apply` takes them."""

    async def apply(self, faults: Mapping[str, object]) -> None:
        """Replace all faults.

        Raises:
            TestnetError: `faults_invalid`.
        """


Stop = Callable[[], None]
"""Begins a clean stop of the program; returns at once."""
