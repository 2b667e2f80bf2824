"""How long a run will still take, as its worker's beats tell; instants are made up."""

import pytest

from skyops_p2p.node.jobs.shard_watch import ShardWatch
from skyops_p2p.wire.messages.execution import WorkerBeat


def beat(sequence: int, done: int, *, total: int = 100, phase: str = "running") -> WorkerBeat:
    fields = {"epoch": 1, "sequence": sequence, "phase": phase, "phase_done": 0, "phase_total": 0}
    return WorkerBeat.model_validate(fields | {"done": done, "total": total, "metrics": (), "gpus": ()})


def remaining_s(watch: ShardWatch, now: float) -> float | None:
    found = watch.estimate(now)
    return None if found is None else found.remaining_s


def test_the_rest_follows_from_the_pace_and_counts_down_between_two_steps() -> None:
    watch = ShardWatch()
    watch.take(beat(1, 10), now=100.0)
    assert remaining_s(watch, 101.0) is None  # one figure is no pace
    watch.take(beat(2, 20), now=102.0)
    assert remaining_s(watch, 102.0) == pytest.approx(16.0)
    watch.take(beat(3, 20), now=103.0)
    assert remaining_s(watch, 103.5) == pytest.approx(14.5)
    assert remaining_s(watch, 200.0) == 0.0


def test_what_a_checkpoint_brought_is_no_pace() -> None:
    watch = ShardWatch()
    watch.take(beat(1, 0, total=0), now=100.0)  # it has started, and told nothing yet
    watch.take(beat(2, 90), now=101.0)
    assert remaining_s(watch, 101.0) is None
    watch.take(beat(3, 91), now=103.0)
    assert remaining_s(watch, 103.0) == pytest.approx(18.0)


def test_an_older_beat_changes_nothing_and_no_other_phase_is_estimated() -> None:
    watch = ShardWatch()
    watch.take(beat(5, 10), now=100.0)
    watch.take(beat(6, 20), now=101.0)
    watch.take(beat(4, 90), now=102.0)
    assert remaining_s(watch, 101.0) == pytest.approx(8.0)
    watch.take(beat(7, 20, phase="collecting"), now=102.0)
    assert remaining_s(watch, 102.0) is None


def test_more_done_than_there_is_counts_for_no_progress() -> None:  # EXE-26
    watch = ShardWatch()
    watch.take(beat(1, 10), now=100.0)
    watch.take(beat(2, 101), now=101.0)
    assert watch.beat is not None
    assert (watch.beat.done, watch.beat.total) == (0, 0)
    assert remaining_s(watch, 101.0) is None
    watch.take(beat(3, 0).model_copy(update={"phase_done": 5, "phase_total": 4}), now=102.0)
    assert (watch.beat.phase_done, watch.beat.phase_total) == (0, 0)
