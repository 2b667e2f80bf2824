"""Proofs of compute between nodes over a simulated network: before a match, asked for alone, and attacked."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.auction.poc_sizes import FOR_NUMPY, FOR_PYTHON
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.rules import AUCTION_PROTOCOL
from skyops_p2p.errors import ExecutionError, NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.node.runtime import Node
from skyops_p2p.ports import ProverSpeed
from skyops_p2p.simulation.prover import SimProver
from skyops_p2p.types import PeerId, WalletAddress
from skyops_p2p.wire.envelope import open_envelope
from skyops_p2p.wire.messages.auction import BidBook, Observation
from skyops_p2p.wire.messages.proof import OpeningRequest, Openings, ProofChallenge, ProofRoot
from skyops_p2p.wire.model import decode_message, encode_message
from tests.unit.node.small_world import SmallWorld, all_in_state, identity, small_world
from tests.unit.node.test_market import RULES, job

BOB, CAROL, MALLORY = (identity(name).node_key.peer_id for name in ("bob", "carol", "mallory"))
PROTOCOL = RULES.protocol_id(AUCTION_PROTOCOL)
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
    """Alice's node, which sees the workers that are named, with their provers."""
    async with small_world() as world, trio.open_nursery() as nursery:
        world.provers.update(provers)

        async def worker(name: str) -> None:
            async with world.node(name, join="alice", worker={"slots": 4}):
                await trio.sleep_forever()

        async with world.node("alice") as alice:
            for name in names or tuple(provers):
                nursery.start_soon(worker, name)
            await alice.wait_for(all_in_state("active", ["alice", *(names or provers)]), timeout_s=60)
            await trio.sleep(10)
            yield world, alice
            nursery.cancel_scope.cancel()


def seen(world: SmallWorld, ended: MatchView) -> dict[bytes, Observation]:
    """Return what the bid book says was observed, after an audit."""
    data = world.shelves["alice"].books[bytes.fromhex(ended.book_digest)]
    assert audit(data, RULES).ok
    book = open_envelope(data, BidBook, RULES.network).message
    return {one.bidder: one for one in book.observations}


def reasons(ended: MatchView) -> dict[str, tuple[str, str]]:
    return {one.peer_id: (one.code, one.detail) for one in ended.outcomes}


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


# --- liars ------------------------------------------------------------------------------------------------------
class WrongRow(CountedProver):
    """Shows a row that it did not commit to."""

    async def show(self, request: OpeningRequest) -> Openings:
        shown = await super().show(request)
        row = shown.rows[0]
        wrong = row.model_copy(update={"start": bytes([row.start[0] ^ 1]) + row.start[1:]})
        return shown.model_copy(update={"rows": (wrong, *shown.rows[1:])})


class WrongRoot(CountedProver):
    """Answers at once, with anything, and does the work later."""

    async def begin(self, challenge: bytes, asked: ProofChallenge) -> ProofRoot:
        self.honest = await super().begin(challenge, asked)
        return self.honest.model_copy(update={"root": bytes(32)})

    async def show(self, request: OpeningRequest) -> Openings:
        return await super().show(request.model_copy(update={"root": self.honest.root}))


class NothingToShow(CountedProver):
    """Shows nothing, again and again."""

    async def show(self, request: OpeningRequest) -> Openings:
        await trio.lowlevel.checkpoint()
        return Openings(rows=(), places=())


class Late(CountedProver):
    """Takes longer than anybody waits."""

    async def begin(self, challenge: bytes, asked: ProofChallenge) -> ProofRoot:
        root = await super().begin(challenge, asked)
        await trio.sleep(limits.PROOF_ROOT_S)
        return root


class Silent(CountedProver):
    """Does not answer."""

    async def begin(self, challenge: bytes, asked: ProofChallenge) -> ProofRoot:
        await trio.sleep_forever()
        raise AssertionError


class SilentLater(CountedProver):
    """Answers, and shows nothing."""

    async def show(self, request: OpeningRequest) -> Openings:
        await trio.sleep_forever()
        raise AssertionError


class Broken(CountedProver):
    """Has no memory left."""

    async def begin(self, challenge: bytes, asked: ProofChallenge) -> ProofRoot:
        await trio.lowlevel.checkpoint()
        raise ExecutionError("it ended by itself", code="prover_failed")


class Unprepared(CountedProver):
    """Never comes up."""

    async def prepare(self) -> ProverSpeed:
        await trio.sleep(1.0)
        raise ExecutionError("it cannot be started", code="prover_failed")


LIARS: dict[str, tuple[Callable[[], CountedProver], str]] = {
    "wrong row": (WrongRow, "proof_fails"),
    "wrong root": (WrongRoot, "proof_fails"),
    "nothing to show": (NothingToShow, "proof_fails"),
    "too late": (Late, "proof_late"),
    "silent": (Silent, "proof_late"),
    "silent when it is to show": (SilentLater, "proof_late"),
    "broken": (Broken, "prover_failed"),
    "never ready": (Unprepared, "prover_failed"),
}


@pytest.mark.parametrize("case", LIARS)
async def test_worker_that_does_not_prove_itself_is_stale_with_the_reason(  # AUC-37, AUC-38
    case: str, autojump_clock: MockClock
) -> None:
    make, reason = LIARS[case]
    async with market(bob=CountedProver(), carol=make()) as (_, alice):
        started_at = trio.current_time()
        ended = await alice.match(poc_job())
        assert ended.is_matched, ended
        assert ended.winner == BOB
        assert reasons(ended)[CAROL] == ("proof_stale", reason)
        took_s = trio.current_time() - started_at
        assert took_s < limits.PROOF_ROOT_S + limits.PROOF_OPEN_S + limits.MATCH_TIMEOUT_S


async def test_worker_that_failed_is_left_alone_for_a_while(autojump_clock: MockClock) -> None:
    bob = Broken()
    async with market(bob=bob) as (_, alice):
        for _ in range(3):
            ended = await alice.match(poc_job())
            assert reasons(ended) == {BOB: ("proof_stale", "prover_failed")}
        assert bob.prepared == 1


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


async def test_prover_is_given_back_when_nobody_asks(autojump_clock: MockClock) -> None:
    bob = CountedProver()
    async with market(bob=bob) as (_, alice):
        assert bob.work is None
        await alice.prove(BOB)
        assert bob.work is not None
        await trio.sleep(limits.PROOF_WARM_S + 1)
        assert bob.work is None, "its memory is for jobs"
    assert bob.prepared == 1


# --- what a worker takes ----------------------------------------------------------------------------------------
async def test_jobs_go_first(autojump_clock: MockClock) -> None:  # AUC-36
    bob = CountedProver()
    async with market(bob=bob) as (_, alice):
        cores = alice.node(BOB).cpu_cores
        assert (await alice.match(job(resources={"cpu": cores}))).is_matched
        with pytest.raises(SkyopsError) as refused:
            await alice.prove(BOB)
        assert refused.value.code == "proof_busy"
        assert bob.prepared == 0


async def test_prover_on_a_gpu_needs_every_gpu(autojump_clock: MockClock) -> None:  # AUC-36
    carol = CountedProver(is_device=True)
    async with market(carol=carol) as (_, alice):
        assert alice.node(CAROL).gpus
        assert (await alice.match(job(resources={"gpu": 1}))).is_matched
        with pytest.raises(SkyopsError) as refused:
            await alice.prove(CAROL)
        assert refused.value.code == "proof_busy"
        assert (carol.prepared, carol.begun) == (1, []), "only then it knew"


async def challenge(node: Node, peer: PeerId, **changes: int) -> bytes:
    """Challenge a worker by hand, once."""
    size = {"size": 8, "checkpoints": 1, "stride": 1, "lanes": 0, "rows": 0, **changes}
    asked = ProofChallenge.model_validate({"beacon": bytes(32), **size})
    return await node._network.request(peer, PROTOCOL, encode_message(asked), timeout_s=20.0)


async def refusal(node: Node, peer: PeerId, **changes: int) -> str:
    """Return the code with which a challenge is refused; empty if it is answered."""
    try:
        await challenge(node, peer, **changes)
    except RemoteProtocolError as refused:
        return refused.code
    return ""


async def test_flood_of_challenges_costs_one_answer(autojump_clock: MockClock) -> None:  # AUC-36
    bob = CountedProver()
    async with market(bob=bob) as (world, alice), world.node("mallory", join="alice") as mallory:
        await mallory.wait_for(all_in_state("active", ["alice", "bob", "mallory"]), timeout_s=60)
        await trio.sleep(10)
        codes: list[str] = []

        async def flood() -> None:
            for _ in range(50):
                codes.append(await refusal(mallory, BOB))
                await trio.sleep(0.2)

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(flood)
        assert codes.count("") == 1
        assert set(codes) == {"", "proof_not_ready", "proof_spent"}
        assert (len(bob.begun), bob.prepared) == (1, 1)
        await trio.sleep(limits.PROOF_KEEP_S)
        assert (await alice.prove(BOB)).is_new, "others are served"


async def test_challenge_that_is_too_large_costs_nothing(autojump_clock: MockClock) -> None:  # AUC-36
    bob = CountedProver()
    async with market(bob=bob) as (_, alice):
        assert await refusal(alice, BOB, size=8192, stride=2) == "challenge_refused"
        assert await refusal(alice, BOB, lanes=2**20, rows=2**20) == "challenge_refused"
        assert bob.prepared == 0
        assert await refusal(alice, BOB) == "proof_not_ready"
        await trio.sleep(1)
        assert await refusal(alice, BOB, size=512) == "challenge_refused", "it knows its speed now"
        assert await refusal(alice, BOB) == ""


async def test_opening_is_for_its_asker_and_one_secret(autojump_clock: MockClock) -> None:  # AUC-38
    async with market(bob=CountedProver()) as (_, alice):
        assert await refusal(alice, BOB) == "proof_not_ready"
        await trio.sleep(1)
        root = decode_message(ProofRoot, await challenge(alice, BOB)).root

        async def opened(root: bytes, secret: bytes = bytes(32)) -> str:
            request = OpeningRequest(root=root, secret=secret, rows=16, places=0, first=0)
            try:
                await alice._network.request(BOB, PROTOCOL, encode_message(request), timeout_s=5.0)
            except RemoteProtocolError as refused:
                return refused.code
            return ""

        assert await opened(bytes(32)) == "unknown_challenge"
        assert await opened(root) == ""
        assert await opened(root, bytes([1] * 32)) == "unknown_challenge"
        assert await opened(root) == "", "the first secret still draws"
        await trio.sleep(limits.PROOF_KEEP_S)
        assert await opened(root) == "unknown_challenge"


class Poor:
    """A chain on which one wallet has no stake."""

    def __init__(self, poor: WalletAddress) -> None:
        self._poor = poor

    async def is_sufficient(self, wallet: WalletAddress) -> bool:
        await trio.lowlevel.checkpoint()
        return wallet != self._poor


async def test_asker_without_stake_is_not_heard(autojump_clock: MockClock) -> None:  # AUC-36
    bob = CountedProver()
    async with small_world() as world:
        world.provers["bob"] = bob
        world.needs_stake, world.stake = True, Poor(identity("mallory").wallet.address)
        async with (
            world.node("alice") as alice,
            world.node("bob", join="alice") as node,
            world.node("mallory", join="alice") as mallory,
        ):
            await alice.wait_for(all_in_state("active", ["alice", "bob"]), timeout_s=60)
            await node.wait_for(all_in_state("active", ["alice", "bob"]), timeout_s=60)
            await mallory.wait_for(all_in_state("active", ["bob"]), timeout_s=60)
            await mallory._connect(BOB)
            assert await refusal(mallory, BOB) == "asker_unbound"
            assert (await alice.prove(BOB)).is_new
            assert len(bob.begun) == 1


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
