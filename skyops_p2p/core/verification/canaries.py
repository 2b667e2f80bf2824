"""Hidden shards of an array that its requester computes, too: whoever makes shards up makes some of these up. Pure.

Which ones they are follows from a secret that never leaves the requester's node, and their leases are as all others:
no worker can tell them. The requester needs nobody for what it computes itself: it costs no second worker, and workers
that play together are found out. Source: the ringers of Golle and Mironov 2001, and the quizzes of Zhao and Lo 2005;
there as here whoever asks knows some answers. Spec: protocol/06-verification.md, "Canaries".
"""

from fractions import Fraction

from skyops_p2p import limits
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import LocalProtocolError

_DOMAIN = b"skyops/canary/2"


def canary_shards(secret: bytes, *, shards: int, canaries: int) -> tuple[int, ...]:
    """Return which shards of an array are canaries, in the order in which they are drawn.

    Args:
        secret: 32 random bytes of this job alone.
        shards: Of the array, at least 1.
        canaries: Of them.

    Raises:
        LocalProtocolError: `canaries_too_many`: more of them than shards, or than CANARIES_MAX.

    Rules: VER-22.
    """
    if canaries > min(shards, limits.CANARIES_MAX):
        raise LocalProtocolError(
            f"{canaries} canaries for {shards} shards",
            code="canaries_too_many",
            hint="Take fewer, or cut the job into more shards.",
        )
    drawn = sorted(range(shards), key=lambda shard: sha256(_DOMAIN + secret + shard.to_bytes(8, "big")))
    return tuple(drawn[:canaries])


def chance_to_be_caught(canaries: int, shards: int, made_up: int) -> Fraction:
    """Return how likely it is that whoever makes up some shards is caught at a canary.

    It is never less than 1 - (1 - x)^m for m canaries and the part x of all shards.

    Args:
        canaries: Among the shards.
        shards: All, canaries included.
        made_up: Whose answers are made up, at most `shards`.

    Rules: VER-22.
    """
    assert 0 <= made_up <= shards
    assert 0 <= canaries <= shards
    missed = Fraction(1)
    for number in range(canaries):
        missed *= Fraction(max(0, shards - made_up - number), shards - number)
    return 1 - missed
