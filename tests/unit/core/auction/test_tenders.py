"""AUC-1, AUC-2, AUC-3, AUC-4, AUC-5: what a tender must be, each breach with its code; two under one id are a proof."""

from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.core.auction.tenders import check_tender, is_conflict
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.auction import Weights
from tests.unit.core.auction.market import signed_tender, tender_of
from tests.unit.core.people import ALICE, BOB, MAINNET, MALLORY, NOW, RULES, Person

LIFETIME = limits.TENDER_LIFETIME_MS_MAX


def sealed(who: Person = ALICE, **changes: Any) -> bytes:
    return seal(tender_of(**changes), who.node_key, RULES.network)


def code(data: bytes, *, now: int | None = NOW) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        check_tender(data, RULES, now=now)
    assert caught.value.rule
    return caught.value.code


def test_good_tender_is_taken() -> None:
    assert check_tender(sealed(), RULES, now=NOW).message == tender_of()
    at_bounds = sealed(expires_unix_ms=NOW + LIFETIME, issued_unix_ms=NOW)
    check_tender(at_bounds, RULES, now=NOW - limits.CLOCK_SKEW_MS_MAX)
    check_tender(sealed(commit_ms=6000, reveal_ms=4000), RULES, now=NOW + 9_999)
    check_tender(sealed(), RULES, now=None)


@pytest.mark.parametrize(
    ("changes", "now", "wanted"),
    [
        ({}, NOW + 10_000, "expired"),
        ({}, NOW - limits.CLOCK_SKEW_MS_MAX - 1, "not_yet_valid"),
        ({"expires_unix_ms": NOW + LIFETIME + 1}, NOW, "lifetime_too_long"),
        ({"requester": peer_id_to_bytes(BOB.peer)}, NOW, "wrong_signer"),
        ({"price_floor": 2_000_000}, NOW, "tender_invalid"),
        ({"price_max": 0, "price_floor": 0}, NOW, "tender_invalid"),
        ({"weights": Weights(price=1, reputation=0, fit=0, latency=0)}, NOW, "tender_invalid"),
        ({"commit_ms": 6000, "reveal_ms": 4001}, NOW, "tender_invalid"),
        ({"expires_unix_ms": NOW - 1}, None, "tender_invalid"),
    ],
)
def test_breaches(changes: dict[str, Any], now: int | None, wanted: str) -> None:
    assert code(sealed(**changes), now=now) == wanted


def test_tender_that_was_good_before_is_looked_at_again() -> None:
    data = sealed()
    assert check_tender(data, RULES, now=NOW) == check_tender(data, RULES, now=NOW)
    assert code(data, now=NOW + 10_000) == "expired"
    flipped = data[:-1] + bytes([data[-1] ^ 1])
    assert code(flipped) == "bad_signature"


def test_oversized_tender() -> None:
    peers = tuple(peer_id_to_bytes(ALICE.peer) for _ in range(limits.TENDER_PEERS_MAX))
    data = sealed(allow=peers, deny=peers)
    assert len(data) > limits.TENDER_BYTES_MAX
    assert code(data) == "oversized"


def test_tender_signed_by_another_or_of_another_network() -> None:
    assert code(sealed(MALLORY)) == "wrong_signer"
    foreign = seal(tender_of(network=MAINNET.network), ALICE.node_key, MAINNET.network)
    assert code(foreign) in {"bad_signature", "wrong_network"}


def test_two_tenders_under_one_id_are_a_proof() -> None:
    one, other = signed_tender(), signed_tender(price_max=3_000_000)
    assert is_conflict(one, other)
    assert not is_conflict(one, signed_tender())
    assert not is_conflict(one, signed_tender(round=1))
    assert not is_conflict(one, signed_tender(job_id=bytes([9] * 16)))
    bobs = signed_tender(BOB, requester=peer_id_to_bytes(BOB.peer))
    assert not is_conflict(one, bobs)
