"""What workers have at stake: who is asked, what an answer is worth while the chain is away, and who gets no job."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.errors import ChainError
from skyops_p2p.node.settlement.stakes import StakeBook
from skyops_p2p.types import Wei
from tests.unit.node.jobs.job_world import ended, spec
from tests.unit.node.jobs.paid_world import SKYOPS, paid_world
from tests.unit.node.small_world import account

BOB, CAROL = account("bob"), account("carol")


class Registry:
    """A chain that counts who asked, and may be away."""

    def __init__(self) -> None:
        self.stakes = {BOB: 5 * SKYOPS}
        self.asked: list[bytes] = []
        self.is_away = False

    async def stake_of(self, wallet: bytes) -> Wei:
        self.asked.append(wallet)
        await trio.sleep(0.1)
        if self.is_away:
            raise ChainError("away")
        return Wei(self.stakes.get(wallet, 0))


async def test_an_answer_is_believed_for_a_minute_and_an_hour_while_the_chain_is_away(
    autojump_clock: MockClock,
) -> None:  # AUC-40
    registry = Registry()
    book = StakeBook(registry.stake_of)
    assert book.of(BOB) is None
    await book.look([BOB, CAROL, BOB])
    assert (book.of(BOB), book.of(CAROL)) == (5 * SKYOPS, 0)
    registry.stakes[BOB] = 0
    await trio.sleep(limits.STAKE_KEPT_S - 1)
    await book.look([BOB])
    assert (book.of(BOB), len(registry.asked)) == (5 * SKYOPS, 2)
    registry.is_away = True
    await trio.sleep(limits.STAKE_AWAY_S - limits.STAKE_KEPT_S)
    await book.look([BOB])
    assert (book.of(BOB), len(registry.asked)) == (5 * SKYOPS, 3)
    await trio.sleep(2)
    assert book.of(BOB) is None
    registry.is_away = False
    await book.look([BOB])
    assert book.of(BOB) == 0


async def test_a_look_is_bounded_in_questions_and_in_time(autojump_clock: MockClock) -> None:
    registry = Registry()
    book = StakeBook(registry.stake_of)
    wallets = [number.to_bytes(20, "big") for number in range(2 * limits.STAKES_LOOKED_AT_MAX)]
    await book.look(wallets)
    assert len(registry.asked) == limits.STAKES_LOOKED_AT_MAX
    await book.look(wallets, timeout_s=0.15)
    assert len(registry.asked) == limits.STAKES_LOOKED_AT_MAX + 2 * limits.STAKES_ASKED_AT_ONCE_MAX
    answered = limits.STAKES_LOOKED_AT_MAX + limits.STAKES_ASKED_AT_ONCE_MAX
    assert sum(book.of(one) is not None for one in wallets) == answered


async def test_the_oldest_answer_makes_room(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STAKES_KEPT_MAX", 2)
    book = StakeBook(Registry().stake_of)
    for wallet in (BOB, CAROL, account("alice")):
        await book.look([wallet])
    assert (book.of(BOB), book.of(CAROL), book.of(account("alice"))) == (None, 0, 0)


async def test_only_staked_workers_get_a_job_and_a_requester_needs_no_stake(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # AUC-40
    async with paid_world(tmp_path, payment={"worker_stake_min": "100 SKYOPS"}) as world:
        world.bank.stakes[BOB] = 99 * SKYOPS
        world.bank.stakes[CAROL] = 100 * SKYOPS
        alice = world.nodes["alice"]
        preview = await alice.preview(spec())
        mismatches = {one.peer_id: [fault.code for fault in one.mismatches] for one in preview.candidates}
        assert mismatches == {world.nodes["bob"].peer_id: ["stake"], world.nodes["carol"].peer_id: []}
        detail = preview.candidates[-1].mismatches[0].detail
        assert detail == "needs 100 SKYOPS, has 99 SKYOPS"
        job = await alice.submit(spec(), base_dir=tmp_path)
        assert (await ended(job)).state == "succeeded"
        assert world.worker_of(job) == "carol"
        asked = await alice.preview(spec(placement={"stake_min": 101}))
        reasons = {reason.code: reason.nodes for reason in asked.reasons}
        reasons.pop("slots_busy", None)  # carol may not have told yet that her slot is free again
        assert reasons == {"stake": 2}


async def test_a_chain_that_never_answered_lets_no_worker_pass_and_the_job_says_why(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # AUC-40
    async with paid_world(tmp_path) as world:
        world.bank.stakes.update({BOB: SKYOPS, CAROL: SKYOPS})
        world.bank.leave()
        wanted = spec(placement={"stake_min": 1}, retry={"attempts_max": 1}, timeouts={"queue": 30})
        alice = world.nodes["alice"]
        preview = await alice.preview(wanted)
        assert {reason.code: reason.nodes for reason in preview.reasons} == {"stake_unknown": 2}
        view = await ended(await alice.submit(wanted, base_dir=tmp_path))
        assert (view.state, view.code) == ("failed", "no_worker"), view
        world.bank.come_back()
        view = await ended(await alice.submit(wanted, base_dir=tmp_path))
        assert view.state == "succeeded", view
