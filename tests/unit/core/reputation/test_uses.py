"""Gate, probation lane, exposure, chance of a check, modes and gossip: one below, at and above each bound."""

from dataclasses import replace

import pytest

from skyops_p2p.core.reputation.accuracy import Tally
from skyops_p2p.core.reputation.conduct import Day, Outcome, Pace, availability, day_of, efficiency, uptime
from skyops_p2p.core.reputation.parameters import DEFAULTS
from skyops_p2p.core.reputation.ratings import Role
from skyops_p2p.core.reputation.standings import Standing
from skyops_p2p.core.reputation.uses import (
    PROBATION_PERMILLE,
    Record,
    check_chance,
    gossip_score,
    has_room,
    is_in_probation_lane,
    is_on_probation,
    may_bid,
)

UNIT = DEFAULTS.unit
BOB = Standing(
    account=b"bob", role=Role.WORKER, credibility=500_000, accuracy=500_000, availability=10**6, efficiency=10**6,
    prior=200_000, memory=10**6, tally=Tally(), raters=3,
)  # fmt: skip
KNOWN = Record(streak=100, checked=100, stake=100 * UNIT)
FRESH = Record(streak=0, checked=0, stake=2 * UNIT)


def worth(credibility: int) -> Standing:
    return replace(BOB, credibility=credibility)


@pytest.mark.parametrize(("credibility", "is_in"), [(399_999, False), (400_000, True), (10**6, True)])
def test_the_gate(credibility: int, is_in: bool) -> None:  # REP-24
    assert may_bid(worth(credibility), KNOWN, UNIT, is_lane=False) is is_in


@pytest.mark.parametrize(
    ("open_value", "is_in"), [(65_666_666, True), (65_666_667, False), (66 * UNIT, False)]
)
def test_stake_bounds_what_is_open(open_value: int, is_in: bool) -> None:  # REP-25
    record = replace(KNOWN, open_value=open_value)
    assert has_room(record, UNIT) is is_in
    assert may_bid(BOB, record, UNIT, is_lane=False) is is_in
    assert (check_chance(record, UNIT) == 10**6) is not is_in  # REP-27


@pytest.mark.parametrize(
    ("record", "value", "is_in"),
    [(FRESH, UNIT, True), (FRESH, UNIT + 1, False), (replace(FRESH, stake=2 * UNIT - 1), UNIT, False),
     (replace(FRESH, checked=9), UNIT, True), (replace(FRESH, checked=10), UNIT, False)],
)  # fmt: skip
def test_the_probation_lane_is_for_small_jobs_of_the_unproven(
    record: Record, value: int, is_in: bool
) -> None:
    assert may_bid(worth(0), record, value, is_lane=True) is is_in  # REP-26
    assert not may_bid(replace(worth(10**6), is_banned=True), record, value, is_lane=True)
    assert is_on_probation(record) is (record.checked < 10)


def test_every_eighth_tender_is_for_the_lane() -> None:  # REP-26
    lots = [lot << 22 for lot in range(1024)]
    share = sum(is_in_probation_lane(lot) for lot in lots) * 1000 / len(lots)
    assert abs(share - PROBATION_PERMILLE) < 1


@pytest.mark.parametrize(
    ("streak", "checked", "chance"),
    [
        (9, 100, 10**6),
        (10, 9, 10**6),
        (10, 10, 316_228),
        (69, 69, 120_386),
        (70, 70, 120_000),
        (10**6, 10**6, 120_000),
    ],
)
def test_checks_thin_out_with_the_streak(streak: int, checked: int, chance: int) -> None:  # REP-27
    assert check_chance(Record(streak, checked, 10**12), UNIT) == chance


def test_a_dear_job_is_checked_however_long_the_streak() -> None:  # REP-27
    assert check_chance(Record(10**6, 10**6, 3 * UNIT), 2 * UNIT) == 400_000


def test_gossip_thinks_little_of_strangers_and_nothing_of_liars() -> None:  # REP-28
    assert gossip_score(worth(400_000), has_stake=True) == 10
    assert gossip_score(worth(399_999), has_stake=True) == 0
    assert gossip_score(worth(10**6), has_stake=False) == 0
    assert gossip_score(replace(BOB, is_banned=True), has_stake=True) == -1000


def test_three_of_five_witnesses_make_a_slot() -> None:  # REP-17
    def said(*outcomes: Outcome) -> tuple[Outcome, ...]:
        return outcomes

    yes, no, away = Outcome.ANSWERED, Outcome.SILENT, Outcome.ANNOUNCED
    assert day_of([said(*[yes] * 5), said(yes, yes, yes, no, no)]) == Day(2, 2, 0, 10)
    assert day_of([said(yes, yes, no, no, no), said(no, no, no)]) == Day(2, 0, 0, 8)
    assert day_of([said(away, away, away, yes)]) == Day(0, 0, 1, 4)
    assert day_of([said(yes, yes, no, no, away), said(yes, yes), said()]) == Day(0, 0)


def test_announced_absence_is_neutral_up_to_two_percent() -> None:  # REP-18
    full = {9: Day(980, 980, 20)}
    assert uptime(full, 9, DEFAULTS) == uptime({9: Day(980, 980)}, 9, DEFAULTS)
    beyond = {9: Day(980, 980, 120)}
    assert uptime(beyond, 9, DEFAULTS) == uptime({9: Day(980 + 98, 980)}, 9, DEFAULTS)
    assert availability({9: Day(0, 0, 1000)}, 9, DEFAULTS) == DEFAULTS.uptime_least


def test_an_unknown_uptime_is_half_of_all() -> None:  # REP-18
    assert availability({}, 9, DEFAULTS) == 500_000
    full = dict.fromkeys(range(10), Day(144, 144))
    assert availability(full, 9, DEFAULTS) == 10**6
    half = dict.fromkeys(range(10), Day(144, 72))
    assert availability(half, 9, DEFAULTS) == DEFAULTS.uptime_least == 100_000
    assert uptime({10: Day(144, 0), 0 - 20: Day(144, 0)}, 9, DEFAULTS) == 947_500  # of tomorrow, and too old


def test_less_than_half_of_the_weight_cannot_move_the_speed() -> None:  # REP-19
    assert efficiency([], DEFAULTS) == 500_000
    honest = [Pace(900_000, 10 * UNIT)]
    liars = [Pace(1, 4 * UNIT), Pace(2 * 10**6, 4 * UNIT)]
    assert efficiency(honest, DEFAULTS) == efficiency(honest + liars, DEFAULTS) == 900_000
    assert efficiency([Pace(3 * 10**6, 9 * UNIT)], DEFAULTS) == 10**6
    assert efficiency([Pace(1, 0)], DEFAULTS) == 500_000
