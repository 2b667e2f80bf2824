"""AUC-20, AUC-21: lots are fair to weights, bit for bit the same everywhere, and each policy orders as it says."""

import math
from collections import Counter
from dataclasses import replace

import pytest

from skyops_p2p.core.auction.award import Entry, rank
from skyops_p2p.core.auction.policies import POLICIES, log2_fixed, lot
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.wire.messages.auction import Tender
from tests.unit.core.auction.market import CLOSED, SEED, Worker, tender_of
from tests.unit.core.people import BOB, CAROL, MALLORY, crowd

CROWD = crowd(6)


def winner(tender: Tender, *workers: Worker, seed: bytes = SEED) -> bytes:
    entries = [Entry(w.bidder, w.bid(1), w.observation(), w.record_message, 1) for w in workers]
    return rank(tender, entries, seed=seed, closed_unix_ms=CLOSED).ranking[0]


# --- lots -------------------------------------------------------------------------------------------------------
def test_log2_is_exact_for_powers_and_close_for_the_rest() -> None:
    for exponent in range(65):
        assert log2_fixed(1 << exponent) == exponent << 32
    for value in (3, 5, 1000, 2**40 + 12_345, 2**63 - 1, 2**64 - 1):
        assert abs(log2_fixed(value) / 2**32 - math.log2(value)) < 1e-8


def test_log2_has_known_bits() -> None:
    assert [log2_fixed(value) for value in (3, 10, 2**64 - 1)] == [
        6_807_362_105,
        14_267_572_527,
        274_877_906_943,
    ]


def test_log2_never_falls() -> None:
    values = sorted(int.from_bytes(sha256(bytes([n]))[:8], "big") for n in range(200))
    logs = [log2_fixed(value) for value in values]
    assert logs == sorted(logs)


def test_lot_has_known_bits() -> None:
    assert lot(bytes(32), b"bob", 1) == lot(bytes(32), b"bob", 0) == 4_081_086_753 << 64
    assert lot(bytes(32), b"bob", 3) == (4_081_086_753 << 64) // 3


def test_lots_are_won_in_proportion_to_the_weight() -> None:
    weights = {b"bob": 1, b"carol": 3, b"dave": 6}
    wins = Counter(
        min(weights, key=lambda name: lot(sha256(n.to_bytes(2, "big")), name, weights[name]))
        for n in range(4000)
    )
    for name, weight in weights.items():
        assert abs(wins[name] - 400 * weight) < 4 * math.sqrt(4000 * weight / 10 * (1 - weight / 10))


def test_splitting_a_stake_wins_nothing() -> None:
    """M8: ten identities with a tenth of the stake each win as often as one with all of it."""
    others = {b"bob": 10, b"carol": 20}
    split = {f"mallory-{n}".encode(): 1 for n in range(10)}
    whole_wins = split_wins = 0
    for n in range(3000):
        seed = sha256(n.to_bytes(2, "big"))
        whole = {**others, b"mallory": 10}
        whole_wins += min(whole, key=lambda name: lot(seed, name, whole[name])) == b"mallory"
        parts = {**others, **split}
        split_wins += min(parts, key=lambda name: lot(seed, name, parts[name])) in split
    assert abs(whole_wins - 750) < 100
    assert abs(split_wins - 750) < 100


# --- policies ---------------------------------------------------------------------------------------------------
def test_every_policy_of_a_tender_is_there() -> None:
    assert set(POLICIES) == {"composite", "wrr", "poc", "vdf"}


def test_wrr_gives_to_whom_most_is_owed() -> None:
    tender = tender_of(policy="wrr", price_floor=1_200_000)
    bob, carol = Worker(BOB, stake=10, awards=4), Worker(CAROL, stake=30, awards=15)
    assert winner(tender, bob, carol) == bob.bidder  # 10 / 5 against 30 / 16
    assert winner(tender, replace(bob, awards=5), carol) == carol.bidder
    assert winner(tender, replace(bob, price=1, stake=0, awards=0), carol) == carol.bidder


def test_wrr_follows_the_stakes_over_many_awards() -> None:
    tender = tender_of(policy="wrr", price_floor=1_200_000)
    workers = {
        w.bidder: w for w in (Worker(BOB, stake=10), Worker(CAROL, stake=20), Worker(MALLORY, stake=50))
    }
    for _ in range(80):
        won = winner(tender, *workers.values())
        workers[won] = replace(workers[won], awards=workers[won].awards + 1)
    assert sorted(worker.awards for worker in workers.values()) == [10, 20, 50]


def test_wrr_puts_dear_bids_last() -> None:
    tender = tender_of(policy="wrr", price_floor=600_000)
    fair, dear = Worker(BOB, price=1_000_000, awards=9), Worker(CAROL, price=1_000_001, stake=1000)
    assert winner(tender, fair, dear) == fair.bidder
    assert winner(tender, fair, replace(dear, price=1_000_000)) == dear.bidder


def test_poc_weighs_by_proven_throughput() -> None:
    tender = tender_of(policy="poc")
    slow, fast = Worker(BOB, throughput=1, stake=10**6), Worker(CAROL, throughput=99, stake=1)
    wins = Counter(winner(tender, slow, fast, seed=sha256(bytes([n]))) for n in range(100))
    assert wins[fast.bidder] > 90


def test_vdf_weighs_by_stake_and_not_by_score() -> None:
    tender = tender_of(policy="vdf")
    rich, cheap = Worker(BOB, stake=99, price=1_999_999), Worker(CAROL, stake=1, price=500_000)
    wins = Counter(winner(tender, rich, cheap, seed=sha256(bytes([n]))) for n in range(100))
    assert wins[rich.bidder] > 90


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_equal_bids_are_drawn_by_the_seed(policy: str) -> None:
    tender = tender_of(policy=policy)
    workers = [Worker(person) for person in CROWD]
    winners = {winner(tender, *workers, seed=bytes([n] * 32)) for n in range(12)}
    assert len(winners) > 2
    assert winner(tender, *workers) == winner(tender, *workers[::-1])
