"""Who of an array gets a worker that is free again: one shard, the one whose match would not be for nothing."""

from dataclasses import dataclass, field
from typing import cast

from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.shard_record import ShardRecord, ShardState
from skyops_p2p.node.jobs.array import Array
from skyops_p2p.node.jobs.tools import JobTools
from skyops_p2p.node.match_view import MatchView
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.execution import HolderPart
from tests.unit.core.people import BOB, CAROL
from tests.unit.node.jobs.job_world import spec

AWARD = bytes([1] * 32)
PASSED = ev.PassAward(BOB.peer, AWARD, 7, bytes(16))


@dataclass
class Shard:
    index: int
    takes_kept_award: bool = True
    has_room: bool = True
    record: ShardRecord = field(default_factory=ShardRecord)
    offered: list[ev.MatchFound] = field(default_factory=list)

    def offer_award(self, found: ev.MatchFound) -> bool:
        if self.has_room:
            self.offered.append(found)
            self.takes_kept_award = False
        return self.has_room


@dataclass
class Tools:
    """The node of alice, as far as an array sees it."""

    released: list[bytes] = field(default_factory=list)

    def release_award(self, award: bytes) -> None:
        self.released.append(award)

    def choose_keepers(self, _worker: PeerId) -> tuple[HolderPart, ...]:
        return ()

    async def find_worker(self, *_: object, **__: object) -> MatchView:
        raise AssertionError("no match is asked for here")


def array(*shards: Shard) -> tuple[Array, Tools]:
    tools = Tools()
    return Array(spec(shards=max(2, len(shards))), cast("JobTools", tools), shards), tools


async def test_award_goes_to_one_shard_and_the_next_one_to_another(autojump_clock: MockClock) -> None:
    first, second = Shard(0), Shard(1)
    job, tools = array(first, second)
    job.pass_on(PASSED)
    job.pass_on(PASSED)
    job.pass_on(PASSED)
    assert [len(first.offered), len(second.offered)] == [1, 1]
    assert first.offered[0] == ev.MatchFound(BOB.peer, AWARD, 7, bytes(16), is_kept=True)
    assert tools.released == [AWARD], "nobody wants the third"


async def test_shard_without_room_is_passed_over(autojump_clock: MockClock) -> None:
    first, second = Shard(0, has_room=False), Shard(1)
    job, tools = array(first, second)
    job.pass_on(PASSED)
    assert (first.offered, len(second.offered), tools.released) == ([], 1, [])


async def test_worker_that_has_failed_any_shard_gets_no_other_one(autojump_clock: MockClock) -> None:
    failed = Shard(0, takes_kept_award=False, record=ShardRecord().excluding(BOB.peer))
    job, tools = array(failed, Shard(1))
    job.pass_on(PASSED)
    assert tools.released == [AWARD]
    job.pass_on(ev.PassAward(CAROL.peer, AWARD, 7, bytes(16)))
    assert tools.released == [AWARD]


async def test_array_is_at_work_while_another_shard_has_a_worker(autojump_clock: MockClock) -> None:
    job, _ = array(Shard(0), Shard(1, record=ShardRecord(state=ShardState.RUNNING)))
    assert job.is_at_work(0)
    assert not job.is_at_work(1)


async def test_what_is_remembered_of_awards_is_bounded(autojump_clock: MockClock) -> None:
    shards = [Shard(number) for number in range(3)]
    job, _ = array(*shards)
    for number in range(limits.AWARDS_REMEMBERED_MAX + 3):
        shards[0].takes_kept_award = True
        job.pass_on(ev.PassAward(BOB.peer, number.to_bytes(32, "big"), 7, bytes(16)))
    assert len(job._since) == limits.AWARDS_REMEMBERED_MAX
