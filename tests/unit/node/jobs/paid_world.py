"""Whole nodes that pay and are paid, over contracts in memory; for tests in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from skyops_p2p.core.settlement.trees import Inclusion
from skyops_p2p.node.jobs.job import Job
from skyops_p2p.node.settlement.desk import PaymentDesk
from skyops_p2p.node.settlement.records import LaneRecord
from skyops_p2p.simulation.money import SimBank
from tests.unit.node.jobs.job_world import WORKERS, JobWorld, shout, train
from tests.unit.node.small_world import account, all_in_state, small_world

SKYOPS = 10**18
STAKED = 1000 * SKYOPS
"""What each worker has at stake."""
PRICE = {"price_microcredits_per_hour": 360_000}
"""0.36 SKYOPS an hour for a whole machine, and less for a part of it."""


class PaidWorld(JobWorld):
    """alice pays, bob and carol are paid."""

    @property
    def bank(self) -> SimBank:
        assert self.small.bank is not None
        return self.small.bank

    def desk(self, name: str) -> PaymentDesk:
        """Return a node's payments."""
        workshop = self.nodes[name]._workshop
        assert workshop is not None
        assert workshop.payments is not None
        return workshop.payments.needed_desk()

    def lanes(self, name: str) -> list[LaneRecord]:
        """Return what a node remembers of its lanes."""
        return list(self.desk(name).tools.ledger.lanes.values())

    def check(self) -> None:
        """Raise AssertionError if money was made or lost, or somebody's exposure was out of bounds."""
        self.bank.check()
        for name in self.nodes:
            if name in self.small.moneyless:
                continue
            for pair in self.desk(name).pairs.values():
                pair._machine.check_invariants()

    def check_receipts(self, name: str, other: str, job: Job) -> None:
        """Raise AssertionError unless both sides have the same signed receipts, and each is proved by its root."""
        for lane in self.lanes(name):
            if lane.job_id.hex() != job.job_id or lane.code != "paid" or lane.account != account(other):
                continue
            mine = self.nodes[name].payments.receipt(lane.lane)
            theirs = self.nodes[other].payments.receipt(lane.lane)
            assert mine.receipt == theirs.receipt, "two receipts of one lease"
            assert mine.is_signed_by_both
            for view in (mine, theirs):
                proof = Inclusion(view.index, view.count, tuple(bytes.fromhex(node) for node in view.path))
                assert proof.holds(bytes.fromhex(view.root), bytes.fromhex(view.leaf))


@asynccontextmanager
async def paid_world(
    folder: Path,
    *,
    deposit: int = 100 * SKYOPS,
    payment: dict[str, object] | None = None,
    is_away: bool = False,
    **moneyless: bool,
) -> AsyncIterator[PaidWorld]:
    (folder / "words.txt").write_text("loss goes down")
    async with small_world(folder) as small, trio.open_nursery() as nursery:
        small.programs |= {"train": train, "shout": shout}
        small.bank = SimBank()
        if is_away:
            small.bank.leave()
        small.moneyless = {name for name, is_so in moneyless.items() if is_so}
        small.payment = payment or {}
        for name in WORKERS:
            small.bank.stakes[account(name)] = STAKED
        if deposit:
            small.bank.deposit(account("alice"), deposit)
        world = PaidWorld(small, nursery)
        await world.start("alice")
        for name in WORKERS:
            await world.start(name, **PRICE)
        for node in list(world.nodes.values()):
            await node.wait_for(all_in_state("active", list(world.nodes)), timeout_s=300)
        yield world
        world.check()
        nursery.cancel_scope.cancel()
