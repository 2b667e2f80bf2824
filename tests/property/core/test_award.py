"""M1, M2: losing bids never change the winner; scores are monotone; the order of the bids is nothing."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyops_p2p.core.auction.award import Entry, rank, score
from skyops_p2p.wire.messages.auction import Tender
from tests.unit.core.auction.market import CLOSED, NEEDS, Worker, tender_of
from tests.unit.core.people import crowd

CROWD = crowd(8)
SIZES = (16_384, 24_576, 49_152, 81_920)
TENDERS = st.builds(
    tender_of,
    policy=st.sampled_from(["composite", "wrr", "poc", "vdf"]),
    tier_mib=st.sampled_from([0, *SIZES]),
    price_floor=st.integers(0, 1_900_000),
    input_bytes=st.sampled_from([0, 1]),
    speed_milli_min=st.sampled_from([0, 1000, 6000]),
    window_awards=st.sampled_from([0, 100]),
    window_stake=st.sampled_from([100, 1000]),
    needs=st.sampled_from([NEEDS, NEEDS.model_copy(update={"latency_ms_max": 200})]),
)
SEEDS = st.binary(min_size=32, max_size=32)


def traits() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "price": st.integers(0, 2_500_000),
            "vram_mib": st.sampled_from(SIZES),
            "reputation": st.integers(0, 1_000_000),
            "round_trip_ms": st.integers(0, 300),
            "transfer_ms": st.integers(0, 70_000),
            "cached_permille": st.integers(0, 1000),
            "mflops": st.integers(1, 200_000_000),
            "stake": st.integers(0, 50),
            "awards": st.integers(0, 20),
            "throughput": st.integers(0, 3),
        }
    )


def entry_of(worker: Worker) -> Entry:
    return Entry(worker.bidder, worker.bid(1), worker.observation(), worker.record_message, 1)


MARKETS = st.lists(traits(), min_size=1, max_size=len(CROWD)).map(
    lambda rows: [entry_of(Worker(person, **row)) for person, row in zip(CROWD, rows, strict=False)]
)


def ranking(tender: Tender, entries: list[Entry], seed: bytes) -> tuple[bytes, ...]:
    return rank(tender, entries, seed=seed, closed_unix_ms=CLOSED).ranking


@settings(deadline=None)
@given(tender=TENDERS, entries=MARKETS, seed=SEEDS)
def test_without_any_losing_bid_the_winner_is_the_same(
    tender: Tender, entries: list[Entry], seed: bytes
) -> None:
    """The same statement, read backwards, is that adding a losing bid changes nothing."""
    ranked = ranking(tender, entries, seed)
    winner = ranked[:1]
    for loser in entries:
        if (loser.bidder,) != winner:
            without = [entry for entry in entries if entry is not loser]
            assert ranking(tender, without, seed)[:1] == winner
    if winner:
        alone = [entry for entry in entries if entry.bidder == winner[0]]
        assert ranking(tender, alone, seed) == winner


@settings(deadline=None)
@given(tender=TENDERS, entries=MARKETS, seed=SEEDS, order=st.randoms(use_true_random=False))
def test_order_of_the_bids_is_nothing(tender: Tender, entries: list[Entry], seed: bytes, order: Any) -> None:
    shuffled = list(entries)
    order.shuffle(shuffled)
    first = rank(tender, entries, seed=seed, closed_unix_ms=CLOSED)
    assert rank(tender, shuffled, seed=seed, closed_unix_ms=CLOSED) == first


@settings(deadline=None)
@given(tender=TENDERS, entries=MARKETS, seed=SEEDS)
def test_everybody_is_ranked_or_excluded_and_reserves_follow(
    tender: Tender, entries: list[Entry], seed: bytes
) -> None:
    result = rank(tender, entries, seed=seed, closed_unix_ms=CLOSED)
    out = [exclusion.bidder for exclusion in result.exclusions]
    assert sorted([*out, *result.ranking]) == sorted(entry.bidder for entry in entries)
    assert tuple(found.bidder for found in result.scores) == result.ranking
    if result.ranking:
        rest = [entry for entry in entries if entry.bidder != result.ranking[0]]
        assert ranking(tender, rest, seed)[: len(result.ranking) - 1] == result.ranking[1:]


BETTER = {
    "price": -500_000,
    "reputation": 200_000,
    "round_trip_ms": -100,
    "transfer_ms": -20_000,
    "cached_permille": 300,
    "mflops": 50_000_000,
    "awards": -5,
    "vram_mib": -30_000,
}
"""What a bidder can be better in, and a step that shows."""


@pytest.mark.parametrize("name", BETTER)
@settings(deadline=None)
@given(tender=TENDERS, row=traits(), part=st.sampled_from((1, 7, 100)))
def test_score_is_monotone_in_every_own_quality(
    name: str, tender: Tender, row: dict[str, Any], part: int
) -> None:
    limits = {"reputation": 1_000_000, "cached_permille": 1000, "vram_mib": 81_920}
    if name == "vram_mib":  # it is a part of what is measured: what it costs there is another matter
        row = {**row, "mflops": 0}
    # Below the memory that is needed a bid does not pass the filter, so there is nothing to compare.
    lowest = NEEDS.vram_mib if name == "vram_mib" else 0
    value = min(max(lowest, row[name] + BETTER[name] // part), limits.get(name, 2**40))
    worker = Worker(CROWD[0], **row)
    before = score(tender, entry_of(worker))
    after = score(tender, entry_of(replace(worker, **{name: value})))
    assert after.total >= before.total


@settings(deadline=None)
@given(tender=TENDERS, entries=MARKETS, seed=SEEDS, price=st.integers(0, 2_500_000))
def test_lower_price_never_loses_under_composite(
    tender: Tender, entries: list[Entry], seed: bytes, price: int
) -> None:
    tender = tender.model_copy(update={"policy": "composite"})
    winner = ranking(tender, entries, seed)[:1]
    cheaper = [
        replace(entry, bid=entry.bid.model_copy(update={"price": min(entry.bid.price, price)}))
        if (entry.bidder,) == winner
        else entry
        for entry in entries
    ]
    assert ranking(tender, cheaper, seed)[:1] == winner
