"""Who computes the same is paid alike, but for whoever was wrong: it is paid no further once that is known.

Whole nodes over contracts in memory in virtual time; alice pays, bob, carol and dave are paid.
"""

from pathlib import Path

import trio
from trio.testing import MockClock

from tests.unit.node.jobs.job_world import ended
from tests.unit.node.jobs.paid_world import PRICE, STAKED, paid_world
from tests.unit.node.jobs.redundant_world import redundant_job
from tests.unit.node.small_world import account


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
