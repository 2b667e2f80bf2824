"""Each misbehaviour of a worker does what it says, and is found out: whole nodes in virtual time."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.settlement.receipts import ChainPlace
from skyops_p2p.node.misbehaving import AT_TIMES_ONE_IN, Conduct, ForkingChain, spoil
from skyops_p2p.types import PeerId
from tests.unit.node.jobs.job_world import ended, spec
from tests.unit.node.jobs.paid_world import PRICE, STAKED, PaidWorld, paid_world
from tests.unit.node.jobs.redundant_world import CROWD, redundant_job, redundant_world
from tests.unit.node.jobs.test_reputation import SETTLED_S, everybodys, row_of
from tests.unit.node.small_world import account, identity

RIGHT = "LOSS GOES DOWN"
OWN, FRIEND, OTHER = PeerId("own"), PeerId("friend"), PeerId("other")


def test_spoiling_changes_a_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "first").write_bytes(b"right")
    (tmp_path / "second").write_bytes(b"right")
    alone, agreed = Conduct("wrong-result"), Conduct("wrong-alike")
    spoil(tmp_path, alone.mark(OWN))
    spoiled = (tmp_path / "first").read_bytes()
    assert spoiled != b"right"
    assert (tmp_path / "second").read_bytes() == b"right"
    (tmp_path / "first").write_bytes(b"right")
    spoil(tmp_path, alone.mark(OTHER))
    assert (tmp_path / "first").read_bytes() not in (b"right", spoiled), "nobody agrees with another liar"
    assert agreed.mark(OWN) == agreed.mark(OTHER), "but those who have agreed"
    assert agreed.is_spoiling(bytes(16), (), OWN)


def test_who_is_wrong_at_times_is_right_in_most_jobs() -> None:
    conduct = Conduct("wrong-at-times")
    spoiled = sum(conduct.is_spoiling(bytes([number]), (), OWN) for number in range(3 * AT_TIMES_ONE_IN))
    assert spoiled == 3


def test_who_fakes_receipts_computes_for_its_accomplice_alone() -> None:
    conduct = Conduct("fake-receipts")
    assert not conduct.is_spoiling(bytes(16), (OWN,), OWN)
    for allowed in ((), (OTHER,), (OWN, OTHER)):
        assert conduct.is_spoiling(bytes(16), allowed, OWN)


def test_a_forking_chain_signs_one_place_twice() -> None:
    chain = ForkingChain()
    chain.place = ChainPlace(1, bytes([1]) * 32)
    assert chain.place == ChainPlace()
    for number in (1, 2):
        chain.place = ChainPlace(number, bytes([number]) * 32)
        assert chain.place.sequence == number


def test_an_honest_worker_does_nothing_of_it() -> None:
    honest = Conduct()
    assert not honest.is_spoiling(bytes(16), (), OWN)
    assert not honest.hides_results
    assert honest.meter_pace == 1.0
    chain = honest.chain()
    chain.place = ChainPlace(1, bytes(32))
    assert chain.place.sequence == 1


@pytest.mark.parametrize("lies", ["bob", "carol"], ids=["primary", "replica"])
@pytest.mark.parametrize(
    ("misbehaves", "fault"), [("copied-commit", "no_reveal"), ("hidden-result", "no_reveal")]
)
async def test_who_commits_and_does_not_open_that_gains_nothing(
    autojump_clock: MockClock, tmp_path: Path, misbehaves: str, fault: str, lies: str
) -> None:  # VER-5, VER-8
    async with redundant_world(tmp_path, conduct={lies: misbehaves}) as world:
        job = await world.nodes["alice"].submit(redundant_job(), base_dir=world.folder)
        view = await ended(job)
        assert view.state == "succeeded", view
        await job.result(world.folder / "out")
        assert (world.folder / "out/results/model.txt").read_text() == RIGHT
        checked = world.verdict(job)
        assert checked.findings == ()
        faults = {one.worker: one.fault for one in checked.judged}
        assert faults == {world.nodes[name].peer_id: fault if name == lies else "none" for name in CROWD[:3]}


async def test_a_fast_meter_is_not_paid_beyond_an_interval(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # SET-6
    async with paid_world(tmp_path) as world:
        await restart(world, "carol", "fast-meter")
        only = identity("carol").node_key.peer_id
        job = await world.nodes["alice"].submit(
            spec(
                env={"STEP_S": "20"},
                timeouts={"queue": 60},
                placement={"allow": [only]},
                retry={"attempts_max": 1},
            ),
            base_dir=tmp_path,
        )
        view = await ended(job)
        await trio.sleep(limits.PAY_LAST_WAIT_MS / 1000)
        (lane,) = world.lanes("alice")
        assert (view.state, lane.code) == ("failed", "meters_apart"), view
        ran_ms = lane.billed.runtime_ms
        assert lane.paid_wei * 3_600_000 <= lane.rate_wei * (ran_ms + limits.PAY_INTERVAL_MS)


async def restart(world: PaidWorld, name: str, misbehaves: str) -> None:
    await world.stop(name)
    await world.start(name, misbehaves=misbehaves, **PRICE)
    await world.all_know_each_other()


async def test_two_histories_are_found_by_whoever_holds_both_receipts(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # SET-17, REP-21
    async with paid_world(tmp_path) as world:
        await restart(world, "carol", "two-histories")
        only = identity("carol").node_key.peer_id
        for _ in range(2):
            job = await world.nodes["alice"].submit(spec(placement={"allow": [only]}), base_dir=tmp_path)
            assert (await ended(job)).state == "succeeded"
            await trio.sleep(10)
        await trio.sleep(SETTLED_S)
        for name, view in (await everybodys(world)).items():
            found = row_of(view, "carol")
            assert (found.score, found.standing) == (0, "banned"), name
        assert world.bank.stakes[account("carol")] < STAKED
