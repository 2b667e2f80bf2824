"""Proofs of compute between nodes over a simulated network: before a match, asked for alone, and kept."""

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.auction.poc_sizes import FOR_NUMPY, FOR_PYTHON
from skyops_p2p.errors import NetworkError, SkyopsError
from skyops_p2p.node.match_view import MatchStepView, MatchView
from tests.unit.node.proof_world import (
    BOB,
    MALLORY,
    QUICK,
    SLOW,
    CountedProver,
    market,
    poc_job,
    reasons,
    seen,
)
from tests.unit.node.small_world import all_in_state, small_world
from tests.unit.node.test_market import job


# --- matches ----------------------------------------------------------------------------------------------------
async def test_match_under_poc_is_awarded_by_proven_throughput(autojump_clock: MockClock) -> None:  # AUC-39
    steps: list[MatchStepView] = []
    async with market(bob=CountedProver(QUICK), carol=CountedProver(SLOW)) as (world, alice):
        ended = await alice.match(poc_job(), progress=steps.append)
        assert ended.is_matched, ended
        assert (steps[0].step, steps[0].count) == ("proving", 2)
        slow, quick = sorted(one.throughput for one in seen(world, ended).values())
        assert slow > 0
        assert slow * 100 < quick
        assert ended.winner == BOB, "the odds are a hundred to one"


async def test_proof_counts_for_the_next_match_and_is_not_asked_again(autojump_clock: MockClock) -> None:
    bob, steps = CountedProver(), list[MatchStepView]()
    async with market(bob=bob) as (_, alice):
        assert (await alice.match(poc_job())).is_matched
        assert (await alice.match(poc_job(), progress=steps.append)).is_matched
        assert steps[0].step == "asked"
        assert len(bob.begun) == 1


async def test_matches_at_once_share_one_round_of_challenges(autojump_clock: MockClock) -> None:
    bob, carol = CountedProver(), CountedProver()
    async with market(bob=bob, carol=carol) as (_, alice):
        ended: list[MatchView] = []

        async def match() -> None:
            ended.append(await alice.match(poc_job()))

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(match)
        assert all(one.is_matched for one in ended)
        assert (len(bob.begun), len(carol.begun)) == (1, 1)


async def test_workers_beyond_those_challenged_at_once_are_asked_the_next_time(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PROOFS_ASKED_MAX", 1)
    async with market(bob=CountedProver(), carol=CountedProver()) as (_, alice):
        first = await alice.match(poc_job())
        assert first.is_matched
        assert ("proof_stale", "proof_missing") in reasons(first).values()
        second = await alice.match(poc_job())
        assert "proof_stale" not in {code for code, _ in reasons(second).values()}


async def test_other_policies_ask_for_no_proof(autojump_clock: MockClock) -> None:
    bob = CountedProver()
    async with market(bob=bob) as (world, alice):
        ended = await alice.match(job())
        assert ended.is_matched
        assert [one.throughput for one in seen(world, ended).values()] == [0]
        assert bob.prepared == 0


async def test_worker_without_a_prover_is_stale_and_says_why(autojump_clock: MockClock) -> None:
    async with market("bob") as (_, alice):
        ended = await alice.match(poc_job())
        assert (ended.is_matched, ended.code) == (False, "no_candidates")
        assert reasons(ended) == {BOB: ("proof_stale", "prover_failed")}


# --- one worker, asked by a person ------------------------------------------------------------------------------
async def test_node_asks_one_worker_and_shows_what_it_proved(autojump_clock: MockClock) -> None:
    bob = CountedProver(QUICK)
    async with market(bob=bob) as (_, alice):
        proof = await alice.prove(BOB)
        assert proof.is_new
        assert (proof.peer_id, proof.size) == (BOB, FOR_NUMPY.size), "a smaller one than for its GPUs"
        assert proof.throughput == FOR_NUMPY.operations // (proof.took_ms * 1000)
        assert proof.took_ms >= FOR_NUMPY.operations * 1000 // QUICK
        again = await alice.prove(BOB)
        assert not again.is_new
        assert again.throughput == proof.throughput
        assert len(bob.begun) == 1
        with pytest.raises(SkyopsError) as refused:
            await alice.prove(BOB, again=True)
        assert refused.value.code == "proof_spent"
        assert refused.value.hint


async def test_filled_memory_is_proven_and_leaves_no_throughput(autojump_clock: MockClock) -> None:  # AUC-25
    bob = CountedProver()
    async with market(bob=bob) as (_, alice):
        proof = await alice.prove(BOB, memory_mib=1)
        assert (proof.memory_bytes, proof.size) == (1 << 20, FOR_PYTHON.size)
        assert alice._market.proofs.fresh(BOB) is None


async def test_node_that_is_no_worker_or_not_there_cannot_be_asked(autojump_clock: MockClock) -> None:
    async with (
        small_world() as world,
        world.node("alice", worker={"enabled": False}) as alice,
        world.node("bob", join="alice") as bob,
    ):
        await bob.wait_for(all_in_state("active", ["alice", "bob"]), timeout_s=60)
        with pytest.raises(SkyopsError) as refused:
            await bob.prove(alice.peer_id)
        assert refused.value.code == "not_a_worker"
        with pytest.raises(NetworkError) as unknown:
            await bob.prove(MALLORY)
        assert unknown.value.code == "unknown_peer"
        with pytest.raises(NetworkError) as itself:
            await bob.prove(bob.peer_id)
        assert itself.value.code == "own_peer"


async def test_prover_is_given_back_when_nobody_asks(autojump_clock: MockClock) -> None:
    bob = CountedProver()
    async with market(bob=bob) as (_, alice):
        assert bob.work is None
        await alice.prove(BOB)
        assert bob.work is not None
        await trio.sleep(limits.PROOF_WARM_S + 1)
        assert bob.work is None, "its memory is for jobs"
    assert bob.prepared == 1


# --- restarts ---------------------------------------------------------------------------------------------------
async def test_proofs_survive_a_restart_of_the_asker(autojump_clock: MockClock) -> None:
    bob = CountedProver()
    async with small_world() as world:
        world.provers["bob"] = bob
        async with world.node("bob"):
            async with world.node("alice", join="bob") as alice:
                await alice.wait_for(all_in_state("active", ["alice", "bob"]), timeout_s=60)
                before = await alice.prove(BOB)
            async with world.node("alice", join="bob") as alice:
                await alice.wait_for(all_in_state("active", ["alice", "bob"]), timeout_s=60)
                await trio.sleep(10)
                ended = await alice.match(poc_job())
                assert ended.is_matched, ended
                assert [one.throughput for one in seen(world, ended).values()] == [before.throughput]
                assert len(bob.begun) == 1
