"""Which results are checked, and what a verdict says to reputation. Pure.

How likely a check is follows from the worker's row of right results, its stake and the value (REP-27); whether it comes
is a lot that the worker cannot know. Spec: protocol/06-verification.md, "Spot checks"; chapter 08, "Uses". Source:
BOINC's adaptive replication, with a floor, since money is at stake.
"""

from collections.abc import Iterator

from skyops_p2p.core.reputation.deals import Answered
from skyops_p2p.core.reputation.findings import Finding
from skyops_p2p.core.reputation.uses import Record, check_chance
from skyops_p2p.core.settlement.prices import HOUR_MS
from skyops_p2p.core.verification.check import CheckedVerdict, Judged
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.types import UnixMs

LEVEL_OWN, LEVEL_THIRD_PARTY = 1, 2
"""Of a check, as chapter 08 counts them."""
_LOT_DOMAIN = b"skyops/check/1"
_PROOF_DOMAIN = b"skyops/verdict-check/1"
_MILLION = 1_000_000


def check_lot(secret: bytes, commit: bytes) -> int:
    """Return a lot of 64 bits that decides whether a result is checked.

    It is drawn over the commitment: replicas must be drawn before the result is shown, or they could copy it.

    Args:
        secret: The requester's 32 bytes of this shard alone; the worker never sees them.
        commit: Digest of the enveloped ResultCommit.

    Rules: VER-16.
    """
    return int.from_bytes(sha256(_LOT_DOMAIN + secret + commit)[:8], "big")


def needs_check(record: Record, value: int, *, lot: int) -> bool:
    """Tell whether a result is to be checked.

    Args:
        record: What is known of its worker.
        value: Of the job, microcredits.
        lot: Of `check_lot`.

    Rules: VER-16, REP-27.
    """
    return lot * _MILLION >> 64 < check_chance(record, value)


def findings_of(checked: CheckedVerdict) -> Iterator[Finding]:
    """Yield what a verdict says of each worker's result, for reputation.

    Where nothing is decided, and of a worker that opened nothing, it says nothing; nor where it does not say whose
    wallets they are. A finding counts as a third party's if the replicas were drawn and nothing rests on the
    requester's word, or if the worker's own signatures convict it; but not of work that was free, for which nobody has
    money on chain.

    Args:
        checked: A verdict that holds.

    Rules: VER-15, REP-6, REP-19, REP-37.
    """
    verdict, requester = checked.verdict, checked.requester_wallet
    if not checked.holds or verdict is None or requester is None:
        return
    level = LEVEL_THIRD_PARTY if checked.is_drawn and checked.is_reworked else LEVEL_OWN
    right = (
        {}
        if checked.winner is None
        else {place: one.wallet for place, one in enumerate(checked.judged) if one.fault == "none"}
    )
    compared = tuple(
        Answered(wallet, checked.judged[place].receipt or b"")
        for place, wallet in right.items()
        if wallet is not None
    )
    for place, one in enumerate(checked.judged):
        is_convicted = one.fault == "lied"
        is_judged = place in right or one.fault == "wrong" or is_convicted
        if not is_judged or one.wallet is None or one.receipt is None:
            continue
        checkers = tuple(wallet for other, wallet in right.items() if other != place and wallet is not None)
        yield Finding(
            proof=sha256(_PROOF_DOMAIN + checked.digest + bytes([place])),
            verdict=checked.digest,
            rater=requester,
            rated=one.wallet,
            result=one.receipt,
            level=_level(one, LEVEL_THIRD_PARTY if is_convicted else level),
            is_right=one.fault == "none",
            decided_unix_ms=UnixMs(verdict.made_unix_ms),
            value=value_at_stake(one.price, one.run_ms),
            compared=compared if place in right else (),
            checkers=() if is_convicted else checkers,
        )


def _level(judged: Judged, level: int) -> int:
    return level if judged.price else LEVEL_OWN


def counts_for_others(checked: CheckedVerdict) -> bool:
    """Tell whether a verdict says anything that others count. Rules: VER-15."""
    return any(finding.level >= LEVEL_THIRD_PARTY for finding in findings_of(checked))


def value_at_stake(price: int, run_ms: int) -> int:
    """Return what a wrong result counts for, microcredits: its run, or an hour of it if that is more.

    So a wrong result costs no less than none (REP-7), and nobody says how much but its worker.

    Args:
        price: Microcredits an hour, of the worker's commitment.
        run_ms: How long its program ran, of its ResultReceipt.

    Rules: REP-37.
    """
    return max(price, price * run_ms // HOUR_MS)
