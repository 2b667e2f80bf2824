"""The class index: the formula in integers, and the table where nothing was measured."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.core.auction.award import Entry, exclusion_codes
from skyops_p2p.core.auction.class_index import class_index_milli, measured_index_milli
from skyops_p2p.wire.messages.peering import BenchmarkPart
from tests.unit.core.auction.market import NEEDS, Worker, tender_of
from tests.unit.core.people import BOB, GPU, NOW

FIGURES = st.integers(1, 10**9 - 1000)


def test_reference_class_is_one() -> None:  # AUC-41
    assert measured_index_milli(BenchmarkPart(mflops=51_000_000, mb_per_s=360_000), 12_288) == 1000


@given(FIGURES, FIGURES, st.integers(0, 2**24))
def test_index_is_the_formula_rounded_down(mflops: int, mb_per_s: int, memory_mib: int) -> None:  # AUC-41
    index = measured_index_milli(BenchmarkPart(mflops=mflops, mb_per_s=mb_per_s), memory_mib)
    factors = (mflops / 51e6) ** 0.5 * (mb_per_s / 360e3) ** 0.3 * (max(1, memory_mib) / 12_288) ** 0.2
    assert math.isclose(index, max(1.0, 1000 * factors), rel_tol=1e-9, abs_tol=1.0)


@given(FIGURES, FIGURES, st.integers(1, 2**23), st.integers(1, 1000))
def test_more_of_anything_is_never_less(mflops: int, mb_per_s: int, memory_mib: int, more: int) -> None:
    first = measured_index_milli(BenchmarkPart(mflops=mflops, mb_per_s=mb_per_s), memory_mib)
    for other in (
        measured_index_milli(BenchmarkPart(mflops=mflops + more, mb_per_s=mb_per_s), memory_mib),
        measured_index_milli(BenchmarkPart(mflops=mflops, mb_per_s=mb_per_s + more), memory_mib),
        measured_index_milli(BenchmarkPart(mflops=mflops, mb_per_s=mb_per_s), memory_mib + more),
    ):
        assert other >= first


def test_what_was_measured_takes_the_place_of_the_table() -> None:  # AUC-41
    assert class_index_milli(GPU) == 6100
    slower = GPU.model_copy(update={"benchmark": BenchmarkPart(mflops=51_000_000, mb_per_s=360_000)})
    assert class_index_milli(slower) == 1461  # for its memory


@pytest.mark.parametrize("mflops", [0, 20_000_000])
@pytest.mark.parametrize("off", [-1, 1])
def test_bid_must_say_the_index_of_its_devices(mflops: int, off: int) -> None:  # AUC-16, AUC-41
    bob = Worker(BOB, mflops=mflops)
    honest = bob.bid(1)
    for bid, codes in ((honest, ()), (honest.model_copy(update={"speed_milli": honest.speed_milli + off}),
                                      ("hardware_mismatch",))):  # fmt: skip
        entry = Entry(bob.bidder, bid, bob.observation(), bob.record_message, 1)
        assert exclusion_codes(tender_of(needs=NEEDS), entry, closed_unix_ms=NOW) == codes


def test_bid_without_gpus_has_no_index() -> None:  # AUC-16, AUC-41
    needs = NEEDS.model_copy(
        update={"gpu_models": (), "gpu_count": 0, "vram_mib": 0, "compute_capability": ""}
    )
    bob = Worker(BOB)
    bid = bob.bid(0)
    for speed, codes in ((0, ()), (1, ("hardware_mismatch",))):
        entry = replace(
            Entry(bob.bidder, bid, bob.observation(), bob.record_message, 1),
            bid=bid.model_copy(update={"speed_milli": speed}),
        )
        assert exclusion_codes(tender_of(needs=needs), entry, closed_unix_ms=NOW) == codes
