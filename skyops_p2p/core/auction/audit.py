"""Re-run an award from its bid book alone: no network, no state, no trust. Spec: protocol/04-auction.md, "Audit".

The same functions that decided are applied to the parts of the book after every signature, date, digest and
commitment in it has been checked; whatever differs is a finding with the rule that it breaks.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from skyops_p2p.core.auction import book as books
from skyops_p2p.core.auction import vdf
from skyops_p2p.core.auction.award import Ranking
from skyops_p2p.core.auction.book import Evidence, Sealed
from skyops_p2p.core.auction.sealing import commit_root
from skyops_p2p.core.auction.tenders import check_tender
from skyops_p2p.core.records import check_record
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_bytes_of_key, peer_id_from_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import PeerId, UnixMs
from skyops_p2p.wire.envelope import Signed, open_by_key, open_envelope, peek
from skyops_p2p.wire.messages.auction import (
    BidBook,
    Commit,
    CommitAck,
    CommitSet,
    Decline,
    Observation,
    Reveal,
    Tender,
)
from skyops_p2p.wire.messages.identity import Binding
from skyops_p2p.wire.messages.peering import NodeRecord

FINDINGS_MAX = 64
"""Findings that a report lists; a book that is wrong in more places is not looked at further."""

RecordCheck = Callable[[bytes, NetworkRules, UnixMs], NodeRecord]
"""Returns the node record of an envelope after checking it at an instant, or raises RemoteProtocolError."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Spread(Protocol):
    """Applies a function to many items that have nothing to do with each other, on as many cores as it likes."""

    def __call__(self, work: Callable[[Item], Result], items: Sequence[Item], /) -> Sequence[Result]:
        """Return the results in the order of the items."""


def one_by_one(work: Callable[[Item], Result], items: Sequence[Item], /) -> list[Result]:
    """Do it here and now."""
    return [work(item) for item in items]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in a book that is not as the rules want it."""

    rule: str
    """Identifier in protocol/, e.g. "AUC-18"."""
    text: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found. The book is good if there is no finding."""

    findings: tuple[Finding, ...]
    digest: bytes
    """SHA-256 of the enveloped book."""
    requester: PeerId | None = None
    """Who signed it, where the signature holds."""
    tender: Tender | None = None
    tender_digest: bytes = b""
    """SHA-256 of the enveloped tender; empty where that could not be opened."""
    bids: int = 0
    """Commitments in the book."""
    order: tuple[bytes, ...] = ()
    """Binary peer ids as the rule ranks them; empty if the book could not be re-run."""

    @property
    def ranking(self) -> tuple[PeerId, ...]:
        """The winner by the rule, then the reserves."""
        return tuple(peer_id_from_bytes(bidder) for bidder in self.order)

    @property
    def ok(self) -> bool:
        """Whether the book passes."""
        return not self.findings


@dataclass(slots=True)
class _Audit:
    """The steps of one audit; each adds findings."""

    rules: NetworkRules
    check: RecordCheck
    spread: Spread
    findings: list[Finding] = field(default_factory=list)

    def find(self, rule: str, text: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(rule, text))

    def blame(self, error: RemoteProtocolError, place: str) -> None:
        self.find(error.rule or "CNV-8", f"{place}: {error.message} ({error.code})")


def audit(
    data: bytes,
    rules: NetworkRules,
    *,
    acks: Sequence[bytes] = (),
    check: RecordCheck | None = None,
    spread: Spread = one_by_one,
) -> AuditReport:
    """Re-run the award of an enveloped bid book.

    Args:
        data: The envelope.
        rules: The network that it is of.
        acks: Enveloped CommitAcks of the requester for this tender; one whose commitment is not in the book proves
            censorship.
        check: How a node record is checked; `check_record` if it is not given. A node may pass one that knows the
            records on its map already.
        spread: How commitments, declines and records, whose signatures are most of the work, are gone through. What
            it is given, `check` among it, may then run on several threads at once.

    Returns:
        The report. Nothing in the bytes makes this raise.

    Raises:
        ExecutionError: Code `vdf_missing`: a book of the policy `vdf`, and `chiavdf` is not installed.

    Rules: AUC-13 to AUC-24.
    """
    run = _Audit(rules, check or _checked_record, spread)
    digest = sha256(data)
    try:
        signed = open_envelope(data, BidBook, rules.network)  # AUC-13
        tender = check_tender(signed.message.tender, rules, now=None)
    except RemoteProtocolError as error:
        run.blame(error, "book or tender")
        return AuditReport(tuple(run.findings), digest)
    book = signed.message
    if signed.signer != tender.signer:  # AUC-13
        run.find("AUC-13", "the book is signed by another peer than the tender")
    commits = _commits(run, book, tender)
    _check_declines(run, book, tender)
    _check_set(run, book, tender, commits)
    _check_acks(run, acks, tender, commits)
    evidence = _evidence(run, book, tender, commits)
    ranking = _compare(run, book, evidence) if evidence else None
    return AuditReport(
        findings=tuple(run.findings),
        digest=digest,
        requester=signed.signer,
        tender=tender.message,
        tender_digest=tender.digest,
        bids=len(book.commits),
        order=ranking.ranking if ranking else (),
    )


def _commits(run: _Audit, book: BidBook, tender: Signed[Tender]) -> tuple[Sealed, ...]:
    """Open all commitments; those that do not open are findings and left out. Rules: AUC-13."""
    digest = tender.digest
    found = []
    for index, opened in enumerate(run.spread(partial(_open_commit, run.rules.network), book.commits)):
        if isinstance(opened, RemoteProtocolError):
            run.blame(opened, f"commit {index}")
            continue
        if opened.commit.tender != digest:
            run.find("AUC-13", f"commit {index} is for another tender")
        found.append(opened)
    digests = [commit.digest for commit in found]
    if any(first >= second for first, second in itertools.pairwise(digests)):
        run.find("AUC-13", "the commits do not ascend by their digests")
    return tuple(found)


def _open_commit(network: str, envelope: bytes) -> Sealed | RemoteProtocolError:
    try:
        commit, key = open_by_key(envelope, Commit, network)
    except RemoteProtocolError as error:
        return error
    return Sealed(peer_bytes_of_key(key), sha256(envelope), envelope, commit)


def _check_declines(run: _Audit, book: BidBook, tender: Signed[Tender]) -> None:
    digest = tender.digest
    for index, opened in enumerate(run.spread(partial(_open_decline, run.rules.network), book.declines)):
        if isinstance(opened, RemoteProtocolError):
            run.blame(opened, f"decline {index}")
        elif opened.tender != digest:
            run.find("AUC-13", f"decline {index} is for another tender")


def _open_decline(network: str, envelope: bytes) -> Decline | RemoteProtocolError:
    try:
        return open_by_key(envelope, Decline, network)[0]
    except RemoteProtocolError as error:
        return error


def _check_set(run: _Audit, book: BidBook, tender: Signed[Tender], commits: Sequence[Sealed]) -> None:
    """Compare the commit set with the commitments, and the dates with each other. Rules: AUC-11, AUC-14."""
    try:
        commit_set = open_envelope(book.commit_set, CommitSet, run.rules.network)
    except RemoteProtocolError as error:
        run.blame(error, "commit set")
        return
    closed = commit_set.message
    if commit_set.signer != tender.signer:
        run.find("AUC-11", "the commit set is signed by another peer than the tender")
    if closed.tender != tender.digest:
        run.find("AUC-11", "the commit set is for another tender")
    root = commit_root(commit.digest for commit in commits)
    if closed.root != root or closed.count != len(commits):
        run.find("AUC-11", "the commit set is not that of the commits")
    message = tender.message
    if not message.issued_unix_ms <= closed.closed_unix_ms <= book.closed_unix_ms <= message.expires_unix_ms:
        run.find("AUC-14", "tender, commit set, book and expiry do not follow each other in time")


def _check_acks(
    run: _Audit, acks: Sequence[bytes], tender: Signed[Tender], commits: Sequence[Sealed]
) -> None:
    """Find acknowledged commitments that are missing. Rules: AUC-10."""
    there = {commit.digest for commit in commits}
    for index, envelope in enumerate(acks):
        try:
            ack = open_envelope(envelope, CommitAck, run.rules.network)
        except RemoteProtocolError as error:
            run.blame(error, f"acknowledgement {index}")
            continue
        if ack.signer == tender.signer and ack.message.commit not in there:
            run.find(
                "AUC-10", f"the acknowledged commit {ack.message.commit.hex()[:16]} is missing: censorship"
            )


def _evidence(
    run: _Audit, book: BidBook, tender: Signed[Tender], commits: tuple[Sealed, ...]
) -> Evidence | None:
    """Return what the award is re-run from; None where something is missing. Rules: AUC-12, AUC-15."""
    before = len(run.findings)
    cheats = books.equivocators(commits)
    honest = [commit for commit in commits if commit.bidder not in cheats]
    reveals = books.match_reveals(honest, book.reveals)
    if reveals is None:
        run.find("AUC-12", "a reveal opens no commitment, or stands in the wrong order")
    if sha256(book.seed) != tender.message.seed_digest:
        run.find("AUC-15", "the seed is not the one that the tender names")
    if bool(book.proof) != (tender.message.policy == "vdf"):
        run.find("AUC-23", "the policy `vdf` alone has a proof, and needs it")
    if reveals is None or len(run.findings) > before:
        return None
    records = _records(run, book, reveals)
    if records is None:
        return None
    observations = {seen.bidder: seen for seen in book.observations}
    evidence = Evidence(
        tender, commits, reveals, observations, records, book.seed, book.closed_unix_ms, book.proof
    )
    if book.proof and not _is_proven(run, evidence):
        return None
    return evidence


def _records(run: _Audit, book: BidBook, reveals: dict[bytes, Reveal]) -> dict[bytes, NodeRecord] | None:
    """Return each bidder's checked node record. Rules: AUC-14."""
    if [seen.bidder for seen in book.observations] != sorted(reveals):
        run.find("AUC-14", "not one observation for each bidder that revealed, ascending")
        return None
    records = {}
    checked = run.spread(partial(_open_record, run, UnixMs(book.closed_unix_ms)), book.observations)
    for seen, record in zip(book.observations, checked, strict=True):
        if isinstance(record, RemoteProtocolError):
            run.blame(record, f"node record of {seen.bidder.hex()[-16:]}")
        elif record.peer != seen.bidder:
            run.find("AUC-14", f"the node record of {seen.bidder.hex()[-16:]} is another peer's")
        else:
            records[seen.bidder] = record
    return records if len(records) == len(reveals) else None


def _open_record(run: _Audit, at: UnixMs, seen: Observation) -> NodeRecord | RemoteProtocolError:
    try:
        return run.check(seen.record, run.rules, at)
    except RemoteProtocolError as error:
        return error


def _is_proven(run: _Audit, evidence: Evidence) -> bool:
    iterations = vdf.iterations_of(evidence.tender.message.reveal_ms)
    try:
        vdf.check_proof(books.vdf_challenge(evidence), iterations, evidence.proof)
    except RemoteProtocolError as error:
        run.blame(error, "proof")
        return False
    return True


def _compare(run: _Audit, book: BidBook, evidence: Evidence) -> Ranking:
    """Re-run the rule and compare. Rules: AUC-16, AUC-18, AUC-20."""
    ranking = books.decide(evidence)
    if book.exclusions != ranking.exclusions:
        said = {exclusion.bidder: exclusion.codes for exclusion in book.exclusions}
        found = {exclusion.bidder: exclusion.codes for exclusion in ranking.exclusions}
        for bidder in sorted(said.keys() | found.keys()):
            if said.get(bidder) != found.get(bidder):
                run.find("AUC-16", f"{_name(bidder)} is excluded for {_codes(said, bidder)}, "
                                   f"by the rule for {_codes(found, bidder)}")  # fmt: skip
        if said == found:
            run.find("AUC-16", "the exclusions do not ascend by bidder")
    if book.scores != ranking.scores:
        _compare_scores(run, book, ranking)
    if book.ranking != ranking.ranking:
        run.find("AUC-20", f"the ranking is not that of the rule: {_first(book.ranking)} stands first, "
                           f"by the rule {_first(ranking.ranking)}")  # fmt: skip
    return ranking


def _compare_scores(run: _Audit, book: BidBook, ranking: Ranking) -> None:
    by_rule = {score.bidder: score for score in ranking.scores}
    for score in book.scores:
        if by_rule.get(score.bidder) != score:
            run.find("AUC-18", f"the score of {_name(score.bidder)} is not that of the rule")
    if tuple(score.bidder for score in book.scores) != ranking.ranking:
        run.find("AUC-18", "not one score for each bidder of the ranking, in its order")


def _name(bidder: bytes) -> str:
    """Return a peer id for people; what a book names without any check may be none."""
    try:
        return peer_id_from_bytes(bidder)
    except RemoteProtocolError:
        return f"0x{bidder.hex()}"


def _first(ranking: Sequence[bytes]) -> str:
    return _name(ranking[0]) if ranking else "nobody"


def _codes(table: dict[bytes, tuple[str, ...]], bidder: bytes) -> str:
    return ", ".join(table.get(bidder, ())) or "nothing"


def _checked_record(data: bytes, rules: NetworkRules, at: UnixMs) -> NodeRecord:
    return check_record(data, rules, now=at).record


def claimed_network(data: bytes) -> tuple[str, int]:
    """Return the network's name and chain that a book says it is of, unchecked; "" and 0 where it does not say.

    Only to know under which rules to audit a book that somebody brings: the signatures must hold for that network.
    """
    try:
        book = peek(data, BidBook)
        name, chain_id = peek(book.tender, Tender).network, 0
        if book.observations:
            binding = peek(peek(book.observations[0].record, NodeRecord).binding, Binding)
            chain_id = binding.chain_id
    except RemoteProtocolError:
        return "", 0
    return name, chain_id
