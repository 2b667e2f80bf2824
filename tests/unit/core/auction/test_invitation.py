"""AUC-6: a constant expected number of answers, widened in rounds, and a tier fixed before any bid."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.core.auction.invitation import (
    EVERYBODY,
    best_candidates,
    candidate_key,
    invite_hash,
    invite_share,
    is_invited,
    tier_of,
)
from skyops_p2p.limits import TENDER_BIDS_MAX, TENDER_INVITES_MAX
from tests.unit.core.auction.market import Worker, signed_tender, tender_of
from tests.unit.core.people import BOB, CAROL

PEERS = [b"\x00\x24\x08\x01\x12\x20" + n.to_bytes(32, "big") for n in range(4000)]
DIGEST = bytes([4] * 32)


def test_share_of_everybody_invites_all_and_nothing_invites_nobody() -> None:
    everyone, nobody = tender_of(invite_share=EVERYBODY), tender_of(invite_share=0)
    assert all(is_invited(everyone, DIGEST, peer) for peer in PEERS[:200])
    assert not any(is_invited(nobody, DIGEST, peer) for peer in PEERS[:200])


def test_expected_number_does_not_grow_with_the_network() -> None:
    for known in (400, 4000):
        tender = tender_of(invite_share=invite_share(known, wanted=20))
        invited = sum(is_invited(tender, DIGEST, peer) for peer in PEERS[:known])
        assert 5 <= invited <= 45


def test_rounds_widen_up_to_what_a_tender_takes() -> None:
    shares = [invite_share(100_000, wanted=8, round_number=n) for n in range(5)]
    assert shares[1] == 4 * shares[0] or abs(shares[1] - 4 * shares[0]) < 4
    assert shares == sorted(shares)
    assert shares[4] == TENDER_BIDS_MAX * EVERYBODY // 100_000
    assert invite_share(5, wanted=8) == invite_share(0, wanted=8) == EVERYBODY


def test_wider_share_invites_the_same_nodes_and_more() -> None:
    narrow, wide = tender_of(invite_share=2**28), tender_of(invite_share=2**30)
    few = {peer for peer in PEERS if is_invited(narrow, DIGEST, peer)}
    many = {peer for peer in PEERS if is_invited(wide, DIGEST, peer)}
    assert few < many


def test_each_tender_invites_others() -> None:
    assert invite_hash(DIGEST, PEERS[0]) != invite_hash(bytes(32), PEERS[0])
    assert 0 <= invite_hash(DIGEST, PEERS[0]) < EVERYBODY


def test_lists_of_the_tender_hold_for_gossip_too() -> None:
    bob, carol = Worker(BOB).bidder, Worker(CAROL).bidder
    allowed = signed_tender(allow=(bob,))
    assert is_invited(allowed.message, allowed.digest, bob)
    assert not is_invited(allowed.message, allowed.digest, carol)
    denied = signed_tender(deny=(bob,))
    assert not is_invited(denied.message, denied.digest, bob)


def test_tier_is_the_smallest_with_enough_known_nodes() -> None:
    assert tier_of([24, 80, 12, 48]) == 48
    assert tier_of([24, 24, 24, 80, 80]) == 24
    assert tier_of([24, 80]) == tier_of([]) == 0


def test_best_candidates_come_once_and_more_each_round() -> None:
    ranked = PEERS[:100]
    first = best_candidates(ranked, asked=frozenset(), round_number=0)
    second = best_candidates(ranked, asked=frozenset(first), round_number=1)
    assert first == tuple(ranked[: len(first)])
    assert second == tuple(ranked[len(first) :][:TENDER_INVITES_MAX])
    assert len(first) < len(second) == TENDER_INVITES_MAX
    assert len(best_candidates(ranked, asked=frozenset(), round_number=8)) == TENDER_INVITES_MAX


def key(peer: bytes = b"bob", **changes: Any) -> tuple[object, ...]:
    usual = {"vram_mib": 24, "tier_mib": 24, "price": 1_000_000, "round_trip_ms": 50, "lot": b"job"}
    return candidate_key(peer, **{**usual, **changes})


def test_candidates_in_the_tier_come_before_cheaper_ones_above_it() -> None:
    assert key(price=2_000_000) < key(vram_mib=80, price=1)
    assert key(vram_mib=12, price=2_000_000) < key(vram_mib=80, price=1)


def test_cheaper_candidates_come_first_and_among_equals_the_nearer() -> None:
    assert key(price=900_000, round_trip_ms=200) < key(price=1_000_000, round_trip_ms=1)
    assert key(price=1_000_000, round_trip_ms=1) < key(price=1_001_000, round_trip_ms=2)
    assert key(price=1_001_000, round_trip_ms=1) < key(price=1_000_000, round_trip_ms=2)


@given(st.integers(0, 2**53 - 1))
def test_dearer_is_never_before_and_an_eighth_dearer_always_behind(price: int) -> None:
    assert key(price=price)[1] <= key(price=price + 1)[1]
    assert key(price=price)[1] < key(price=-(-price * 9 // 8) + 1)[1]


def test_each_job_asks_equals_in_an_order_of_its_own() -> None:
    orders = {
        tuple(sorted(PEERS[:20], key=lambda peer, lot=lot: key(peer, lot=lot)))  # type: ignore[misc]
        for lot in (b"one", b"two", b"three")
    }
    assert len(orders) == 3
