"""Check a verdict from its bytes alone: no network, no state, no trust. Pure.

Whatever is not as the rules want it is a finding with the rule that it breaks. Spec: protocol/06-verification.md,
"Checking a verdict".
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skyops_p2p.core.binding import check_binding
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.core.verification.commit import same_work, speaks_of
from skyops_p2p.core.verification.draw import draw, draw_commitment, seed_of
from skyops_p2p.core.verification.record import Opened, judge_opened, open_signatures, outcome_name
from skyops_p2p.core.verification.result_root import has_answer
from skyops_p2p.core.verification.stretch import OpenedStretch, faults_of_stretch, open_stretch
from skyops_p2p.core.verification.tolerance import WITHIN_PERMILLE_LEAST
from skyops_p2p.core.verification.verdict import Judgement
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_from_bytes, peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import NetworkName, PeerId, UnixMs
from skyops_p2p.wire.envelope import Signed, open_envelope, peek
from skyops_p2p.wire.messages.identity import Binding
from skyops_p2p.wire.messages.verification import CandidatePart, ComparisonPart, FaultName, Verdict

PASSED_OVER_PER_REPLICA_MAX = 1
"""Drawn workers who did not compute, for each who did: more of them, and the requester could have chosen."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in a verdict that is not as the rules want it."""

    rule: str
    """Identifier in protocol/, e.g. "VER-14"."""
    text: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What a verdict says of one worker's result."""

    worker: PeerId
    wallet: bytes | None
    """Of its binding, 20 bytes; None: the verdict holds none."""
    job_id: bytes
    shard: int
    epoch: int
    award: bytes
    commit: bytes
    """Digest of its enveloped ResultCommit, 32 bytes: what it is judged by."""
    price: int
    """Microcredits an hour, as both sides signed."""
    run_ms: int
    """How long its program ran, as it says; 0: it showed no result."""
    receipt: bytes | None
    """Digest of the enveloped ResultReceipt; None: it showed none."""
    fault: FaultName


@dataclass(frozen=True, slots=True)
class CheckedVerdict:
    """What a check found. The verdict holds if there is no finding."""

    findings: tuple[Finding, ...]
    digest: bytes
    """SHA-256 of the enveloped verdict: its name."""
    verdict: Verdict | None = None
    """None: it cannot be read at all."""
    judged: tuple[Judged, ...] = ()
    """The primary, then the replicas; empty where something does not hold."""
    requester_wallet: bytes | None = None
    """Of the requester's binding, 20 bytes; None: the verdict holds none."""
    winner: int | None = None
    """Whose answer stands: a place in `judged`."""
    is_drawn: bool = False
    """Whoever computed it was drawn: others may count it as a check by a third party. Rules: VER-15."""
    is_reworked: bool = False
    """The comparison could be worked out again: class `exact`, or all roots are equal."""

    @property
    def holds(self) -> bool:
        """There is no finding."""
        return not self.findings


def check_verdict(data: bytes, *, network: str | None = None, chain_id: int | None = None) -> CheckedVerdict:
    """Check a verdict as it lies in a file.

    Args:
        data: The enveloped Verdict and nothing else.
        network: What network it must be of; None: whichever it says.
        chain_id: What chain its bindings must be for; None: whichever they say.

    Rules: VER-14, VER-15, VER-25, VER-30.
    """
    digest = sha256(data)
    try:
        network = network or peek(data, Verdict).network
        signed = open_envelope(data, Verdict, network)
        opened = [open_signatures(answer, network) for answer in signed.message.answers]
        bindings = [answer.binding for answer in signed.message.answers]
        wallets = [
            _wallet(signed.message, data, one.commit.signer, chain_id)
            for data, one in zip(bindings, opened, strict=True)
        ]
        requester = _wallet(
            signed.message, signed.message.binding, peer_id_from_bytes(signed.message.requester), chain_id
        )
        part = signed.message.stretch
        stretch = None if part is None else open_stretch(part, network)
    except RemoteProtocolError as error:
        return CheckedVerdict((Finding(error.rule or "VER-14", error.message),), digest)
    case = _Case(signed, opened, wallets, requester)
    judgement = judge_opened(opened, signed.message.comparisons, stretch, signed.message.known)
    findings = (
        *case.findings(judgement),
        *_of_stretch(stretch, opened, signed.message.comparisons),
        *_of_known(signed.message, opened),
    )
    if findings:
        return CheckedVerdict(findings, digest, signed.message)
    return CheckedVerdict(
        (),
        digest,
        signed.message,
        tuple(case.judged()),
        requester,
        judgement.winner,
        is_drawn=case.is_drawn(),
        is_reworked=case.is_reworked(),
    )


def _wallet(verdict: Verdict, data: bytes | None, peer: PeerId, chain_id: int | None) -> bytes | None:
    """Return whose wallet a peer's binding names, as it was good when the verdict was made."""
    if data is None:
        return None
    chain = peek(data, Binding).chain_id if chain_id is None else chain_id
    rules = NetworkRules(NetworkName(verdict.network), chain)
    now = UnixMs(verdict.made_unix_ms)
    return check_binding(data, rules, now=now, peer=peer).wallet_bytes


def _of_stretch(
    stretch: OpenedStretch | None, opened: Sequence[Opened], comparisons: Sequence[ComparisonPart]
) -> Iterator[Finding]:
    """A stretch is between two opened answers that no majority decides, and its checkpoints are theirs."""
    if stretch is None:
        return
    if opened[0].commit.message.verification != "exact":
        yield Finding("VER-25", "a stretch of work that is not exact")
    if judge_opened(opened, comparisons).is_decided:
        yield Finding("VER-25", "a stretch where there is a majority")
    receipts = [one.receipt if one.answer.root is not None else None for one in opened]
    for text in faults_of_stretch(stretch, receipts):
        yield Finding("VER-25", text)


def _of_known(verdict: Verdict, opened: Sequence[Opened]) -> Iterator[Finding]:
    """What the requester came to itself is of exact work that somebody has shown. Rules: VER-30."""
    if verdict.known is None:
        return
    if opened[0].commit.message.verification != "exact":
        yield Finding("VER-30", "a known answer to work that is not exact")
    if all(one.answer.root is None for one in opened):
        yield Finding("VER-30", "a known answer where nobody has shown one")
    if verdict.stretch is not None:
        yield Finding("VER-30", "a known answer, and a stretch beside it")


class _Case:
    """A verdict whose envelopes are all open."""

    def __init__(
        self,
        signed: Signed[Verdict],
        opened: list[Opened],
        wallets: list[bytes | None],
        requester: bytes | None,
    ) -> None:
        self._signer = signed.signer
        self._verdict = signed.message
        self._opened = opened
        self._wallets = wallets
        self._requester = requester
        self._commits = [one.commit.message for one in opened]
        seed = seed_of(opened[0].commit.digest, signed.message.secret)
        own = {one.wallet for one in self._candidates if one.peer == self._commits[0].worker}
        own |= {wallet for wallet in wallets[:1] if wallet is not None}
        self._order = [one.peer for one in draw(self._candidates, seed, computing=own)]
        """Who is drawn, in this order, besides the primary."""

    @property
    def _candidates(self) -> tuple[CandidatePart, ...]:
        return self._verdict.candidates

    def findings(self, judgement: Judgement) -> Iterator[Finding]:
        """Name what does not hold. Rules: VER-13, VER-14."""
        yield from self._of_commits()
        for place in range(len(self._opened)):
            yield from self._of_reveal(place)
        yield from self._of_draw()
        yield from self._of_comparisons()
        faults = tuple(answer.fault for answer in self._verdict.answers)
        if (self._verdict.outcome, faults) != (outcome_name(judgement), judgement.faults):
            yield Finding("VER-13", "it does not follow from the answers")

    def judged(self) -> Iterator[Judged]:
        """Say what it says of each worker."""
        for answer, one, wallet in zip(self._verdict.answers, self._opened, self._wallets, strict=True):
            its = one.commit.message
            yield Judged(
                worker=one.commit.signer,
                wallet=wallet,
                job_id=its.job_id,
                shard=its.shard,
                epoch=its.epoch,
                award=its.award,
                commit=one.commit.digest,
                price=its.price,
                run_ms=0 if one.receipt is None else one.receipt.message.usage.wall_ms,
                receipt=None if one.receipt is None else one.receipt.digest,
                fault=answer.fault,
            )

    def is_drawn(self) -> bool:
        """Tell whether the replicas are those that the draw named, but for few who did not come. Rules: VER-15."""
        workers = [its.worker for its in self._commits[1:]]
        if not workers or None in self._wallets or not set(workers) <= set(self._order):
            return False
        last = max(self._order.index(worker) for worker in workers)
        return last + 1 - len(workers) <= PASSED_OVER_PER_REPLICA_MAX * len(workers)

    def is_reworked(self) -> bool:
        """Tell whether nothing rests on the requester's word. Rules: VER-12, VER-25, VER-30."""
        if self._verdict.stretch is not None or self._verdict.known is not None:
            return False
        roots = {one.answer.root for one in self._opened if one.answer.root is not None}
        return self._commits[0].verification == "exact" or len(roots) < 2

    def _of_commits(self) -> Iterator[Finding]:
        """All commit to the same work, each for itself, for who signed the verdict."""
        primary, requester = self._commits[0], self._verdict.requester
        if not requester == peer_id_to_bytes(self._signer) == primary.requester:
            yield Finding("VER-14", "it is not signed by who asked for the work")
        for place, (one, its) in enumerate(zip(self._opened, self._commits, strict=True)):
            if its.worker != peer_id_to_bytes(one.commit.signer) or its.worker == requester:
                yield Finding("VER-4", f"commitment {place} is not its worker's")
            if not same_work(its, primary):
                yield Finding("VER-14", f"commitment {place} is to other work")
        wallets = [wallet for wallet in (self._requester, *self._wallets) if wallet is not None]
        everybody = ([its.worker for its in self._commits], [its.job_id for its in self._commits], wallets)
        if any(len(set(names)) < len(names) for names in everybody):
            yield Finding("VER-14", "one worker, wallet or lease is there twice")

    def _of_reveal(self, place: int) -> Iterator[Finding]:
        """A reveal is of its commitment, and nobody's answer was shown before the others had committed."""
        one, answer = self._opened[place], self._verdict.answers[place]
        if (one.reveal is None) != (one.receipt is None):
            yield Finding("VER-14", f"answer {place} has a reveal without a receipt, or a receipt alone")
        if one.reveal is None or one.receipt is None:
            return
        its, said = one.commit.message, one.receipt.message
        lease = ("requester", "worker", "job_id", "shard", "epoch", "award", "spec_digest")
        is_its_lease = all(getattr(its, name) == getattr(said, name) for name in lease)
        if not speaks_of(one.reveal, one.commit, one.receipt) or not is_its_lease:
            yield Finding("VER-7", f"reveal {place} is of another commitment")
        if not has_answer(said):
            yield Finding("VER-2", f"result {place} is no answer")
        for other, theirs in enumerate(self._verdict.answers):
            is_known = self._opened[other].commit.digest in one.reveal.message.seen
            if other != place and theirs.round <= answer.round and not is_known:
                yield Finding("VER-8", f"result {place} was shown before worker {other} had committed")

    def _of_draw(self) -> Iterator[Finding]:
        """The secret is the one that the primary was told of, and the rounds follow one another."""
        if draw_commitment(self._verdict.secret) != self._commits[0].draw:
            yield Finding("VER-9", "the secret is not what the primary's lease was opened with")
        peers = [one.peer for one in self._candidates]
        wallets = {one.peer: one.wallet for one in self._candidates}
        if peers != sorted(set(peers)) or len(set(wallets.values())) < len(peers):
            yield Finding("VER-10", "the candidates are out of order, or one is there twice")
        for its, wallet in zip(self._commits, self._wallets, strict=True):
            if wallet is not None and wallets.get(its.worker, wallet) != wallet:
                yield Finding("VER-10", "a candidate stands there with another's wallet")
        rounds = [answer.round for answer in self._verdict.answers]
        steps = itertools.pairwise(rounds)
        if rounds[0] != 0 or any(not 0 <= later - before <= 1 for before, later in steps):
            yield Finding("VER-14", "the rounds do not follow one another")

    def _of_comparisons(self) -> Iterator[Finding]:
        """Each pair of opened answers is compared, and no more."""
        opened = [place for place, one in enumerate(self._opened) if one.answer.root is not None]
        is_numeric = self._commits[0].verification == "numeric"
        wanted = list(itertools.combinations(opened, 2)) if is_numeric else []
        if [(one.first, one.second) for one in self._verdict.comparisons] != wanted:
            yield Finding("VER-12", "not each pair of answers is compared once")
        for one in self._verdict.comparisons:
            if one.is_equal and one.within * 1000 < WITHIN_PERMILLE_LEAST * one.elements:
                yield Finding(
                    "VER-12", f"answers {one.first} and {one.second} are further apart than is said"
                )
