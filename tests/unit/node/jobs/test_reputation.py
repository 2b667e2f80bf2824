"""REP-1, REP-21, REP-24, REP-28: whole nodes come to the same scores from the same receipts, and use them."""

from pathlib import Path

import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.reputation.parameters import DEFAULTS
from skyops_p2p.core.settlement.receipts import ChainPlace, sign_half, with_half
from skyops_p2p.node.evidence.desk import EvidenceDesk
from skyops_p2p.node.reputation.views import ReputationRowView, ReputationView
from skyops_p2p.wire.messages.settlement import Receipt, SignedReceipt
from skyops_p2p.wire.model import decode_message, encode_message
from tests.unit.node.jobs.job_world import WORKERS, ended, spec
from tests.unit.node.jobs.paid_world import PRICE, PaidWorld, paid_world
from tests.unit.node.small_world import account, identity

PEOPLE = ("alice", *WORKERS)
SETTLED_S = 3 * limits.REPUTATION_LOOK_S
"""After so long everybody has exchanged receipts, and looked at the chain again."""


def evidence(world: PaidWorld, name: str) -> EvidenceDesk:
    desk = world.desk(name).evidence
    assert desk is not None
    return desk


async def run_job(world: PaidWorld, folder: Path, **changes: object) -> str:
    """Have a job of alice's run to its end; return its worker."""
    job = await world.nodes["alice"].submit(spec(**changes), base_dir=folder)
    view = await ended(job)
    assert view.state == "succeeded", view
    lane = world.lanes("alice")[-1]
    return next(name for name in WORKERS if account(name) == lane.account)


async def settle(world: PaidWorld) -> None:
    """Have every worker redeem what it earned, and let the news go round."""
    await trio.sleep(5)
    for name in WORKERS:
        await world.nodes[name].payments.settle()
    await trio.sleep(SETTLED_S)


async def everybodys(world: PaidWorld) -> dict[str, ReputationView]:
    return {name: await world.nodes[name].reputation() for name in PEOPLE}


def common(view: ReputationView) -> list[ReputationRowView]:
    """Return the rows without what is a node's own."""
    return [row.model_copy(update={"own_credibility": 0}) for row in view.rows]


def row_of(view: ReputationView, name: str, role: str = "worker") -> ReputationRowView:
    wallet = identity(name).wallet.address
    return next(row for row in view.rows if row.wallet == wallet and row.role == role)


async def test_all_nodes_come_to_the_same_scores(
    tmp_path: Path, autojump_clock: MockClock
) -> None:  # I1, I10
    async with paid_world(tmp_path) as world:
        await trio.sleep(SETTLED_S)
        before = await everybodys(world)
        workers = {await run_job(world, tmp_path) for _ in range(3)}
        await settle(world)
        after = await everybodys(world)
        assert after["alice"].receipts == 3
        assert len({view.evidence for view in after.values()}) == 1
        for name in WORKERS:
            assert common(after[name]) == common(after["alice"])
        for name in workers:
            then, now = row_of(before["alice"], name), row_of(after["alice"], name)
            assert now.credibility > then.credibility >= DEFAULTS.gate
            assert now.good_micro > 0 == then.good_micro
            assert now.own_credibility > now.credibility, "own experience counts in full"
        assert row_of(after["bob"], "alice", "requester").raters == len(workers)


async def test_a_restart_changes_no_score(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with paid_world(tmp_path) as world:
        await run_job(world, tmp_path)
        await settle(world)
        before = await world.nodes["carol"].reputation()
        await world.stop("carol")
        await world.start("carol")
        await trio.sleep(SETTLED_S)
        after = await world.nodes["carol"].reputation()
        assert (common(after), after.evidence) == (common(before), before.evidence)


async def test_who_has_no_stake_and_no_past_is_not_taken(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with paid_world(tmp_path) as world:
        del world.bank.stakes[account("bob")]
        await trio.sleep(SETTLED_S)
        assert row_of(await world.nodes["alice"].reputation(), "bob").standing == "below_gate"
        for _ in range(3):
            assert await run_job(world, tmp_path) == "carol"
        view = await world.nodes["alice"].match(spec(placement={"allow": [identity("bob").node_key.peer_id]}))
        (outcome,) = [one for one in view.outcomes if one.peer_id == identity("bob").node_key.peer_id]
        assert outcome.code == "reputation"
        at_own_risk = spec(placement={"allow": [identity("bob").node_key.peer_id], "reputation_min": 0.001})
        assert (await world.nodes["alice"].match(at_own_risk)).winner is not None


async def test_a_double_history_ends_a_reputation_everywhere(
    tmp_path: Path, autojump_clock: MockClock
) -> None:  # I9
    async with paid_world(tmp_path) as world:
        worker = await run_job(world, tmp_path)
        idle = next(name for name in WORKERS if name != worker)
        await settle(world)
        (item,) = evidence(world, "alice").exchange.shelf.all()
        receipt = decode_message(Receipt, decode_message(SignedReceipt, item.data).receipt)
        other = encode_message(receipt.model_copy(update={"requester": account(idle), "lane": bytes(32)}))
        domain = evidence(world, idle).exchange.scope.domain
        half, _ = sign_half(other, ChainPlace(), identity(worker).wallet, domain)
        evidence(world, idle).keep_own(with_half(other, worker=half))
        await trio.sleep(SETTLED_S)
        for view in (await everybodys(world)).values():
            found = row_of(view, worker)
            assert (found.score, found.standing) == (0, "banned")
        assert await run_job(world, tmp_path) == idle


async def test_a_worker_bids_for_nobody_with_two_histories(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with paid_world(tmp_path) as world:  # REP-36
        await run_job(world, tmp_path)
        await settle(world)
        for name in WORKERS:
            evidence(world, name).book.ban(account("alice"))
        await trio.sleep(SETTLED_S)
        view = await world.nodes["alice"].match(spec())
        assert {one.code for one in view.outcomes} == {"requester_refused"}


async def test_what_is_held_back_follows_the_score(
    tmp_path: Path, autojump_clock: MockClock
) -> None:  # SET-27
    async with paid_world(tmp_path) as world:
        world.desk("alice").trust = lambda _account: 700
        worker = await run_job(world, tmp_path)
        (pair,) = world.desk(worker).pairs.values()
        assert pair.terms.holdback_bps == 1250
        world.desk("alice").trust = lambda _account: 900
        await world.stop(worker)
        await world.start(worker, **PRICE)
        for name in WORKERS:  # a pair keeps what it began with
            await run_job(world, tmp_path, placement={"allow": [identity(name).node_key.peer_id]})
        held = {name: [one.terms.holdback_bps for one in world.desk(name).pairs.values()] for name in WORKERS}
        assert held[worker] == [1250]
        assert held == {name: [1250 if name == worker else 500] for name in WORKERS}


async def test_receipts_that_nobody_paid_for_change_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with paid_world(tmp_path) as world:
        await run_job(world, tmp_path)
        await settle(world)
        before = await everybodys(world)
        (item,) = evidence(world, "alice").exchange.shelf.all()
        receipt = decode_message(Receipt, decode_message(SignedReceipt, item.data).receipt)
        domain = evidence(world, "bob").exchange.scope.domain
        for number in range(20):  # carol praises bob, and bob agrees: no money of theirs has moved
            told = encode_message(
                receipt.model_copy(
                    update={
                        "requester": account("carol"),
                        "worker": account("bob"),
                        "lane": bytes([number]) * 32,
                    }
                )
            )
            place = ChainPlace(1000 + number, bytes(32))
            ours, theirs = (
                sign_half(told, place, identity(one).wallet, domain)[0] for one in ("carol", "bob")
            )
            evidence(world, "bob").keep_own(with_half(told, requester=ours, worker=theirs))
        await trio.sleep(SETTLED_S)
        after = await everybodys(world)
        for name in PEOPLE:
            assert common(after[name]) == common(before[name])
