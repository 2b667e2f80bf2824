"""What `skyops verdict` shows: frozen models shared by the library, the control API and the command line."""

from skyops_p2p.core.evidence.verdicts import VerdictItem, VerdictShelf
from skyops_p2p.core.verification.charge import charge_of
from skyops_p2p.core.verification.check import CheckedVerdict, Judged
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.node.views import View
from skyops_p2p.wire.envelope import peek
from skyops_p2p.wire.messages.execution import CheckpointReceipt
from skyops_p2p.wire.messages.verification import StretchPart


class JudgedView(View):
    """One worker's part in a verdict."""

    worker: str
    wallet: str
    """Hex, 40 digits; empty where the verdict does not say whose node it is."""
    fault: str
    """"none", "wrong", "lied" or "no_reveal"."""
    receipt: str
    """Hex; digest of its ResultReceipt; empty: it showed none."""
    worth_wei: str = ""
    """SKYOPS wei, digits: what its wrong result counts for; empty: it cannot be charged with it."""
    commitment: str = ""
    """Hex; digest of its ResultCommit, for which it is charged once."""
    dispute: str = ""
    """Hex; id of the dispute that charges it by this verdict, whoever opens it."""


class StretchView(View):
    """The stretch that has decided between two results."""

    first: int
    """Place of one of the two in `judged`."""
    second: int
    number: int
    """From 1."""
    first_step: int
    """Steps that were done before it."""
    last_step: int
    """Steps that are done after it, unless the program ends before."""
    state: str
    """Hex: root of the bundle with the state before it, as a CID; empty: it is the first."""
    executed: str
    """Hex: what the requester came to."""


class VerdictView(View):
    """A verdict, checked from its bytes alone."""

    digest: str
    """Hex: its name."""
    holds: bool
    """Nothing in it is against the rules."""
    findings: tuple[str, ...]
    """What is, each with the rule that it breaks."""
    outcome: str
    """"agreed", "decided" or "unresolved"; empty: it cannot be read."""
    requester: str
    made_unix_ms: int
    judged: tuple[JudgedView, ...]
    """The primary, then the replicas; empty where it does not hold."""
    winner: int | None
    """Whose answer stands: a place in `judged`."""
    is_drawn: bool
    """Whoever computed it was drawn by lot."""
    is_reworked: bool
    """Nothing rests on the requester's word: the comparison was worked out again."""
    data: str
    """Hex: the verdict itself, as it stands in a file."""
    stretch: StretchView | None = None
    """Where there was no majority, and the requester ran the steps where two results part; none where it does not
    hold."""
    known: str = ""
    """Hex: answer root that the requester came to, which has computed it, too; empty: it did not, or nothing holds."""


def verdict_view(checked: CheckedVerdict, data: bytes) -> VerdictView:
    """Return a checked verdict as it is shown.

    Args:
        checked: What the check found.
        data: What was checked.
    """
    verdict = checked.verdict
    stretch = verdict.stretch if verdict is not None and checked.holds else None
    return VerdictView(
        digest=checked.digest.hex(),
        holds=checked.holds,
        findings=tuple(f"{finding.rule}: {finding.text}" for finding in checked.findings),
        outcome=verdict.outcome if verdict else "",
        requester=peer_id_from_bytes(verdict.requester) if verdict else "",
        made_unix_ms=verdict.made_unix_ms if verdict else 0,
        judged=tuple(_judged_view(checked, one) for one in checked.judged),
        winner=checked.winner,
        is_drawn=checked.is_drawn,
        is_reworked=checked.is_reworked,
        data=data.hex(),
        stretch=None if stretch is None else stretch_view(stretch),
        known=verdict.known.hex() if verdict is not None and checked.holds and verdict.known else "",
    )


def _judged_view(checked: CheckedVerdict, judged: Judged) -> JudgedView:
    charge = charge_of(checked, judged)
    return JudgedView(
        worker=judged.worker,
        wallet="" if judged.wallet is None else judged.wallet.hex(),
        fault=judged.fault,
        receipt="" if judged.receipt is None else judged.receipt.hex(),
        worth_wei="" if charge is None else str(charge.amount),
        commitment=judged.commit.hex(),
        dispute="" if charge is None else charge.dispute.hex(),
    )


def stretch_view(part: StretchPart) -> StretchView:
    """Return a stretch of a verdict as it is shown."""
    before = part.first_before
    return StretchView(
        first=part.first,
        second=part.second,
        number=part.number,
        first_step=(part.number - 1) * part.stride,
        last_step=part.number * part.stride,
        state="" if before is None else peek(before, CheckpointReceipt).bundle.root.hex(),
        executed=part.executed.hex(),
    )


VERDICT_ROWS_MAX = 200
"""Verdicts in one answer; the newest."""


class VerdictRowView(View):
    """One verdict among those that a node holds."""

    digest: str
    """Hex: its name; `skyops verdict --name` shows it."""
    requester: str
    """Wallet."""
    made_unix_ms: int
    outcome: str
    workers: tuple[str, ...]
    """Wallets of those who computed it, the primary first."""
    at_fault: tuple[str, ...]
    """Wallets of those who were wrong, or lied."""


class VerdictsView(View):
    """Verdicts that a node holds: its own that say something to others, and others'."""

    held: int
    """In all."""
    verdicts: tuple[VerdictRowView, ...]
    """The newest first, VERDICT_ROWS_MAX at most."""


def verdicts_view(shelf: VerdictShelf) -> VerdictsView:
    """Return what a shelf has."""
    newest = shelf.all()[::-1][:VERDICT_ROWS_MAX]
    return VerdictsView(held=len(shelf), verdicts=tuple(map(_row, newest)))


def _row(item: VerdictItem) -> VerdictRowView:
    judged = [one for one in item.checked.judged if one.wallet is not None]
    verdict = item.checked.verdict
    assert verdict is not None, "what is held holds"
    return VerdictRowView(
        digest=item.name.hex(),
        requester=address_from_bytes(item.requester),
        made_unix_ms=item.made_unix_ms,
        outcome=verdict.outcome,
        workers=tuple(address_from_bytes(one.wallet) for one in judged if one.wallet is not None),
        at_fault=tuple(
            address_from_bytes(one.wallet)
            for one in judged
            if one.wallet is not None and one.fault in ("wrong", "lied")
        ),
    )
