"""Who computes the same once more: drawn by lot, from what neither side could choose alone. Pure.

The requester commits itself to a secret when it opens the lease, the worker to its result when it ends; the seed is
made of both. So the requester does not know the draw before the result is fixed, and the worker never before it has
to show it. Lots are weighted (core/auction/policies.py) and drawn by wallet: more names bring nothing. Spec:
protocol/06-verification.md, "Draw".
"""

from collections.abc import Collection, Iterable

from skyops_p2p import limits
from skyops_p2p.core.auction.policies import lot
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.wire.messages.verification import CandidatePart

_SECRET_DOMAIN = b"skyops/draw-secret/1"
_SEED_DOMAIN = b"skyops/draw/1"
_MILLION = 1_000_000


def draw_commitment(secret: bytes) -> bytes:
    """Return what a LeaseOpen says of the requester's part of a draw.

    Args:
        secret: 32 random bytes, of this shard alone.

    Rules: VER-9.
    """
    return sha256(_SECRET_DOMAIN + secret)


def seed_of(commit: bytes, secret: bytes) -> bytes:
    """Return the 32 bytes that a draw follows from.

    Args:
        commit: Digest of the primary's enveloped ResultCommit.
        secret: The requester's.

    Rules: VER-9.
    """
    return sha256(_SEED_DOMAIN + commit + secret)


def weight_of(stake: int, credibility: int) -> int:
    """Return a candidate's weight: its stake as far as it is credible.

    Args:
        stake: Microcredits.
        credibility: Millionths.

    Returns:
        Whole credits, at most 2^53 - 1.

    Rules: VER-10.
    """
    return min(stake * credibility // _MILLION**2, 2**53 - 1)


def candidates_of(known: Iterable[CandidatePart]) -> tuple[CandidatePart, ...]:
    """Return those who can be drawn: the heaviest, one of each wallet, ascending by peer.

    Args:
        known: Workers who could take the job, in any order.

    Rules: VER-10.
    """
    heaviest = sorted(known, key=lambda one: (-one.weight, one.peer))
    by_wallet: dict[bytes, CandidatePart] = {}
    for one in heaviest:
        by_wallet.setdefault(one.wallet, one)
    kept = list(by_wallet.values())[: limits.VERDICT_CANDIDATES_MAX]
    return tuple(sorted(kept, key=lambda one: one.peer))


def draw(
    candidates: Iterable[CandidatePart], seed: bytes, *, computing: Collection[bytes] = ()
) -> tuple[CandidatePart, ...]:
    """Return the candidates in the order in which they are drawn.

    Args:
        candidates: As `candidates_of` returns them.
        seed: Of `seed_of`.
        computing: Wallets that compute the shard already, 20 bytes each; they are left out.

    Rules: VER-10.
    """
    free = [one for one in candidates if one.wallet not in computing]
    return tuple(sorted(free, key=lambda one: (lot(seed, one.wallet, one.weight), one.wallet)))
