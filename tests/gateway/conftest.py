"""A node that answers from constants, for tests of the API that need no network."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.node.job_preview import PreviewView, preview_job
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.node.views import (
    GpuView,
    MapQuery,
    NodeEventView,
    NodeView,
    PeerView,
    ProofView,
    SessionView,
    StatusView,
)
from skyops_p2p.types import Multiaddr, PeerId
from tests.gateway.fake_jobs import BOB, FakeJobs
from tests.gateway.fake_payments import FakePayments

ALICE = "12D3KooWAliceAliceAliceAliceAliceAliceAliceAliceAlic"
MALLORY = "12D3KooWMallorymalloryMallorymalloryMallorymalloryMa"
A100 = GpuView(model="A100", vram_mib=80 * 1024, compute_capability="8.0")


def node_view(peer: str, *, is_self: bool = False) -> NodeView:
    return NodeView(
        peer_id=peer,
        wallet="0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B",
        state="active",
        reason="heartbeat 0.4 s ago",
        is_self=is_self,
        is_worker=not is_self,
        agent="skyops/0.1.0",
        region="eu",
        labels=(),
        addrs=("/ip4/127.0.0.1/tcp/4711",),
        gpus=(A100,),
        hardware_source="declared",
        cpu_model="test",
        cpu_cores=2,
        memory_mib=2048,
        disk_mib=4096,
        runtimes=("wasm",),
        slots=1,
        slots_free=1,
        load_permille=0,
        price_microcredits_per_hour=1_000_000,
        sequence=1,
        seen_s_ago=0.4,
        round_trip_ms=None,
        history=(),
    )


def proof_view(peer: str, *, is_new: bool = True, memory_mib: int = 0) -> ProofView:
    return ProofView(
        peer_id=peer,
        throughput=14_250,
        is_new=is_new,
        proven_unix_ms=1_700_000_000_000,
        took_ms=75 if is_new else 0,
        size=512 if is_new else 0,
        operations=1_073_741_824 if is_new else 0,
        memory_bytes=memory_mib << 20,
    )


class FakeNode:
    """Alice's node, which knows bob; mallory refuses everything."""

    def __init__(self) -> None:
        self.jobs = FakeJobs()
        self.payments = FakePayments()
        self.queries: list[MapQuery] = []
        self.feeds: list[trio.MemorySendChannel[NodeEventView]] = []
        self.is_listening = True
        self.pong_gate = trio.Event()
        self.pong_gate.set()

    def status(self) -> StatusView:
        return StatusView(
            peer_id=ALICE,
            wallet="0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B",
            network="testnet-4f2a",
            agent="skyops/0.1.0",
            is_worker=False,
            is_testnet=True,
            listen=(f"/ip4/127.0.0.1/tcp/4711/p2p/{ALICE}",) if self.is_listening else (),
            connections=1,
            map_counts={"active": 2},
            sessions=0,
            uptime_s=1.5,
            gpus=(),
            hardware_source="none",
            started_unix_ms=1_700_000_000_000,
            warnings=(),
        )

    def peers(self) -> tuple[PeerView, ...]:
        return (
            PeerView(
                peer_id=BOB, state="connected", is_outbound=True, addrs=(), failures=0, reason="dialled"
            ),
        )

    def map(self, query: MapQuery | None = None) -> tuple[NodeView, ...]:
        self.queries.append(query or MapQuery())
        return (node_view(ALICE, is_self=True), node_view(BOB))

    async def match(
        self, spec: JobSpec, *, progress: Callable[[MatchStepView], None] = lambda _step: None
    ) -> MatchView:
        progress(MatchStepView(step="asked", round=0, peer_id="", code="", count=2))
        if spec.name == "crowded":
            raise SkyopsError("64 matches run already", code="too_many_matches", hint="Wait.")
        ended = {"is_matched": True, "code": "accepted", "winner": BOB, "job_id": "00" * 16}
        return MatchView.model_validate(
            {**ended, "rounds": 1, "elapsed_ms": 9, "reasons": (), "outcomes": ()}
        )

    async def preview(self, spec: JobSpec) -> PreviewView:
        await trio.lowlevel.checkpoint()
        return preview_job(spec, (), own=PeerId(ALICE))

    def node(self, peer_or_prefix: str) -> NodeView:
        hits = [peer for peer in (ALICE, BOB, MALLORY) if peer.startswith(peer_or_prefix)]
        if not hits:
            raise NetworkError(
                f"no node {peer_or_prefix!r} on the map", code="unknown_peer", hint="Look at it."
            )
        if len(hits) > 1:
            raise NetworkError(f"{peer_or_prefix!r} fits {len(hits)} nodes", code="ambiguous_peer")
        return node_view(hits[0])

    def find_peer(self, text: str) -> PeerId:
        return PeerId(ALICE if text == "self" else self.node(text).peer_id)

    async def search(self, query: MapQuery) -> int:
        self.queries.append(query)
        return 3

    async def ping(self, peer: PeerId) -> float:
        await self.pong_gate.wait()
        if peer == MALLORY:
            raise NetworkError("mallory does not answer", code="network_timeout")
        if not self.is_listening:
            raise RuntimeError("a bug inside")
        return 0.0042

    async def handshake(self, peer: PeerId) -> SessionView:
        if peer == MALLORY:
            raise RemoteProtocolError("wrong signature", code="bad_signature", rule="HSK-7", peer=peer)
        return SessionView(
            session_id="00" * 16,
            peer_id=peer,
            wallet="0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B",
            is_initiator=True,
            version=1,
            expires_in_s=3600.0,
            agent="skyops/0.1.0",
            is_worker=True,
            gpus=(A100,),
            runtimes=("wasm",),
            modes=("flex",),
            tokens=(),
            took_ms=12.0,
        )

    async def prove(self, peer: PeerId, *, again: bool = False, memory_mib: int = 0) -> ProofView:
        if peer == MALLORY:
            raise SkyopsError("no, thanks", code="proof_spent", hint="Try again in half an hour.")
        return proof_view(peer, is_new=again, memory_mib=memory_mib)

    async def join(self, addr: Multiaddr) -> PeerId:
        return PeerId(addr.rpartition("/")[2])

    @asynccontextmanager
    async def events(self) -> AsyncIterator[trio.MemoryReceiveChannel[NodeEventView]]:
        send, receive = trio.open_memory_channel[NodeEventView](8)
        self.feeds.append(send)
        async with receive:
            yield receive
        self.feeds.remove(send)

    def metrics(self) -> str:
        return "# TYPE skyops_connections gauge\nskyops_connections 1.0\n"


class FakeFaults:
    """Remembers what was set."""

    def __init__(self) -> None:
        self.applied: dict[str, object] = {"blocked": []}

    def describe(self) -> dict[str, object]:
        return self.applied

    async def apply(self, faults: dict[str, object]) -> None:
        self.applied = dict(faults)


@pytest.fixture
def fake_node() -> FakeNode:
    return FakeNode()
