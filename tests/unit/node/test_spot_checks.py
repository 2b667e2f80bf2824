"""How likely a check is: by the worker's row of right results, its stake and the value. VER-16, REP-27."""

import pytest

from skyops_p2p.core.reputation.uses import Record, check_chance
from skyops_p2p.node.spot_checks import SpotChecks
from tests.unit.node.jobs.job_world import spec
from tests.unit.node.reputation.test_admission import BOB, CAROL, UNIT, Known

HOUR_PRICE = UNIT // 2
LAST = 2**64 - 1
"""The lot that no chance below 1 reaches."""


def is_due(known: Known, lot: int, *, who: object = BOB) -> bool:
    return SpotChecks(known).is_due(who, spec(), HOUR_PRICE, lot=lot)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "record",
    [
        Record(streak=9, checked=1000, stake=1000 * UNIT),
        Record(streak=9, checked=9, stake=1000 * UNIT),
        Record(streak=1000, checked=1000, stake=UNIT // 2),
    ],
    ids=["short-row", "probation", "little-stake"],
)
def test_whoever_is_little_known_or_has_little_stake_is_always_checked(record: Record) -> None:
    assert is_due(Known({BOB: record}), LAST)


def test_known_worker_is_checked_as_often_as_the_rule_says() -> None:
    record = Record(streak=400, checked=400, stake=1000 * UNIT)
    chance = check_chance(record, HOUR_PRICE)
    assert chance == 120_000
    edge = -(-(chance << 64) // 10**6)
    assert is_due(Known({BOB: record}), edge - 1)
    assert not is_due(Known({BOB: record}), edge)


def test_what_a_worker_computes_besides_counts_and_this_lease_does_not() -> None:
    record = Record(streak=400, checked=400, stake=UNIT)
    assert not is_due(Known({BOB: record}, opened=HOUR_PRICE), LAST)
    assert is_due(Known({BOB: record}, opened=2 * HOUR_PRICE), LAST)


def test_of_whom_nothing_is_known_everything_is_checked() -> None:
    assert is_due(Known({BOB: Record(400, 400, 1000 * UNIT)}), LAST, who=CAROL)
    away = Known({BOB: Record(400, 400, 1000 * UNIT)})
    away.book = None
    assert is_due(away, LAST)
