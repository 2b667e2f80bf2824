"""What goes wrong under paid jobs, and what each side is left with: outages, silence, small deposits, many leases."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.settlement.prices import charge
from skyops_p2p.errors import ChainError, ConfigError
from skyops_p2p.node.error_groups import only_leaf
from skyops_p2p.node.settlement.live_pair import LivePair
from skyops_p2p.simulation.money import CONTRACTS, SimMoney
from skyops_p2p.wire.model import Message
from tests.unit.node.jobs.job_world import ended, spec, until
from tests.unit.node.jobs.paid_world import SKYOPS, PaidWorld, paid_world
from tests.unit.node.small_world import account

EXPOSED_S = (limits.PAY_GRACE_MS + 2 * limits.METER_READ_MS) / 1000
LONG = {"STEP_S": "30"}


def unpaid_wei(world: PaidWorld, worker: str) -> int:
    """Return what a worker has computed beyond its newest vouchers, over all its lanes."""
    total = 0
    for pair in world.desk(worker).payees():
        for lane in pair.account.lanes.values():
            total += max(charge(lane.terms.rate_wei, lane.own.runtime_ms) - lane.paid, 0)
    return total


async def test_a_requester_that_vanishes_owes_no_more_than_an_interval(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # SET-8
    async with paid_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(env=LONG), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].done >= 2)
        worker = world.worker_of(job)
        (lane,) = world.lanes(worker)
        world.small.networks["alice"].kill()
        await world.crash("alice")
        bound_s = (limits.PAY_INTERVAL_MS_MAX + limits.PAY_GRACE_MS + 2 * limits.METER_READ_MS) / 1000
        for _ in range(40):
            await trio.sleep(10)
            assert unpaid_wei(world, worker) <= charge(lane.rate_wei, round(bound_s * 1000))
        service = world.nodes[worker]._workshop.execution  # type: ignore[union-attr]
        assert service is not None
        assert all(run.phase in ("delivering", "collecting") for run in service.runs)
        before = world.desk(worker).payees()[0].account.cumulative
        assert before > 0
        settled = await world.nodes[worker].payments.settle()
        assert settled.vouchers == 1
        pair = world.bank.pair(account("alice"), account(worker))
        assert pair.redeemed == before // 10**9 * 10**9


async def test_a_deposit_that_shrinks_under_running_jobs_pauses_and_ends_them(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # SET-8, SET-12
    payment = {"allotment_h": 0.0, "unsecured_max": "10 SKYOPS"}
    async with paid_world(tmp_path, payment=payment) as world:
        patient = spec(env=LONG, retry={"attempts_max": 1})
        jobs = [await world.nodes["alice"].submit(patient, base_dir=tmp_path) for _ in range(2)]
        for job in jobs:
            await until(job, lambda view: view.shards and view.shards[0].done >= 2)
        workers = {world.worker_of(job) for job in jobs}
        promised = {name: world.desk(name).payees()[0].account.cumulative for name in workers}
        assert min(promised.values()) > 0
        alice = account("alice")
        world.bank.withdraw(alice, world.bank.deposits[alice] - sum(promised.values()))
        bound_ms = limits.PAY_INTERVAL_MS_MAX + limits.PAY_GRACE_MS + 2 * limits.METER_READ_MS
        rates = {name: sum(lane.rate_wei for lane in world.lanes(name)) for name in workers}
        phases = set()
        for _ in range(80):
            await trio.sleep(5)
            for name in workers:
                assert unpaid_wei(world, name) <= charge(rates[name], bound_ms)
                service = world.nodes[name]._workshop.execution  # type: ignore[union-attr]
                assert service is not None
                phases |= {run.phase for run in service.runs}
        assert "paused" in phases
        for view in [await ended(job) for job in jobs]:
            assert (view.state, {one.code for one in view.shards[0].attempts}) == (
                "failed",
                {"not_secured"},
            ), view
        late_ms = bound_ms + round(limits.FUNDS_POLL_S * 1000)
        for name in workers:
            await world.nodes[name].payments.settle()
            owed = world.desk(name).payees()[0].account.cumulative
            redeemed = world.bank.pair(alice, account(name)).redeemed
            assert owed - redeemed <= charge(rates[name], late_ms)
        assert world.bank.deposits[alice] < 2 * 10**9, "what was left is what had been promised"


async def test_a_worker_that_is_owed_something_does_not_begin_with_other_contracts(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with paid_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        assert (await ended(job)).state == "succeeded"
        await trio.sleep(5)
        worker = world.worker_of(job)
        await world.stop(worker)
        monkeypatch.setattr(SimMoney, "contracts", replace(CONTRACTS, settlement=bytes([99]) * 20))
        with pytest.raises((ConfigError, BaseExceptionGroup)) as refused:
            async with world.small.node(worker, join="alice"):
                pytest.fail("it began, and nobody would redeem its vouchers")
        error = refused.value
        found = only_leaf(error) if isinstance(error, BaseExceptionGroup) else error
        assert isinstance(found, ConfigError)
        assert (found.code, "SKYOPS by Settlement 0x" in found.message) == ("contracts_changed", True)
        assert "`skyops settle`" in found.hint
        monkeypatch.setattr(SimMoney, "contracts", CONTRACTS)
        node = await world.start(worker)
        await node.payments.settle()
        await trio.sleep(5)  # what was redeemed is seen, and written down
        await world.stop(worker)
        monkeypatch.setattr(SimMoney, "contracts", replace(CONTRACTS, settlement=bytes([99]) * 20))
        async with world.small.node(worker, join="alice") as moved:
            assert moved.payments.earnings().unredeemed_wei == 0
        monkeypatch.setattr(SimMoney, "contracts", CONTRACTS)


async def test_the_market_goes_on_while_the_chain_is_away(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with paid_world(tmp_path) as world:
        first = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        assert (await ended(first)).state == "succeeded"
        worker = world.worker_of(first)
        world.bank.leave()
        await trio.sleep(60)
        again = await world.nodes["alice"].submit(
            spec(env={"STEP_S": "5"}, placement={"allow": [world.nodes[worker].peer_id]}), base_dir=tmp_path
        )
        view = await ended(again)
        assert view.state == "succeeded", view
        await trio.sleep(5)
        paid = [lane for lane in world.lanes(worker) if lane.job_id.hex() == again.job_id]
        assert [lane.code for lane in paid] == ["paid"]
        with pytest.raises(ChainError):
            await world.nodes[worker].payments.quote()
        world.bank.come_back()
        await trio.sleep(limits.FUNDS_BACKOFF_S_MAX + 5)
        assert (await world.nodes[worker].payments.settle()).vouchers == 1


async def test_a_chain_that_was_never_seen_pays_nothing_and_the_job_says_so(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with paid_world(tmp_path) as world:
        world.bank.leave()
        job = await world.nodes["alice"].submit(
            spec(retry={"attempts_max": 1}, timeouts={"queue": 60}), base_dir=tmp_path
        )
        view = await ended(job)
        assert (view.state, view.code) == ("failed", "chain_unavailable"), view
        assert all(lane.paid_wei == 0 for lane in world.lanes("alice"))
        world.bank.come_back()


async def test_a_job_waits_for_a_chain_that_is_away_for_minutes_though_it_may_try_once(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with paid_world(tmp_path) as world:
        world.bank.leave()
        job = await world.nodes["alice"].submit(spec(retry={"attempts_max": 1}), base_dir=tmp_path)
        await trio.sleep(300)
        world.bank.come_back()
        view = await ended(job)
        assert view.state == "succeeded", view
        assert {attempt.code for attempt in view.shards[0].attempts[:-1]} == {"chain_unavailable"}
        await trio.sleep(5)
        world.check_receipts("alice", world.worker_of(job), job)


async def test_a_node_whose_chain_is_away_at_its_first_start_starts_and_pays_once_it_is_there(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with paid_world(tmp_path, is_away=True) as world:
        alice = world.nodes["alice"]
        assert any("nothing is paid yet" in text for text in alice.status().warnings)
        with pytest.raises(ChainError) as refused:
            alice.payments.earnings()
        assert refused.value.code == "chain_unavailable"
        impatient = spec(retry={"attempts_max": 1}, timeouts={"queue": 60})
        view = await ended(await alice.submit(impatient, base_dir=tmp_path))
        assert view.state == "failed", view
        assert '"code":"unpayable","nodes":2' in view.model_dump_json(), view
        world.bank.come_back()
        await trio.sleep(limits.CONTRACTS_LOOK_S_MAX + 1)
        assert alice.status().warnings == ()
        job = await alice.submit(spec(), base_dir=tmp_path)
        view = await ended(job)
        assert view.state == "succeeded", view
        await trio.sleep(5)
        world.check_receipts("alice", world.worker_of(job), job)
        assert job.billing().paid_wei > 0
        world.bank.leave()
        await world.stop("alice")
        assert (await world.start("alice")).status().warnings == (), "what was found once needs no chain"
        world.bank.come_back()


async def test_a_requester_that_has_never_found_the_contracts_ends_the_lease(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with paid_world(tmp_path) as world:
        await world.stop("alice")
        world.small.finders.remove("alice")
        world.bank.leave()
        alice = await world.start("alice")
        await world.all_know_each_other()
        impatient = spec(retry={"attempts_max": 1}, timeouts={"queue": 60})
        job = await alice.submit(impatient, base_dir=tmp_path)
        view = await ended(job)
        assert (view.state, view.code) == ("failed", "chain_unavailable"), view
        assert not job.billing().is_paid
        world.bank.come_back()
        await trio.sleep(limits.CONTRACTS_LOOK_S_MAX + 1)
        assert alice.status().warnings == ()


async def test_a_job_costs_no_more_than_its_bound(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with paid_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(
            spec(env=LONG, price={"total_max": "0.002"}), base_dir=tmp_path
        )
        view = await ended(job)
        assert (view.state, view.code) == ("failed", "over_budget"), view
        await trio.sleep(130)
        paid_wei = sum(lane.paid_wei for lane in world.lanes("alice"))
        assert 0 < paid_wei <= 2 * SKYOPS // 1000
        assert paid_wei >= 18 * SKYOPS // 10_000, "stopped far too early"
        (mine,), (theirs,) = world.lanes("alice"), world.lanes(world.worker_of(job))
        assert mine.paid_wei == theirs.paid_wei


async def test_a_job_costs_no_more_than_its_bound_when_its_requester_was_away(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # SET-30
    async with paid_world(tmp_path) as world:
        price, steps = {"total_max": "0.00015"}, {"STEP_S": "3"}
        job = await world.nodes["alice"].submit(spec(env=steps, price=price), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].done >= 1)
        await world.stop("alice")
        await trio.sleep(25)
        alice = await world.start("alice")
        await ended(alice.jobs.find(job.job_id))
        await trio.sleep(130)
        paid_wei = sum(lane.paid_wei for lane in world.lanes("alice"))
        assert 0 < paid_wei <= 15 * SKYOPS // 100_000


async def test_lost_messages_are_made_up_for(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = LivePair._send
    counts = {"sent": 0}

    async def lossy(self: LivePair, message: Message) -> None:
        counts["sent"] += 1
        if counts["sent"] % 3:
            await send(self, message)

    monkeypatch.setattr(LivePair, "_send", lossy)
    async with paid_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(env={"STEP_S": "5"}), base_dir=tmp_path)
        view = await ended(job)
        assert view.state == "succeeded", view
        await trio.sleep(20)
        worker = world.worker_of(job)
        (mine,), (theirs,) = world.lanes("alice"), world.lanes(worker)
        assert (mine.code, mine.paid_wei) == (theirs.code, theirs.paid_wei) == ("paid", mine.paid_wei)
        world.check_receipts("alice", worker, job)


async def test_each_lease_of_an_array_is_a_lane_of_its_own(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with paid_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(shards=5, command=["shout"]), base_dir=tmp_path)
        view = await ended(job)
        assert view.state == "succeeded", view
        await trio.sleep(10)
        lanes = world.lanes("alice")
        assert sorted(lane.shard for lane in lanes) == list(range(5))
        assert {lane.code for lane in lanes} == {"paid"}
        for worker in ("bob", "carol"):
            world.check_receipts("alice", worker, job)
        earned = sum(world.nodes[who].payments.earnings().paid_wei for who in ("bob", "carol"))
        assert earned == job.billing().paid_wei == sum(lane.paid_wei for lane in lanes)


async def test_what_was_metered_before_a_job_is_cancelled_is_paid(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with paid_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(env=LONG), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].done >= 1)
        worker = world.worker_of(job)
        await job.cancel()
        await ended(job)
        await trio.sleep(130)
        (mine,), (theirs,) = world.lanes("alice"), world.lanes(worker)
        assert (mine.code, theirs.code) == ("paid", "paid"), "what was metered before the wish is paid"
        assert mine.paid_wei == theirs.paid_wei > 0


async def test_vouchers_are_redeemed_when_due_and_holdbacks_released(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    payment: dict[str, object] = {"redeem_interval_s": 100.0, "redeem_cost_bps_max": 10_000}
    async with paid_world(tmp_path, payment=payment) as world:
        world.bank.window_s = 600
        costly = spec(env={"STEP_S": "60"}, price={"per_hour_max": 1000})
        for name in ("bob", "carol"):
            await world.stop(name)
            await world.start(name, price_microcredits_per_hour=2_000_000_000)
        await world.all_know_each_other()
        job = await world.nodes["alice"].submit(costly, base_dir=tmp_path)
        view = await ended(job, timeout_s=3000)
        assert view.state == "succeeded", view
        worker = world.worker_of(job)
        pair = world.bank.pair(account("alice"), account(worker))
        await trio.sleep(200)
        paid_wei = sum(lane.paid_wei for lane in world.lanes(worker))
        assert pair.redeemed == paid_wei // 10**9 * 10**9
        assert pair.held > 0
        await trio.sleep(700)
        assert pair.held == 0


async def test_a_holdback_that_is_not_worth_its_gas_waits_until_a_person_wants_it(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with paid_world(tmp_path) as world:
        world.bank.window_s = 600
        job = await world.nodes["alice"].submit(spec(), base_dir=tmp_path)
        assert (await ended(job)).state == "succeeded"
        worker = world.worker_of(job)
        payments, parties = world.nodes[worker].payments, (account("alice"), account(worker))
        await trio.sleep(10)
        assert (await payments.settle()).vouchers == 1
        pair = world.bank.pair(*parties)
        held = pair.held
        await trio.sleep(1200)  # its window has closed
        assert (pair.held, world.bank.sent["release"]) == (held, 0)
        world.bank.disputed.add(parties)
        refused = await payments.settle()
        assert (refused.releases, pair.held) == (0, held), "a dispute holds it, and nothing fails for that"
        world.bank.disputed.clear()
        assert (await payments.quote()).releases == 1
        settled = await payments.settle()
        assert (settled.vouchers, settled.releases, pair.held) == (0, 1, 0)
        assert world.bank.credits[parties[1]] >= held > 0


async def test_a_run_that_is_not_paid_is_paused_and_goes_on_once_it_is(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # SET-8
    async with paid_world(tmp_path) as world:
        job = await world.nodes["alice"].submit(spec(env={"STEP_S": "5"}), base_dir=tmp_path)
        await until(job, lambda view: view.shards and view.shards[0].done >= 3)
        worker, job_id = world.worker_of(job), job.job_id
        await world.crash("alice")
        await trio.sleep(60)
        service = world.nodes[worker]._workshop.execution  # type: ignore[union-attr]
        assert service is not None
        assert [run.phase for run in service.runs] == ["paused"]
        alice = await world.start("alice")
        job = alice.jobs.find(job_id)
        view = await ended(job)
        assert (view.state, len(view.shards[0].attempts)) == ("succeeded", 1), view
        await trio.sleep(10)
        (mine,), (theirs,) = world.lanes("alice"), world.lanes(worker)
        assert (mine.code, mine.paid_wei) == (theirs.code, theirs.paid_wei) == ("paid", theirs.paid_wei)
        assert 45_000 <= mine.billed.runtime_ms <= 55_000, "pauses are not paid"
        world.check_receipts("alice", worker, job)


async def test_each_member_of_a_gang_is_paid_for_itself(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with paid_world(tmp_path) as world:
        gang = spec(shards=2, gang=True, command=["shout"], checkpoint=None)
        job = await world.nodes["alice"].submit(gang, base_dir=tmp_path)
        view = await ended(job)
        assert view.state == "succeeded", view
        await trio.sleep(10)
        lanes = world.lanes("alice")
        assert sorted((lane.shard, lane.code) for lane in lanes) == [(0, "paid"), (1, "paid")]
        assert len({lane.account for lane in lanes}) == 2
