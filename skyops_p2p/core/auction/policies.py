"""In which order bids stand: the four award policies, and the weighted lot that breaks ties. Integers only.

Spec: protocol/04-auction.md, "Policies". Every key depends on the tender, the seed and the bidder alone. Sources:
weighted rendezvous hashing (Schindelhauer and Schomaker 2005: the least -ln(u)/w wins with a probability proportional
to w, and splitting w over several identities gains nothing); highest averages (D'Hondt) as a weighted round robin
without a state that others could shift.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.wire.messages.auction import Bid, Observation, Score, Tender

TIE_BAND = 5_000
"""Width of the bands of equal scores, millionths. Their grid is fixed, so that no bid moves it."""
QUOTIENT_SCALE = 1_000_000
_LOT_DOMAIN = b"skyops/lot/1"
_FRACTION_BITS = 32
_FRACTION_PLACES = tuple(1 << place for place in reversed(range(_FRACTION_BITS)))
"""The highest first."""
_TWO = 1 << 64
"""2, with 63 bits behind the point."""

Key = tuple[int | bytes, ...]
"""Lower stands first."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bid that passed the hard filter and stands in the tier."""

    bidder: bytes
    bid: Bid
    seen: Observation
    score: Score


def composite(tender: Tender, candidate: Candidate, seed: bytes) -> Key:
    """Order by bands of the score, inside one by stake-weighted lot. Rules: AUC-20."""
    band = candidate.score.total // TIE_BAND
    return (-band, lot(seed, candidate.bidder, candidate.seen.stake_weight), candidate.bidder)


def wrr(tender: Tender, candidate: Candidate, seed: bytes) -> Key:
    """Order by what stake is owed: the highest stake per award, this one included; dear bids come last.

    A bid is dear above the class index, five thirds of the tender's price floor.

    Rules: AUC-21.
    """
    seen = candidate.seen
    is_dear = candidate.bid.price * 3 > tender.price_floor * 5
    owed = max(1, seen.stake_weight) * QUOTIENT_SCALE // (seen.recent_awards + 1)
    return (int(is_dear), -owed, lot(seed, candidate.bidder, seen.stake_weight), candidate.bidder)


def poc(tender: Tender, candidate: Candidate, seed: bytes) -> Key:
    """Order by a lot weighted with the proven throughput. Rules: AUC-21."""
    return (lot(seed, candidate.bidder, candidate.seen.throughput), candidate.bidder)


def vdf(tender: Tender, candidate: Candidate, seed: bytes) -> Key:
    """Order by a stake-weighted lot; its seed is the VDF's output. Rules: AUC-21."""
    return (lot(seed, candidate.bidder, candidate.seen.stake_weight), candidate.bidder)


POLICIES: Mapping[str, Callable[[Tender, Candidate, bytes], Key]] = MappingProxyType(
    {"composite": composite, "wrr": wrr, "poc": poc, "vdf": vdf}
)
"""A tender's `policy` -> the key that bids are sorted by."""


def lot(seed: bytes, bidder: bytes, weight: int) -> int:
    """Return a bidder's lot; the least wins, with a probability proportional to the weight.

    It is -log2(u) / weight with u uniform in (0, 1], in fixed point: floor(L * 2^64 / weight), where L has 32 bits
    behind the point.

    Args:
        seed: 32 bytes that no bidder could know when it committed.
        bidder: Binary peer id.
        weight: Stake or throughput; 0 counts as 1.

    Rules: AUC-20.
    """
    drawn = int.from_bytes(sha256(_LOT_DOMAIN + seed + bidder)[:8], "big") + 1
    return (((64 << _FRACTION_BITS) - log2_fixed(drawn)) << 64) // max(1, weight)


def log2_fixed(value: int) -> int:
    """Return floor-like log2 of 1 to 2^64 with 32 bits behind the point, by repeated squaring of 64-bit numbers.

    The truncations are part of the rule: everybody gets the same bits.

    Rules: AUC-20.
    """
    exponent = value.bit_length() - 1
    mantissa = value << 63 - exponent if exponent <= 63 else value >> exponent - 63
    result = exponent << _FRACTION_BITS
    for place in _FRACTION_PLACES:
        mantissa = mantissa * mantissa >> 63
        if mantissa >= _TWO:
            result |= place
            mantissa >>= 1
    return result
