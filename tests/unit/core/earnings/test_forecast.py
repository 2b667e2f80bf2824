"""A day's forecast is the published formula, applied to a day."""

from dataclasses import replace

from skyops_p2p.core.auction.prices import MODE_PERMILLE
from skyops_p2p.core.earnings.forecast import ForecastTerms, forecast_day, modes
from skyops_p2p.core.earnings.pay import multiplier_bp

TERMS = ForecastTerms(
    price=4_000_000,
    classes_milli=(4000, 4000),
    load_permille=500,
    credibility=400_000,
    availability=1_000_000,
    holdback_bps=2000,
)
"""Two RTX 4090 for 4 SKYOPS an hour each, half of the time."""


def test_a_day_is_price_times_hours_times_mode_less_the_fee() -> None:
    found = {mode: forecast_day(TERMS, mode) for mode in modes()}
    assert list(found) == ["priority", "commit", "flex"]
    assert found["commit"].hourly == 8_000_000
    assert found["commit"].pay.gross == 12 * 8_000_000
    for mode, one in found.items():
        assert one.pay.gross == 12 * 8_000 * MODE_PERMILLE[mode]
        assert one.paid == one.pay.gross * 97 // 100
        assert one.held == one.pay.gross // 5


def test_more_reputation_and_uptime_bring_more_and_never_more_than_half_the_fee() -> None:
    poor, good = TERMS, replace(TERMS, credibility=850_000)
    before, after = forecast_day(poor, "commit").pay, forecast_day(good, "commit").pay
    assert before.certain == before.gross * (multiplier_bp(400_000) - 300) // 10_000
    assert before.shortfall > 0 == after.shortfall
    assert before.certain < after.certain == after.gross - after.fee
    assert 0 < after.claim <= after.fee // 2
    assert forecast_day(replace(good, availability=0), "commit").pay.uptime_claim == 0


def test_a_machine_without_gpus_counts_as_one_of_the_reference_class_and_no_load_brings_nothing() -> None:
    small = replace(TERMS, classes_milli=(), price=50_000)
    assert forecast_day(small, "commit").hourly == 50_000
    idle = forecast_day(replace(small, load_permille=0), "priority")
    assert (idle.pay.gross, idle.paid, idle.held) == (0, 0, 0)


def test_gpus_of_different_classes_are_paid_by_their_class() -> None:
    mixed = replace(TERMS, classes_milli=(4000, 1000))
    assert mixed.rate == 1_000_000
    assert forecast_day(mixed, "commit").hourly == 5_000_000
