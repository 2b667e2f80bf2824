"""Workers that lie about their compute, and askers that want too much of them, over a simulated network."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.rules import AUCTION_PROTOCOL
from skyops_p2p.errors import ExecutionError, RemoteProtocolError, SkyopsError
from skyops_p2p.node.runtime import Node
from skyops_p2p.ports import ProverSpeed
from skyops_p2p.types import PeerId, WalletAddress
from skyops_p2p.wire.messages.proof import OpeningRequest, Openings, ProofChallenge, ProofRoot
from skyops_p2p.wire.model import decode_message, encode_message
from tests.unit.node.proof_world import BOB, CAROL, CountedProver, market, poc_job, reasons
from tests.unit.node.small_world import all_in_state, identity, small_world
from tests.unit.node.test_market import RULES, job

PROTOCOL = RULES.protocol_id(AUCTION_PROTOCOL)


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
