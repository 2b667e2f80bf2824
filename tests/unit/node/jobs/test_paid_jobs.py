"""Jobs that are paid: from the deposit to both sides' receipts, over a simulated network and contracts in memory."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.settlement.records import LaneRecord
from tests.unit.node.jobs.job_world import ended, spec, until
from tests.unit.node.jobs.paid_world import PRICE, paid_world
from tests.unit.node.small_world import account


async def test_a_job_is_paid_by_the_interval_and_both_sides_have_its_receipt(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with paid_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(env={"STEP_S": "5"}), base_dir=tmp_path)
        await until(job, lambda view: view.state == "running")
        worker = world.worker_of(job)
        view = await ended(job)
        assert view.state == "succeeded", view
        await trio.sleep(5)
        (lane,) = world.lanes("alice")
        (theirs,) = world.lanes(worker)
        assert (lane.code, lane.paid_wei, lane.billed) == ("paid", theirs.paid_wei, theirs.billed)
        assert 48_000 <= lane.billed.runtime_ms <= 52_000  # SET-28
        assert abs(lane.paid_wei - lane.rate_wei * lane.billed.runtime_ms // 3_600_000) <= 10**9
        world.check_receipts("alice", worker, job)
        bill = job.billing()
        assert (bill.is_paid, bill.paid_wei, bill.runtime_ms) == (True, lane.paid_wei, lane.billed.runtime_ms)
        assert lane.usage is not None  # SET-29
        assert (lane.usage, lane.usage.is_signed) == (theirs.usage, True)
        assert LaneRecord.decode(lane.encode()) == lane
        told, shown = lane.usage.told, bill.lanes[0]
        assert (shown.cpu_ms, shown.memory_peak_bytes, shown.disk_bytes) == (
            told.cpu_ms or 0,
            told.memory_peak_bytes or 0,
            told.written_bytes or 0,
        )
        assert shown.is_usage_signed
        assert 0 < bill.moved_bytes == lane.usage.moved_bytes
        earned = world.nodes[worker].payments.earnings(by="mode")
        assert (earned.paid_wei, earned.unredeemed_wei) == (lane.paid_wei, lane.paid_wei)
        why = world.nodes[worker].payments.earned(job.job_id[:8])
        assert (why.mode, why.lanes[0].lane.paid_wei, why.lanes[0].outcome) == (
            lane.mode,
            lane.paid_wei,
            "succeeded",
        )
        assert min(why.lanes[0].requester_ms, why.lanes[0].worker_ms) == lane.billed.runtime_ms
        assert why.lanes[0].receipt_wei == lane.paid_wei
        with pytest.raises(ExecutionError) as unknown:
            world.nodes[worker].payments.earned("ffffffff")
        assert unknown.value.code == "unknown_job"
        pair = world.bank.pair(account("alice"), account(worker))
        assert pair.allotted > 0
        settled = await world.nodes[worker].payments.settle()
        assert settled.vouchers == 1
        assert pair.redeemed == lane.paid_wei // 10**9 * 10**9


async def test_a_worker_that_is_paid_refuses_whoever_does_not_pay(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # SET-27
    async with paid_world(tmp_path, alice=True, carol=True) as world:
        await world.stop("carol")
        job = await world.nodes["alice"].submit(spec(timeouts={"queue": 30}), base_dir=tmp_path)
        view = await ended(job)
        codes = {attempt.code for attempt in view.shards[0].attempts}
        assert (view.state, codes) == ("failed", {"payment_needed"}), view
        assert world.lanes("bob") == []
        assert not job.billing().is_paid


async def test_a_worker_that_takes_nothing_runs_a_job_free(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with paid_world(tmp_path, bob=True, carol=True) as world:  # SET-27
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        view = await ended(job)
        assert view.state == "succeeded", view
        assert world.lanes("alice") == []
        assert not job.billing().is_paid


async def test_a_deposit_that_is_too_small_ends_a_job_with_what_to_do(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with paid_world(tmp_path, deposit=10**10) as world:
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        view = await ended(job)
        assert (view.state, view.code) == ("failed", "deposit_too_small"), view
        assert "skyops wallet deposit" in view.text
        assert "SKYOPS" in view.text
        assert world.bank.deposits[account("alice")] == 10**10


@pytest.mark.parametrize("name", ["alice", "worker"])
async def test_a_job_is_paid_once_whoever_is_killed_under_it(
    autojump_clock: MockClock, tmp_path: Path, name: str
) -> None:
    async with paid_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(env={"STEP_S": "5"}), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].done >= 5)
        worker, job_id = world.worker_of(job), job.job_id
        await world.crash(worker if name == "worker" else "alice")
        await trio.sleep(3)
        await world.start(worker if name == "worker" else "alice", **PRICE)
        job = world.nodes["alice"].jobs.find(job_id)
        view = await ended(job)
        assert view.state == "succeeded", view
        await trio.sleep(200)
        for mine in world.lanes("alice"):
            other = next(who for who in ("bob", "carol") if account(who) == mine.account)
            theirs = next(lane for lane in world.lanes(other) if lane.lane == mine.lane)
            assert mine.is_over
            assert theirs.is_over
            assert mine.paid_wei == theirs.paid_wei
        paid_ms = sum(lane.billed.runtime_ms for lane in world.lanes("alice"))
        assert 20_000 <= paid_ms <= 66_000
        for other in ("bob", "carol"):
            await world.nodes[other].payments.settle()
            world.check_receipts("alice", other, job)
        redeemed = sum(
            world.bank.pair(account("alice"), account(other)).redeemed for other in ("bob", "carol")
        )
        promised = sum(pair.account.cumulative for pair in world.desk("alice").payers())
        assert 0 <= promised - redeemed < 2 * 10**9
