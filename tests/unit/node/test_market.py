"""Whole matches between nodes over a simulated network in virtual time."""

import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.jobs.problems import check_spec
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.node.match_view import MatchStepView
from skyops_p2p.node.runtime import Node
from skyops_p2p.types import NetworkName
from tests.unit.node.small_world import SmallWorld, all_in_state, identity, small_world

RULES = NetworkRules(NetworkName("testnet-small"), 31337, is_testnet=True)


def job(**fields: object) -> JobSpec:
    spec, problems = check_spec({"name": "t", "runtime": "wasm", "module": "file:t.wasm", **fields})
    assert spec is not None, problems
    return spec


async def market(world: SmallWorld, alice: Node) -> None:
    await alice.wait_for(all_in_state("active", ["alice", "bob", "carol"]), timeout_s=60)
    await trio.sleep(10)


async def test_job_finds_a_worker_and_the_book_passes_the_audit(autojump_clock: MockClock) -> None:
    steps: list[MatchStepView] = []
    async with (
        small_world() as world,
        world.node("alice") as alice,
        world.node("bob", join="alice") as bob,
        world.node("carol", join="alice") as carol,
    ):
        await market(world, alice)
        ended = await alice.match(job(), progress=steps.append)
        assert ended.is_matched, ended
        assert ended.winner in (bob.peer_id, carol.peer_id)
        assert ended.elapsed_ms < limits.MATCH_TIMEOUT_S * 1000
        assert steps[0].step == "asked"
        data = world.shelves["alice"].books[bytes.fromhex(ended.book_digest)]
        assert audit(data, RULES).ok
        flipped = bytearray(data)
        flipped[len(data) // 2] ^= 1
        assert not audit(bytes(flipped), RULES).ok


async def test_awarded_capacity_is_held_and_comes_back(autojump_clock: MockClock) -> None:
    async with (
        small_world() as world,
        world.node("alice") as alice,
        world.node("bob", join="alice"),
        world.node("carol", join="alice"),
    ):
        await market(world, alice)
        first, second = await alice.match(job()), await alice.match(job())
        assert first.is_matched
        assert second.is_matched
        assert first.winner != second.winner  # one slot each
        third = await alice.match(job())
        assert not third.is_matched
        assert {one.code for one in third.outcomes} == {"slots_busy"}
        assert all(reason.change for reason in third.reasons)


async def test_nobody_qualifies_and_everybody_has_a_reason(autojump_clock: MockClock) -> None:
    async with (
        small_world() as world,
        world.node("alice") as alice,
        world.node("bob", join="alice"),
        world.node("carol", join="alice"),
    ):
        await market(world, alice)
        ended = await alice.match(job(resources={"gpu": "4xB200"}))
        assert not ended.is_matched
        assert ended.code
        peers = {identity(name).node_key.peer_id for name in ("bob", "carol")}
        assert {one.peer_id for one in ended.outcomes} == peers
        assert ended.elapsed_ms <= limits.MATCH_TIMEOUT_S * 1000


async def test_worker_without_a_connection_is_dialled(autojump_clock: MockClock) -> None:
    async with (
        small_world() as world,
        world.node("alice") as alice,
        world.node("bob", join="alice", peers_target=1) as bob,
        world.node("carol", join="alice", peers_target=1) as carol,
    ):
        await market(world, alice)
        await bob.wait_for(all_in_state("active", ["alice", "bob", "carol"]), timeout_s=60)
        assert {peer.peer_id for peer in bob.peers() if peer.state == "connected"} == {alice.peer_id}
        ended = await bob.match(job(placement={"allow": [carol.peer_id]}))
        assert ended.is_matched, ended
        assert ended.winner == carol.peer_id


async def test_worker_that_dies_after_its_bid_is_followed_by_another(autojump_clock: MockClock) -> None:
    async with (
        small_world() as world,
        world.node("alice") as alice,
        world.node("bob", join="alice") as bob,
        world.node("carol", join="alice") as carol,
    ):
        await market(world, alice)
        killed: list[str] = []

        def kill_first_choice(step: MatchStepView) -> None:
            if step.step == "awarding" and not killed:
                killed.append(step.peer_id)
                number = 1 if step.peer_id == bob.peer_id else 2
                world.fabric.member(number).kill()  # type: ignore[union-attr]

        ended = await alice.match(job(), progress=kill_first_choice)
        assert ended.is_matched
        assert ended.rank == 1
        assert {ended.winner, killed[0]} == {bob.peer_id, carol.peer_id}
