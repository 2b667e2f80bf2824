"""Time that nobody saw: believed as far as the worker's meter, one interval, and what the job may still cost."""

import pytest

from skyops_p2p.core.settlement.gaps import Gaps
from skyops_p2p.core.settlement.lanes import EXPOSED_MS, Lane, LaneTerms
from skyops_p2p.core.settlement.meters import Counts
from tests.unit.core.settlement.pair_world import terms


def lane(*, own_ms: int = 1000, meter_ms: int = 4000, pace_ms: int = 5000) -> Lane:
    return Lane(terms(), own=Counts(own_ms), meter=Counts(meter_ms), pace_ms=pace_ms)


@pytest.mark.parametrize(
    ("left_ms", "meter_ms", "believed_ms"),
    [
        (None, 4000, 3000),
        (None, 60_000, 5000 + EXPOSED_MS),
        (10_000, 4000, 3000),
        (1200, 4000, 1200),
        (0, 4000, 0),
        (None, 500, 0),
    ],
)
def test_a_restarted_requester_believes_no_more_than_it_may_pay(
    left_ms: int | None, meter_ms: int, believed_ms: int
) -> None:  # SET-20, SET-30
    asked: list[LaneTerms] = []

    def left(of: LaneTerms) -> int | None:
        asked.append(of)
        return left_ms

    found = lane(meter_ms=meter_ms)
    gaps = Gaps([found.terms.lane], left)
    assert gaps.fill(found) == believed_ms
    assert found.own.runtime_ms == 1000 + believed_ms
    assert asked[0] is found.terms


def test_what_was_unseen_is_believed_once_and_within_the_bound() -> None:  # SET-20, SET-30
    left_ms = 2500
    found = lane()
    gaps = Gaps([], lambda _terms: left_ms)
    assert gaps.most_ms(found) == 0
    gaps.note(found.terms.lane, 3000)
    assert gaps.most_ms(found) == 2500
    assert gaps.fill(found) == 2500
    assert gaps.most_ms(found) == 0
