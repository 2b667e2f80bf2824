"""Which results are checked, and what a verdict says to reputation. Pure.

How likely a check is follows from the worker's row of right results, its stake and the value (REP-27); whether it comes
is a lot that the worker cannot know. Spec: protocol/06-verification.md, "Spot checks"; chapter 08, "Uses". Source:
BOINC's adaptive replication, with a floor, since money is at stake.
"""

from collections.abc import Iterator, Mapping

from skyops_p2p.core.reputation.deals import Check
from skyops_p2p.core.reputation.uses import Record, check_chance
from skyops_p2p.core.verification.check import CheckedVerdict
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.types import UnixMs

LEVEL_OWN, LEVEL_THIRD_PARTY = 1, 2
"""Of a check, as chapter 08 counts them."""
_LOT_DOMAIN = b"skyops/check/1"
_PROOF_DOMAIN = b"skyops/verdict-check/1"
_MILLION = 1_000_000


def check_lot(secret: bytes, receipt: bytes) -> int:
    """Return a lot of 64 bits that decides whether a result is checked.

    Args:
        secret: The requester's 32 random bytes; the worker never sees them.
        receipt: Digest of the enveloped ResultReceipt.

    Rules: VER-16.
    """
    return int.from_bytes(sha256(_LOT_DOMAIN + secret + receipt)[:8], "big")


def needs_check(record: Record, value: int, *, lot: int) -> bool:
    """Tell whether a result is to be checked.

    Args:
        record: What is known of its worker.
        value: Of the job, microcredits.
        lot: Of `check_lot`.

    Rules: VER-16, REP-27.
    """
    return lot * _MILLION >> 64 < check_chance(record, value)


def checks_of(checked: CheckedVerdict, receipts: Mapping[bytes, bytes]) -> Iterator[Check]:
    """Yield what a verdict says of each worker's result, for reputation.

    Where nothing is decided, and of a worker that opened nothing, it says nothing. A check counts as a third party's if
    the replicas were drawn and nothing rests on the requester's word, or if the worker's own signatures convict it.

    Args:
        checked: A verdict that holds.
        receipts: Digest of an enveloped ResultReceipt -> SHA-256 of the encoded Receipt (chapter 07) that names it.

    Rules: VER-15, REP-6.
    """
    verdict = checked.verdict
    if not checked.holds or verdict is None:
        return
    level = LEVEL_THIRD_PARTY if checked.is_drawn and checked.is_reworked else LEVEL_OWN
    right = (
        {}
        if checked.winner is None
        else {place: one.wallet for place, one in enumerate(checked.judged) if one.fault == "none"}
    )
    for place, one in enumerate(checked.judged):
        receipt = receipts.get(one.receipt or b"")
        is_convicted = one.fault == "lied"
        if receipt is None or not (place in right or one.fault == "wrong" or is_convicted):
            continue
        checkers = tuple(wallet for other, wallet in right.items() if other != place and wallet is not None)
        yield Check(
            proof=sha256(_PROOF_DOMAIN + checked.digest + bytes([place])),
            receipt=receipt,
            level=LEVEL_THIRD_PARTY if is_convicted else level,
            is_right=one.fault == "none",
            decided_unix_ms=UnixMs(verdict.made_unix_ms),
            checkers=() if is_convicted else checkers,
        )
