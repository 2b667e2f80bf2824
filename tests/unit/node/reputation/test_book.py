"""Books of several nodes: the same integers whatever the order in which receipts came. I1, I9, I10, REP-1, REP-21."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.reputation.deals import Check
from skyops_p2p.core.reputation.ratings import Role
from skyops_p2p.core.reputation.standings import Standing
from skyops_p2p.core.verification.check import CheckedVerdict, Judged
from skyops_p2p.node.reputation.book import ReputationBook, Scores, WorkOut, work_out
from skyops_p2p.simulation.clock import EPOCH_UNIX_MS, SimClock
from skyops_p2p.simulation.faults import LinkFaults
from skyops_p2p.simulation.money import SimBank
from skyops_p2p.simulation.receipt_world import ReceiptNode, ReceiptWorld
from skyops_p2p.types import PeerId, UnixMs
from skyops_p2p.wire.messages.verification import FaultName

LOSSY = LinkFaults(loss=0.1, delay_mean_s=0.3)
SKYOPS = 10**18
NODES = 5
LIAR = 4


async def at_once(*of: object) -> Scores:
    return work_out(*of)  # type: ignore[arg-type]


def wei(amount: int) -> bytes:
    return amount.to_bytes(32, "big")


def traded(seed: int, *, deals: int = 24, is_doubled: bool = False) -> ReceiptWorld:
    """Let five nodes deal with each other over bad links; return them once all have the same receipts."""
    world = ReceiptWorld(seed, nodes=NODES, links=LOSSY)
    for number in range(deals):
        requester, worker = world.random.sample(range(NODES), 2)
        outcome = "run_lost" if number % 7 == 6 else "succeeded"
        world.deal(
            requester, worker, is_worker_silent=number % 5 == 4, outcome=outcome, rate=wei(SKYOPS),
            amount=wei(SKYOPS), cumulative=wei((number + 1) * SKYOPS),
        )  # fmt: skip
        world.run_for(1.0)
    if is_doubled:
        world.double(LIAR, 0, 1)
    world.run_for(1200.0)
    assert is_doubled or world.missing() == {}
    return world


def bank_of(world: ReceiptWorld) -> SimBank:
    """Return a chain on which every pair has redeemed some, and three of five have a stake."""
    bank = SimBank()
    for number in range(3):
        bank.stakes[world.account(number)] = (number + 1) * 50 * SKYOPS
    for one in range(NODES):
        for other in range(NODES):
            bank.pair(world.account(one), world.account(other)).redeemed = (one + other) * SKYOPS
    return bank


def book_of(
    node: ReceiptNode, world: ReceiptWorld, bank: SimBank, *, work_out: WorkOut = at_once
) -> ReputationBook:
    """Return a node's book with all that its exchange holds, in the order in which it came."""
    book = ReputationBook(
        bank.open(world.account(node.number)),
        wall_clock=SimClock(offset_ms=round(world.now * 1000)),
        work_out=work_out,
        members=list,
        told=lambda: None,
    )
    for key in node.written:
        item = None if "/" in key else node.exchange.shelf.get(bytes.fromhex(key))
        if item is not None:
            book.hold(item)
    for account in node.exchange.histories:
        book.ban(account)
    return book


def standings(book: ReputationBook) -> list[Standing]:
    assert book.scores is not None
    return [one for role in Role for one in book.scores.of[role].standings()]


async def refreshed(world: ReceiptWorld, bank: SimBank) -> list[ReputationBook]:
    books = [book_of(node, world, bank) for node in world.nodes]
    for book in books:
        await book.refresh()
    return books


@pytest.mark.parametrize("seed", range(3))
async def test_five_nodes_have_the_same_integers_in_whatever_order_receipts_came(
    seed: int, autojump_clock: MockClock
) -> None:  # I1, I10
    world = traded(seed)
    orders = {tuple(key for key in node.written if "/" not in key) for node in world.nodes}
    assert len(orders) > 1, "they came in different orders"
    books = await refreshed(world, bank_of(world))
    found = [standings(book) for book in books]
    assert all(one == found[0] for one in found)
    assert any(one.tally.good for one in found[0])
    assert any(one.tally.bad for one in found[0])
    assert {book.waiting for book in books} == {0}


async def test_two_histories_are_worth_nothing_on_all_nodes(autojump_clock: MockClock) -> None:  # I9
    world = traded(11, is_doubled=True)
    for book in await refreshed(world, bank_of(world)):
        for role in Role:
            found = book.standing(world.account(LIAR), role)
            assert found is not None
            assert (found.credibility, found.is_banned) == (0, True)


async def test_what_is_taken_out_and_put_in_again_changes_nothing(
    autojump_clock: MockClock,
) -> None:  # REP-23
    world = traded(1)
    bank = bank_of(world)
    book = book_of(world.nodes[0], world, bank)
    await book.refresh()
    before, items = standings(book), world.nodes[0].exchange.shelf.all()
    for item in items[:10]:
        book.drop(item.digest)
    await book.refresh()
    assert standings(book) != before
    assert book.held == len(items) - 10
    for item in reversed(items[:10]):
        book.hold(item)
    await book.refresh()
    assert standings(book) == before
    book.drop(bytes(32))
    assert book.held == len(items)


async def test_what_was_taken_in_and_is_not_worked_out_yet_is_said(autojump_clock: MockClock) -> None:
    world = traded(2, deals=5)
    book = book_of(world.nodes[0], world, bank_of(world))
    assert book.is_behind
    await book.refresh()
    book.drop(world.nodes[0].exchange.shelf.all()[0].digest)
    await book.refresh()
    assert not book.is_behind


async def test_until_it_is_worked_out_it_is_not_in_the_scores(autojump_clock: MockClock) -> None:
    world = traded(2, deals=5)
    seen: list[bool] = []

    async def watched(*of: object) -> Scores:
        seen.append(book.is_behind)
        return await at_once(*of)

    book = book_of(world.nodes[0], world, bank_of(world), work_out=watched)
    await book.refresh()
    assert (seen, book.is_behind) == ([True], False)


async def test_nothing_is_worked_out_again_without_news(autojump_clock: MockClock) -> None:
    world = traded(2, deals=5)
    bank = bank_of(world)
    book = book_of(world.nodes[0], world, bank)
    await book.refresh()
    await book.refresh()
    assert book.rounds == 1
    await trio.sleep(limits.REPUTATION_LOOK_S)
    await book.refresh()
    assert book.rounds == 1
    bank.pair(*world.nodes[0].exchange.shelf.all()[0].pair).redeemed += SKYOPS
    await trio.sleep(limits.REPUTATION_LOOK_S)
    await book.refresh()
    assert book.rounds == 2


async def test_a_pair_that_was_never_looked_up_waits_and_counts_later(
    autojump_clock: MockClock,
) -> None:  # REP-34
    world = traded(3, deals=5)
    bank = bank_of(world)
    bank.leave()
    book = book_of(world.nodes[0], world, bank)
    await book.refresh()
    assert (book.is_chain_away, book.waiting, book.is_known(world.account(0))) == (True, 5, False)
    bank.come_back()
    await trio.sleep(limits.REPUTATION_LOOK_S)
    await book.refresh()
    assert (book.is_chain_away, book.waiting, book.is_known(world.account(0))) == (False, 0, True)


async def test_verdicts_count_once_and_more_than_fit_are_refused(autojump_clock: MockClock) -> None:  # REP-6
    world = traded(4, deals=8)
    book = book_of(world.nodes[0], world, bank_of(world))
    await book.refresh()
    item = next(one for one in world.nodes[0].exchange.shelf.all() if one.is_cosigned)
    before = book.standing(item.worker, Role.WORKER)
    third = next(who for who in (world.account(n) for n in range(NODES)) if who not in item.pair)
    wrong = Check(bytes([1] * 32), item.digest, 2, False, UnixMs(EPOCH_UNIX_MS), checkers=(third,))
    for _ in range(3):
        assert book.take_check(wrong)
    await book.refresh()
    once = book.standing(item.worker, Role.WORKER)
    assert before is not None
    assert once is not None
    assert once.accuracy < before.accuracy
    assert book.take_check(wrong)
    await book.refresh()
    assert book.standing(item.worker, Role.WORKER) == once
    assert book.record(item.worker, open_value=0).checked == 1
    for number in range(limits.REPUTATION_CHECKS_WAITING_MAX):
        assert book.take_check(replace(wrong, proof=number.to_bytes(32, "big")))
    assert not book.take_check(replace(wrong, proof=bytes([9] * 32)))


@dataclass(frozen=True)
class Made:
    """What reputation reads of a verdict's message."""

    made_unix_ms: int = EPOCH_UNIX_MS


def judged(world: ReceiptWorld, worker: int, result: bytes, fault: FaultName) -> Judged:
    peer = PeerId(f"worker-{worker}")
    return Judged(
        peer,
        world.account(worker),
        bytes(16),
        0,
        1,
        bytes(32),
        bytes([worker]) * 32,
        2 * 10**6,
        9,
        result,
        fault,
    )


async def test_a_verdict_counts_with_receipts_and_convicts_without(
    autojump_clock: MockClock,
) -> None:  # VER-15, REP-37
    world = traded(6, deals=3)
    results = {worker: bytes([worker]) * 32 for worker in (1, 2, 3)}
    rows = [judged(world, 1, results[1], "none"), judged(world, 2, results[2], "none")]
    rows.append(judged(world, 3, results[3], "wrong"))
    message: Any = Made()
    verdict = CheckedVerdict(
        (), bytes(32), message, tuple(rows), world.account(0), winner=0, is_drawn=True, is_reworked=True
    )
    bank = bank_of(world)
    book = book_of(world.nodes[0], world, bank)
    await book.refresh()
    before = book.standing(world.account(3), Role.WORKER)
    book.hold_verdict(verdict)
    await book.refresh()
    assert [book.record(world.account(worker), open_value=0).checked for worker in results] == [0, 0, 1]
    lone = book.standing(world.account(3), Role.WORKER)
    assert lone is not None
    assert before is not None
    assert lone.accuracy < before.accuracy
    why = await book.explain(world.account(3), Role.WORKER)
    assert why is not None
    assert [(one.verdict, one.receipt, one.rating.value) for one in why.sources if one.verdict] == [
        (bytes(32), b"", 2 * 10**6)
    ]
    for worker, result in results.items():
        digest = world.deal(
            0, worker, result=result, rate=wei(SKYOPS), amount=wei(SKYOPS), cumulative=wei(90 * SKYOPS)
        )
        item = world.nodes[0].exchange.shelf.get(digest)
        assert item is not None
        book.hold(item)
    await book.refresh()
    found = [book.record(world.account(worker), open_value=0) for worker in results]
    assert [(one.streak, one.checked) for one in found] == [(1, 1), (1, 1), (0, 1)]
    wrong, right = (book.standing(world.account(worker), Role.WORKER) for worker in (3, 1))
    assert wrong is not None
    assert right is not None
    assert wrong.tally.fraud > 0 == right.tally.fraud
    book.drop_verdict(verdict)
    await book.refresh()
    assert [book.record(world.account(worker), open_value=0).checked for worker in results] == [0, 0, 0]
