"""Workers that are paid and do not deliver, and warm pools that are paid: over contracts in memory."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.settlement.prices import charge
from tests.unit.node.jobs.job_world import ended, spec
from tests.unit.node.jobs.liars import keep_results_back
from tests.unit.node.jobs.paid_world import paid_world
from tests.unit.node.jobs.test_pools import pool_spec
from tests.unit.node.jobs.test_pools import shout as answer_tasks

PROGRAM_MS = 10_000


async def test_a_worker_that_delivers_nothing_is_paid_for_its_program_and_no_longer(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # EXE-36, SET-18
    async with paid_world(tmp_path) as world:
        for name in ("RUN_FETCH_TIMEOUT_S", "SANDBOX_PREPARE_TIMEOUT_S", "RUN_COLLECT_TIMEOUT_S"):
            monkeypatch.setattr(f"skyops_p2p.limits.{name}", 30.0)
        liar = keep_results_back(monkeypatch)
        job = await world.nodes["alice"].submit(spec(timeouts={"execution": 60}), base_dir=tmp_path)
        view = await ended(job)
        codes = [attempt.code for attempt in view.shards[0].attempts]
        assert (view.state, codes) == ("succeeded", ["worker_overdue", "succeeded"]), view
        await trio.sleep(limits.PAY_LAST_WAIT_MS / 1000)
        lanes = {lane.peer: lane for lane in world.lanes("alice")}
        assert liar.peer is not None
        lost = lanes.pop(liar.peer)
        (paid,) = lanes.values()
        assert (paid.code, lost.code != "paid") == ("paid", True), lost.code
        bound_ms = PROGRAM_MS + limits.PAY_INTERVAL_MS + 2 * limits.METER_READ_MS
        assert lost.paid_wei <= charge(lost.rate_wei, bound_ms), (
            "paid for more than one interval without a result"
        )


async def test_a_warm_pool_is_paid_while_it_is_held(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with paid_world(tmp_path) as world:
        world.small.programs["shout"] = answer_tasks
        async with world.nodes["alice"].jobs.pool(pool_spec(), workers=2) as pool:
            with trio.fail_after(300):
                await pool.wait_ready(workers=2)
                answers = [answer.stdout async for answer in pool.map([[f"task {n}"] for n in range(6)])]
            assert len(answers) == 6
            await trio.sleep(30)  # held, and idle
        assert (await ended(pool.job)).state == "cancelled"
        await trio.sleep(limits.PAY_LAST_WAIT_MS / 1000)
        lanes = world.lanes("alice")
        assert sorted((lane.shard, lane.code) for lane in lanes) == [(0, "paid"), (1, "paid")]
        for lane in lanes:
            assert lane.billed.runtime_ms >= 30_000
        bill = pool.job.billing()
        earned = sum(world.nodes[who].payments.earnings().paid_wei for who in ("bob", "carol"))
        assert bill.paid_wei == earned == sum(lane.paid_wei for lane in lanes) > 0
