"""Workers with provers over a simulated network, and alice, who asks them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.match_view import MatchView
from skyops_p2p.node.runtime import Node
from skyops_p2p.ports import ProverSpeed
from skyops_p2p.simulation.prover import SimProver
from skyops_p2p.wire.envelope import open_envelope
from skyops_p2p.wire.messages.auction import BidBook, Observation
from skyops_p2p.wire.messages.proof import ProofChallenge, ProofRoot
from tests.unit.node.small_world import SmallWorld, all_in_state, identity, small_world
from tests.unit.node.test_market import RULES, job

BOB, CAROL, MALLORY = (identity(name).node_key.peer_id for name in ("bob", "carol", "mallory"))
QUICK, SLOW = 2_000_000_000, 5_000_000
"""Operations a second: numpy on a processor, and plain Python."""


class CountedProver(SimProver):
    """One that remembers what it was asked."""

    def __init__(self, operations_per_s: int = SLOW, **more: Any) -> None:
        super().__init__(operations_per_s, **more)
        self.begun: list[ProofChallenge] = []
        self.prepared = 0

    async def prepare(self) -> ProverSpeed:
        self.prepared += self.work is None
        return await super().prepare()

    async def begin(self, challenge: bytes, asked: ProofChallenge) -> ProofRoot:
        self.begun.append(asked)
        return await super().begin(challenge, asked)


def poc_job(**fields: object) -> JobSpec:
    return job(award={"policy": "poc"}, **fields)


@asynccontextmanager
async def market(*names: str, **provers: SimProver) -> AsyncIterator[tuple[SmallWorld, Node]]:
    """Alice's node and the workers that are named, with their provers; all know each other."""
    workers = names or tuple(provers)
    async with small_world() as world, AsyncExitStack() as stack:
        world.provers.update(provers)
        alice = await stack.enter_async_context(world.node("alice"))
        nodes = [
            await stack.enter_async_context(world.node(name, join="alice", worker={"slots": 4}))
            for name in workers
        ]
        for node in (alice, *nodes):
            await node.wait_for(all_in_state("active", ["alice", *workers]), timeout_s=60)
        yield world, alice


def seen(world: SmallWorld, ended: MatchView) -> dict[bytes, Observation]:
    """Return what the bid book says was observed, after an audit."""
    data = world.shelves["alice"].books[bytes.fromhex(ended.book_digest)]
    assert audit(data, RULES).ok
    book = open_envelope(data, BidBook, RULES.network).message
    return {one.bidder: one for one in book.observations}


def reasons(ended: MatchView) -> dict[str, tuple[str, str]]:
    return {one.peer_id: (one.code, one.detail) for one in ended.outcomes}
