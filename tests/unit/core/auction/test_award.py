"""AUC-16 to AUC-22: the hard filter code by code, the tier, each part of the score, hoarding and ties."""

import math
from dataclasses import replace
from typing import Any

import pytest

from skyops_p2p.core.auction import award
from skyops_p2p.core.auction.award import Entry, Ranking, chosen_tier, exclusion_codes, rank, score
from skyops_p2p.core.auction.codes import EXCLUSION_CODES
from skyops_p2p.core.auction.policies import TIE_BAND
from skyops_p2p.wire.messages.auction import Score, Weights
from skyops_p2p.wire.messages.peering import GpuPart
from tests.unit.core.auction.market import CLOSED, NEEDS, SEED, Worker, hardware, tender_of
from tests.unit.core.people import ALICE, BOB, CAROL, HARDWARE, MALLORY, crowd

CPU_NEEDS = NEEDS.model_copy(update={"gpu_count": 0, "vram_mib": 0})


def entry_of(worker: Worker, *, gpus: int = 1) -> Entry:
    return Entry(worker.bidder, worker.bid(gpus), worker.observation(), worker.record_message, 1)


def codes(worker: Worker, *, gpus: int = 1, **changes: Any) -> tuple[str, ...]:
    found = exclusion_codes(tender_of(**changes), entry_of(worker, gpus=gpus), closed_unix_ms=CLOSED)
    assert set(found) <= set(EXCLUSION_CODES)
    return found


def bidding(worker: Worker, **changes: Any) -> Worker:
    return replace(worker, bid_changes=tuple(changes.items()))


def ranked(*workers: Worker, **changes: Any) -> Ranking:
    entries = [entry_of(worker) for worker in workers]
    return rank(tender_of(**changes), entries, seed=SEED, closed_unix_ms=CLOSED)


def part(worker: Worker, **changes: Any) -> Score:
    return score(tender_of(**changes), entry_of(worker))


BOBS = Worker(BOB)


# --- the hard filter, AUC-16 ------------------------------------------------------------------------------------
def test_good_bid_passes_the_filter() -> None:
    assert codes(BOBS) == ()


@pytest.mark.parametrize(
    ("worker", "changes", "code"),
    [
        (BOBS, {"deny": (BOBS.bidder,)}, "denied"),
        (BOBS, {"allow": (Worker(CAROL).bidder,)}, "not_allowed"),
        (replace(BOBS, reputation=399_999), {"reputation_min": 400_000}, "reputation"),
        (replace(BOBS, price=2_000_001), {}, "price_above_max"),
        (bidding(BOBS, valid_until_unix_ms=CLOSED - 1), {}, "bid_expired"),
        (replace(BOBS, throughput=0), {"policy": "poc"}, "proof_stale"),
        (replace(BOBS, record_changes=(("sequence", 0),)), {}, "record_missing"),
        (replace(BOBS, round_trip_ms=81), {"needs": NEEDS.model_copy(update={"latency_ms_max": 80})}, "latency"),
        (replace(BOBS, record_changes=(("region", "us"),)),
         {"needs": NEEDS.model_copy(update={"regions": ("eu",)})}, "region"),
        (replace(BOBS, record_changes=(("is_worker", False),)), {}, "not_a_worker"),
    ],
)  # fmt: skip
def test_filter_names_the_reason(worker: Worker, changes: dict[str, Any], code: str) -> None:
    assert codes(worker, **changes) == (code,)


def test_filter_passes_what_is_just_good_enough() -> None:
    just = replace(BOBS, price=2_000_000, reputation=400_000, round_trip_ms=80)
    needs = NEEDS.model_copy(update={"latency_ms_max": 80})
    assert codes(just, needs=needs, reputation_min=400_000, allow=(BOBS.bidder,)) == ()
    assert codes(bidding(BOBS, valid_until_unix_ms=CLOSED)) == ()
    assert codes(replace(BOBS, throughput=0)) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"devices": ()},
        {"devices": ("GPU-of-nobody",)},
        {"devices": (f"{CAROL.peer}/0",)},
        {"vram_mib": 81_920},
        {"vram_mib": 1},
        {"gpu_model": "NVIDIA H100"},
    ],
)
def test_bid_for_hardware_that_the_record_does_not_show(changes: dict[str, Any]) -> None:
    assert codes(bidding(BOBS, **changes)) == ("hardware_mismatch",)


def test_bid_with_one_device_twice_is_no_bid_with_two() -> None:
    needs = NEEDS.model_copy(update={"gpu_count": 2})
    two = replace(BOBS, gpus=2)
    assert codes(two, gpus=2, needs=needs) == ()
    one = f"{BOB.peer}/0"
    assert codes(bidding(two, devices=(one, one)), gpus=2, needs=needs) == ("hardware_mismatch",)


def test_bid_with_a_device_that_does_not_fit_the_job() -> None:
    small = GpuPart(model="NVIDIA A100", vram_mib=8192, compute_capability="8.0", uuid="")
    both = HARDWARE.model_copy(update={"gpus": (small, *hardware(24_576).gpus)})
    worker = replace(BOBS, record_changes=(("hardware", both),))
    good = bidding(worker, devices=(f"{BOB.peer}/1",))
    bad = bidding(worker, devices=(f"{BOB.peer}/0",), vram_mib=8192)
    assert (codes(good), codes(bad)) == ((), ("hardware_mismatch",))


def test_probed_devices_go_by_uuid() -> None:
    probed = hardware(24_576).model_copy(update={"source": "nvml"})
    worker = replace(BOBS, record_changes=(("hardware", probed),))
    assert worker.bid(1).devices == ("GPU-0",)
    assert codes(worker) == ()


def test_job_without_gpus_wants_none() -> None:
    assert codes(BOBS, gpus=0, needs=CPU_NEEDS) == ()
    assert codes(bidding(BOBS, vram_mib=1), gpus=0, needs=CPU_NEEDS) == ("hardware_mismatch",)
    assert codes(BOBS, gpus=1, needs=CPU_NEEDS) == ("hardware_mismatch",)


def test_all_reasons_are_named() -> None:
    worker = replace(BOBS, price=3_000_000, reputation=0)
    assert codes(worker, reputation_min=1, deny=(BOBS.bidder,)) == ("denied", "reputation", "price_above_max")


# --- the tier, AUC-17 -------------------------------------------------------------------------------------------
def test_tier_is_the_tenders_or_the_smallest_bid() -> None:
    assert chosen_tier([24, 48, 80], 0) == 24
    assert chosen_tier([24, 48, 80], 48) == 48
    assert chosen_tier([80], 48) == 80
    assert chosen_tier([], 0) == 0


def test_large_gpu_is_kept_for_who_needs_it() -> None:
    small, large = (
        Worker(BOB, price=1_900_000, vram_mib=24_576),
        Worker(CAROL, price=500_000, vram_mib=81_920),
    )
    result = ranked(small, large)
    assert result.ranking == (small.bidder,)
    assert [(e.bidder, e.codes) for e in result.exclusions] == [(large.bidder, ("tier_larger",))]
    assert ranked(small, large, tier_mib=81_920).ranking == (large.bidder, small.bidder)


# --- the score, AUC-18 and AUC-19 -------------------------------------------------------------------------------
def test_price_part_runs_from_ceiling_to_floor() -> None:
    prices = {2_000_000: 0, 1_250_000: 500_000, 500_000: 1_000_000, 1: 1_000_000, 1_999_999: 0, 1_999_998: 1}
    assert {price: part(replace(BOBS, price=price)).price for price in prices} == prices


def test_reputation_part_is_full_at_seventy_percent() -> None:
    values = {0: 0, 350_000: 500_000, 700_000: 1_000_000, 1_000_000: 1_000_000, 1: 1}
    assert {value: part(replace(BOBS, reputation=value)).reputation for value in values} == values


def test_fit_part() -> None:
    assert part(replace(BOBS, vram_mib=16_384)).fit == 1_000_000
    assert part(replace(BOBS, vram_mib=65_536)).fit == 500_000
    assert part(replace(BOBS, vram_mib=24_576)).fit == math.isqrt(16_384 * 10**12 // 24_576) == 816_496
    assert part(replace(BOBS, vram_mib=16_384), speed_milli_min=24_400).fit == 250_000  # an A100 is 6100
    assert part(replace(BOBS, vram_mib=16_384), speed_milli_min=1000).fit == 1_000_000
    assert part(replace(BOBS, vram_mib=16_384), input_bytes=1).fit == 500_000
    assert part(replace(BOBS, vram_mib=16_384, cached_permille=500), input_bytes=1).fit == 750_000
    assert part(replace(BOBS, vram_mib=16_384, cached_permille=1000), input_bytes=1).fit == 1_000_000
    any_memory = NEEDS.model_copy(update={"vram_mib": 0})
    assert part(replace(BOBS, vram_mib=8192), needs=any_memory).fit == 1_000_000
    assert part(replace(BOBS, vram_mib=4096), needs=any_memory).fit == 1_000_000
    assert part(replace(BOBS, vram_mib=32_768), needs=any_memory).fit == 500_000
    assert score(tender_of(needs=CPU_NEEDS), entry_of(BOBS, gpus=0)).fit == 1_000_000


def test_latency_part() -> None:
    assert part(replace(BOBS, round_trip_ms=0)).latency == 1_000_000
    assert part(replace(BOBS, round_trip_ms=1000)).latency == 500_000
    assert part(replace(BOBS, round_trip_ms=60_000)).latency == 500_000
    assert part(replace(BOBS, round_trip_ms=60_000, transfer_ms=60_000)).latency == 0
    assert part(replace(BOBS, round_trip_ms=0, transfer_ms=2**32)).latency == 500_000
    asked = NEEDS.model_copy(update={"latency_ms_max": 100})
    assert part(replace(BOBS, round_trip_ms=50), needs=asked).latency == 750_000


def test_hoarding_counts_awards_beyond_the_fair_share() -> None:
    window = {"window_awards": 100, "window_stake": 1000}  # a stake of 10 is owed one award
    steps = {0: 0, 1: 0, 2: 150_000, 3: 300_000, 4: 450_000, 50: 450_000}
    assert {n: part(replace(BOBS, awards=n), **window).hoarding for n in steps} == steps
    assert part(replace(BOBS, awards=50)).hoarding == 0
    assert part(replace(BOBS, awards=50, stake=0), window_awards=1, window_stake=0).hoarding == 450_000


def test_total_is_the_weighted_sum_less_hoarding() -> None:
    worker = replace(BOBS, awards=2)
    window = {"window_awards": 100, "window_stake": 1000}
    one = part(worker, **window)
    whole = 400_000 * one.price + 300_000 * one.reputation + 200_000 * one.fit + 100_000 * one.latency
    assert one.total == whole // 1_000_000 - 150_000
    price_only = Weights(price=1_000_000, reputation=0, fit=0, latency=0)
    assert part(BOBS, weights=price_only).total == part(BOBS).price
    assert part(replace(worker, price=2_000_000, awards=9), weights=price_only, **window).total == -450_000


def test_every_score_is_a_legal_message() -> None:
    extremes = [
        replace(
            BOBS,
            price=price,
            reputation=reputation,
            round_trip_ms=60_000,
            transfer_ms=2**32,
            awards=2**53 - 1,
        )
        for price in (0, 2**53 - 1)
        for reputation in (0, 1_000_000)
    ]
    for worker in extremes:
        found = part(worker, window_awards=1, window_stake=2**53 - 1, speed_milli_min=2**32)
        assert Score.model_validate(found.model_dump()) == found


# --- order, AUC-20 and AUC-22 -----------------------------------------------------------------------------------
def test_better_band_wins_and_ties_fall_by_lot() -> None:
    cheap, dear = Worker(BOB, price=600_000), Worker(CAROL, price=1_900_000)
    assert ranked(dear, cheap).ranking == (cheap.bidder, dear.bidder)
    near = [Worker(person, price=1_000_000 + n) for n, person in enumerate(crowd(40))]
    totals = [part(worker).total // TIE_BAND for worker in near]
    assert len(set(totals)) == 1
    winners = {
        rank(tender_of(), [entry_of(w) for w in near], seed=bytes([n] * 32), closed_unix_ms=CLOSED).ranking[0]
        for n in range(8)
    }
    assert len(winners) > 3


def test_order_of_the_entries_does_not_matter() -> None:
    workers = [Worker(person, price=700_000 + 90_000 * n) for n, person in enumerate(crowd(8))]
    assert ranked(*workers) == ranked(*workers[::-1]) == ranked(*workers[3:], *workers[:3])


def test_device_counts_once_and_for_the_better_bid() -> None:
    probed = hardware(24_576).model_copy(update={"source": "nvml"})
    bob = Worker(BOB, price=600_000, record_changes=(("hardware", probed),))
    mallory = Worker(MALLORY, price=1_900_000, record_changes=(("hardware", probed),))
    result = ranked(mallory, bob, Worker(CAROL, price=1_950_000))
    assert result.ranking == (bob.bidder, Worker(CAROL).bidder)
    assert [(e.bidder, e.codes) for e in result.exclusions] == [(mallory.bidder, ("device_twice",))]


def test_nobody_qualifies() -> None:
    result = ranked(replace(BOBS, price=9_000_000))
    assert (result.ranking, result.scores) == ((), ())


def test_bidders_that_are_out_already_keep_their_reason() -> None:
    result = rank(
        tender_of(),
        [entry_of(BOBS)],
        seed=SEED,
        closed_unix_ms=CLOSED,
        dropped={Worker(ALICE).bidder: ("reveal_missing",)},
    )
    assert result.ranking == (BOBS.bidder,)
    assert [e.codes for e in result.exclusions] == [("reveal_missing",)]


def test_constants_are_those_of_the_specification() -> None:
    assert (award.SCALE, award.REPUTATION_FULL, award.HOARDING_RATE, award.HOARDING_STEPS, TIE_BAND) == (
        1_000_000, 700_000, 150_000, 3, 5000,
    )  # fmt: skip
