"""Who is asked to bid: the hash test for those who hear a tender by gossip, the order of the known candidates, and the
tier fixed before any bid.

Spec: protocol/04-auction.md, "Invitation". A constant expected number of nodes answers, whatever the size of the
network, and nobody can choose whom the test invites without changing the tender.
"""

from collections.abc import Iterable, Sequence

from skyops_p2p import limits
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.wire.messages.auction import Tender

EVERYBODY = 2**32
"""The share that invites all."""
TIER_CANDIDATES = 3
"""So many known candidates make a memory tier worth keeping to."""
PRICE_STEP_BITS = 3
"""Announced prices are compared by so many bits behind the first: what differs by less than 7 to 13 % is equal."""
_INVITE_DOMAIN = b"skyops/invite/1"
_ASK_DOMAIN = b"skyops/ask/1"


def invite_hash(tender: bytes, peer: bytes) -> int:
    """Return the number below 2**32 that decides whether a node is invited. Rules: AUC-6.

    Args:
        tender: Digest of the tender's envelope.
        peer: Binary peer id.
    """
    return int.from_bytes(sha256(_INVITE_DOMAIN + tender + peer)[:4], "big")


def is_invited(tender: Tender, digest: bytes, peer: bytes) -> bool:
    """Tell whether a node that heard a tender by gossip may answer it. Rules: AUC-6.

    The allow and deny lists hold for everybody, whichever way the tender came.
    """
    if peer in tender.deny or (tender.allow and peer not in tender.allow):
        return False
    return invite_hash(digest, peer) < tender.invite_share


def invite_share(known: int, *, wanted: int, round_number: int = 0) -> int:
    """Return the share of nodes to invite by gossip, 0 to 2**32.

    Args:
        known: Nodes that may fit, as the local map has them, or more that nobody knows of.
        wanted: Expected number of gossip answers in round 0; capped by TENDER_BIDS_MAX together with what follows.
        round_number: Each further round invites four times as many.

    Rules: AUC-6.
    """
    if known <= 0:
        return EVERYBODY
    expected = min(wanted << 2 * round_number, limits.TENDER_BIDS_MAX)
    return min(EVERYBODY, expected * EVERYBODY // known)


def tier_of(vram_mib: Iterable[int]) -> int:
    """Return the memory tier to write into a tender: the smallest that holds TIER_CANDIDATES known candidates.

    It is fixed before anybody bids, so that no bid can move it: were it counted over the bids, one losing bid more or
    less could change the winner. 0, "the smallest that is bid", where fewer candidates are known.

    Args:
        vram_mib: GPU memory of each known node that fits, of the GPUs that the job would get.
    """
    sizes = sorted(vram_mib)
    return sizes[TIER_CANDIDATES - 1] if len(sizes) >= TIER_CANDIDATES else 0


def candidate_key(
    peer: bytes, *, vram_mib: int, tier_mib: int, price: int, round_trip_ms: int, lot: bytes
) -> tuple[bool, int, int, bytes]:
    """Return by what known candidates are put in order; the least is asked first.

    First come those in the tier: no other bid stands while one of theirs does (AUC-17), and it would hold a larger GPU
    for nothing. Then the cheaper, the nearer, and at last a lot that is another for each job: requesters who know the
    same nodes do not all ask the same ones, and nobody is asked always because of its name.

    Args:
        peer: The candidate.
        vram_mib: Memory of the GPUs that it would offer; 0 for a job without.
        tier_mib: See `tier_of`.
        price: As it announces, microcredits an hour.
        round_trip_ms: As measured; where it is not, alike for all.
        lot: Of the job; anything that differs from job to job.
    """
    return vram_mib > tier_mib, _price_step(price), round_trip_ms, sha256(_ASK_DOMAIN + lot + peer)


def _price_step(price: int) -> int:
    """Return a number that grows with the price, by 2**PRICE_STEP_BITS with each doubling."""
    exponent = max(0, price.bit_length() - 1 - PRICE_STEP_BITS)
    return (exponent << PRICE_STEP_BITS) + (price >> exponent)


def best_candidates(
    ranked: Sequence[bytes], *, asked: frozenset[bytes], round_number: int
) -> tuple[bytes, ...]:
    """Return whom to ask directly in a round: the best not asked yet, at most TENDER_INVITES_MAX.

    Args:
        ranked: Binary peer ids of nodes that passed the screening, best first.
        asked: Those asked in earlier rounds.
        round_number: 0 at first; early rounds ask fewer, so that a match costs little where many fit.
    """
    room = min(limits.TENDER_INVITES_MAX, 16 * 2**round_number)
    return tuple(peer for peer in ranked if peer not in asked)[:room]
