"""Who computes the same is paid alike, but for whoever was wrong: it is paid no further once that is known.

Whole nodes over contracts in memory in virtual time; alice pays, bob, carol and dave are paid.
"""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.simulation.sandbox import SimBox
from tests.unit.node.jobs.job_world import WORKERS, ended
from tests.unit.node.jobs.liars import first_lies
from tests.unit.node.jobs.paid_world import PRICE, STAKED, paid_world
from tests.unit.node.jobs.redundant_world import redundant_job
from tests.unit.node.jobs.test_verifying import exact, with_own_wasm
from tests.unit.node.small_world import account, identity


async def test_whoever_was_right_has_receipts_and_whoever_was_wrong_has_none(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with paid_world(tmp_path) as world:
        world.bank.stakes[account("dave")] = STAKED
        await world.start("dave", enabled=True, misbehaves="wrong-result", **PRICE)
        await world.all_know_each_other()
        job = await world.nodes["alice"].submit(redundant_job(), base_dir=world.folder)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert view.shards[0].checked == "decided"

        def ends() -> dict[str, str]:
            return {lane.account: lane.code for lane in world.lanes("alice")}

        await trio.sleep(60)  # the last intervals are paid, and the loser's lane is closed
        codes = {name: ends()[account(name)] for name in ("bob", "carol", "dave")}
        assert {name for name, code in codes.items() if code == "paid"} == {"bob", "carol"}, codes

        bill = job.billing()
        assert {lane.lane for lane in bill.lanes} == {lane.lane.hex() for lane in world.lanes("alice")}
        assert len(bill.lanes) == 3
        assert {lane.code for lane in bill.lanes if not lane.has_receipt} == {codes["dave"]}
        assert bill.paid_wei == sum(lane.paid_wei for lane in bill.lanes) > 0


async def test_whoever_was_wrong_loses_score_on_all_nodes_without_a_receipt(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # REP-37, RCP-14, I1, I10
    async with paid_world(tmp_path) as world:
        world.bank.stakes[account("dave")] = STAKED
        await world.start("dave", enabled=True, misbehaves="wrong-result", **PRICE)
        await world.all_know_each_other()
        job = await world.nodes["alice"].submit(redundant_job(), base_dir=world.folder)
        assert (await ended(job)).shards[0].checked == "decided"
        await trio.sleep(60)
        for name in ("bob", "carol"):
            await world.nodes[name].payments.settle()
        await trio.sleep(3 * limits.REPUTATION_LOOK_S)

        views = {name: await world.nodes[name].reputation() for name in ("alice", "bob", "carol", "dave")}
        common = [
            [row.model_copy(update={"own_credibility": 0}) for row in view.rows] for view in views.values()
        ]
        assert all(rows == common[0] for rows in common)
        rows = {row.wallet: row for row in views["bob"].rows if row.role == "worker"}
        wrong, right = (rows[identity(name).wallet.address] for name in ("dave", "carol"))
        assert wrong.bad_micro > 0 == right.bad_micro
        assert wrong.credibility < right.credibility
        assert (wrong.checked, right.checked) == (1, 1)

        (row,) = world.nodes["carol"].payments.verdicts().verdicts
        assert row.at_fault == (wrong.wallet,)
        assert world.nodes["carol"].payments.verdict(row.digest[:12]).holds
        why = (await world.nodes["carol"].reputation(wrong.wallet)).explanations[0]
        assert [(one.kind, one.verdict, one.receipt) for one in why.sources] == [("found", row.digest, "")]

        pair = world.bank.pair(account("alice"), account("dave"))
        assert (pair.redeemed, pair.held) == (0, 0), "nothing is redeemed, and nothing waits to be released"
        await world.stop("bob")
        await world.start("bob", enabled=True, **PRICE)
        await trio.sleep(limits.REPUTATION_LOOK_S)
        again = {
            one.wallet: one for one in (await world.nodes["bob"].reputation()).rows if one.role == "worker"
        }
        assert again[wrong.wallet].credibility == wrong.credibility


async def test_whoever_is_wrong_at_a_canary_has_no_receipt_and_loses_credit_with_this_node_alone(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # VER-30, REP-6
    with_own_wasm(monkeypatch)
    (tmp_path / "module.wasm").write_bytes(b"\0asm")
    async with paid_world(tmp_path) as world:
        liar = first_lies(monkeypatch)
        job = await world.nodes["alice"].submit(
            exact(verification={"class": "exact", "canaries": 1}), base_dir=world.folder
        )
        view = await ended(job)
        assert (view.state, view.shards[0].checked) == ("succeeded", "canary"), view
        assert [one.code for one in view.shards[0].attempts] == ["result_wrong", "succeeded"]
        await trio.sleep(60)  # the last intervals are paid, and the loser's lane is closed
        wrong = next(name for name in WORKERS if world.nodes[name].peer_id == liar.peer)
        (right,) = set(WORKERS) - {wrong}
        codes = {lane.account: lane.code for lane in world.lanes("alice")}
        assert codes[account(right)] == "paid" != codes[account(wrong)]

        await world.nodes[right].payments.settle()
        await trio.sleep(3 * limits.REPUTATION_LOOK_S)
        names = {name: identity(name).wallet.address for name in WORKERS}
        for who in ("alice", right):
            view_of = await world.nodes[who].reputation()
            rows = {row.wallet: row for row in view_of.rows if row.role == "worker"}
            if who == "alice":
                assert rows[names[wrong]].own_credibility < rows[names[right]].own_credibility
            assert all(rows[wallet].bad_micro == 0 for wallet in rows), "others count no word of hers"
            assert world.nodes[who].payments.verdicts().verdicts == ()
        await world.stop("alice")
        await world.start("alice")
        await trio.sleep(limits.REPUTATION_LOOK_S)
        again = {
            row.wallet: row for row in (await world.nodes["alice"].reputation()).rows if row.role == "worker"
        }
        assert again[names[wrong]].own_credibility < again[names[right]].own_credibility


def at_most(total: str, **changes: object) -> JobSpec:
    """A job of which three compute something that takes its time, and which may cost no more than that."""
    return redundant_job(command=["ponder"], price={"total_max": total}, **changes)


async def ponder(box: SimBox) -> int:
    """Take a minute."""
    await box.work(60.0)
    box.write("/results/model.txt", b"42")
    return 0


async def test_all_that_compute_a_job_cost_no_more_together_than_it_may(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # SET-30
    async with paid_world(tmp_path) as world:
        world.small.programs["ponder"] = ponder
        world.bank.stakes[account("dave")] = STAKED
        await world.start("dave", enabled=True, **PRICE)
        await world.all_know_each_other()
        alone = await world.nodes["alice"].submit(
            at_most("1", verification={"class": "exact", "redundancy": 1}), base_dir=tmp_path
        )
        assert (await ended(alone)).state == "succeeded"
        await trio.sleep(130)
        one_wei = alone.billing().paid_wei
        total_wei = 2 * one_wei
        job = await world.nodes["alice"].submit(at_most(f"{total_wei / 10**18:.9f}"), base_dir=tmp_path)
        view = await ended(job)
        assert (view.state, view.shards[0].checked) == ("succeeded", "no_budget"), view
        await trio.sleep(130)
        bill = job.billing()
        assert one_wei < bill.paid_wei <= total_wei
        assert bill.paid_wei >= total_wei * 8 // 10, "stopped far too early"
        own = [lane for lane in bill.lanes if not lane.is_replica]
        assert bill.replicas_wei == bill.paid_wei - sum(lane.paid_wei for lane in own) > 0
        await world.stop("alice")
        again = (await world.start("alice")).jobs.find(job.job_id)
        assert (again.billing().paid_wei, again.billing().replicas_wei) == (bill.paid_wei, bill.replicas_wei)
