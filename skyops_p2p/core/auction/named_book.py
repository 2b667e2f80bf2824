"""A worker's look at the bid book that an Award or a Release named: is it that book, and does it follow the rules?

The statement is signed and names tender and book by their digests, so whatever is wrong with the bytes of that digest
is the requester's fault, and the two together convince anybody. Spec: protocol/04-auction.md, "Confirmation".
"""

from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction import worker_events as wev
from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.machine import Effect
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.hashing import sha256

CENSORED = "AUC-10"


def audit_named_book(wanted: wev.FetchBook, data: bytes, rules: NetworkRules) -> wev.BookAudited | None:
    """Audit the answer to a BookRequest.

    Args:
        wanted: Which book was asked for, and why.
        data: What came.
        rules: Of the network.

    Returns:
        The findings, with what proves them; None if the bytes are not the book that was named: anybody could have
        sent them, and they prove nothing.

    Raises:
        ExecutionError: As `audit`: the book cannot be re-run on this machine.

    Rules: AUC-26.
    """
    if sha256(data) != wanted.book:
        return None
    report = audit(data, rules, acks=wanted.acks)
    findings = [finding.rule for finding in report.findings]
    if report.tender is not None and report.tender_digest != wanted.tender:
        findings.append("AUC-26")
    return wev.BookAudited(wanted.peer, tuple(findings), (wanted.statement, data, *wanted.acks))


def misaward(event: wev.BookAudited, tender: bytes) -> list[Effect]:
    """Return the proof that an audited book is against the rules, if it is."""
    if not event.findings:
        return []
    offence: ev.Offence = "commit_censored" if set(event.findings) == {CENSORED} else "misaward"
    return [ev.KeepProof(offence, event.requester, tender, event.evidence)]
