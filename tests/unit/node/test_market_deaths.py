"""Requesters and workers that die at each step of a match, over a simulated network in virtual time.

Whoever dies: the others end with a coded outcome, what was reserved comes back, and no job is promised twice.
"""

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.auction.audit import audit
from skyops_p2p.node.runtime import Node
from skyops_p2p.simulation.network import SimNetwork
from tests.unit.node.small_world import small_world
from tests.unit.node.test_market import RULES, job, market


def claims(*nodes: Node) -> dict[str, str]:
    """Return who holds capacity, and how firmly."""
    return {
        node.peer_id: claim.state.value
        for node in nodes
        for claim in node._market.bidding.desk._context.capacity.claims()
    }


class Death:
    """Kills the first node that comes to a moment of a match.

    Args:
        moment: See `small_world.Tap`.
        kind: Of the request.
    """

    def __init__(self, moment: str, kind: str) -> None:
        self.at = (moment, kind)
        self.victim: SimNetwork | None = None

    def __call__(self, network: SimNetwork, moment: str, kind: str, _request: bytes) -> None:
        if self.victim is None and (moment, kind) == self.at:
            self.victim = network
            network.kill()


REQUESTER = [
    ("asks", "tender"),
    ("answered", "tender"),
    ("answered", "commit-ack"),
    ("asks", "reveal-request"),
    ("answered", "reveal-request"),
    ("asks", "award"),
    ("answered", "award"),
    ("answered", "release"),
]


@pytest.mark.parametrize(("moment", "kind"), REQUESTER, ids=[" ".join(step) for step in REQUESTER])
async def test_requester_that_dies_costs_the_workers_nothing_but_time(
    moment: str, kind: str, autojump_clock: MockClock
) -> None:
    death = Death(moment, kind)
    async with (
        small_world() as world,
        world.node("bob") as bob,
        world.node("carol", join="bob") as carol,
    ):
        world.taps["alice"] = death
        async with world.node("alice", join="bob") as alice:
            await market(world, alice)
            await alice.match(job())
            await trio.sleep(1)  # nobody waits for the answers to releases
            assert death.victim is not None
        await trio.sleep(limits.MATCH_TIMEOUT_S)
        assert "reserved" not in claims(bob, carol).values(), "bids end with their tender"
        await trio.sleep(limits.LEASE_START_TIMEOUT_S)
        assert claims(bob, carol) == {}, "and awards when no job begins"
        world.taps.clear()
        async with world.node("alice", join="bob") as alice:
            await market(world, alice)
            winners = {(await alice.match(job())).winner for _ in range(2)}
            assert winners == {bob.peer_id, carol.peer_id}


async def test_requester_that_dies_after_its_book_has_it_stored(autojump_clock: MockClock) -> None:  # AUC-26
    death = Death("asks", "award")
    async with small_world() as world, world.node("bob"):
        world.taps["alice"] = death
        async with world.node("alice", join="bob") as alice:
            await alice.wait_for(lambda node: len(node.map()) == 2, timeout_s=60)
            await trio.sleep(10)
            await alice.match(job())
        (book,) = world.shelves["alice"].books.values()
        assert audit(book, RULES).ok


WORKER = [
    ("takes", "tender"),
    ("answers", "tender"),
    ("takes", "commit-ack"),
    ("answers", "commit-ack"),
    ("takes", "reveal-request"),
    ("answers", "reveal-request"),
    ("takes", "award"),
    ("answers", "award"),
]
"""At "answers" it dies before its answer has left."""


@pytest.mark.parametrize(("moment", "kind"), WORKER, ids=[" ".join(step) for step in WORKER])
async def test_worker_that_dies_is_followed_by_another(
    moment: str, kind: str, autojump_clock: MockClock
) -> None:
    death = Death(moment, kind)
    async with small_world() as world, world.node("alice") as alice:
        world.taps.update(bob=death, carol=death)
        async with world.node("bob", join="alice") as bob, world.node("carol", join="alice") as carol:
            await market(world, alice)
            ended = await alice.match(job())
            assert death.victim is not None
            assert ended.is_matched
            assert {ended.winner, death.victim.peer_id} == {bob.peer_id, carol.peer_id}
            (outcome,) = [one for one in ended.outcomes if one.peer_id == death.victim.peer_id]
            assert outcome.code == _code_of(kind)
            assert ended.elapsed_ms <= limits.MATCH_TIMEOUT_S * 1000
            book = world.shelves["alice"].books[bytes.fromhex(ended.book_digest)]
            assert audit(book, RULES).ok


def _code_of(kind: str) -> str:
    """Return what becomes of a worker that is gone when it is asked this; an acknowledgement it need not answer."""
    return {
        "tender": "no_answer",
        "commit-ack": "reveal_missing",
        "reveal-request": "reveal_missing",
        "award": "confirm_missing",
    }[kind]


async def test_winner_that_dies_after_it_confirmed_holds_its_lease_when_it_is_back(
    autojump_clock: MockClock,
) -> None:  # AUC-31
    async with small_world() as world, world.node("alice") as alice:
        async with world.node("bob", join="alice") as bob:
            await alice.wait_for(lambda node: len(node.map()) == 2, timeout_s=60)
            await trio.sleep(10)
            ended = await alice.match(job())
            assert ended.winner == bob.peer_id
            world.fabric.member(1).kill()  # type: ignore[union-attr]
        async with world.node("bob", join="alice") as bob:
            await trio.sleep(20)
            assert claims(bob) == {bob.peer_id: "leased"}
            again = await alice.match(job())
            assert not again.is_matched
            await trio.sleep(limits.LEASE_START_TIMEOUT_S)
            assert claims(bob) == {}
            assert [entry for entry in world.disks["bob"].journal if entry.stem == "auction"] == []
            assert (await alice.match(job())).winner == bob.peer_id
