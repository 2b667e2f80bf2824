"""A verdict as a file: made by the requester from what the workers signed, checked by anybody, without a network. Pure.

What a checker can work out again from the signatures is worked out again: commitments, reveals, the draw, and for the
class `exact` the comparison. How far apart the outputs of the class `numeric` are is the requester's word, unless the
checker has the outputs. Spec: protocol/06-verification.md, "Verdict".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from skyops_p2p.core.verification.commit import opens
from skyops_p2p.core.verification.result_root import answer_root, end_of
from skyops_p2p.core.verification.stretch import OpenedStretch, open_stretch, right_place
from skyops_p2p.core.verification.verdict import (
    Answer,
    IsEqual,
    Judgement,
    Outcome,
    judge,
    judge_by_known,
    judge_by_stretch,
)
from skyops_p2p.wire.envelope import Signed, open_envelope
from skyops_p2p.wire.messages.execution import ResultReceipt
from skyops_p2p.wire.messages.verification import (
    AnswerPart,
    CandidatePart,
    ComparisonPart,
    OutcomeName,
    ResultCommit,
    ResultReveal,
    StretchPart,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Signatures:
    """What one worker signed about its result."""

    round: int
    """0 for the first comparison, one more for each further replica."""
    commit: bytes
    """Enveloped ResultCommit."""
    reveal: bytes | None = None
    """Enveloped ResultReveal."""
    receipt: bytes | None = None
    """Enveloped ResultReceipt; there just if the reveal is."""
    binding: bytes | None = None
    """Enveloped Binding."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What one worker signed, opened."""

    commit: Signed[ResultCommit]
    reveal: Signed[ResultReveal] | None
    receipt: Signed[ResultReceipt] | None

    @property
    def answer(self) -> Answer:
        """What it comes down to. Rules: VER-13."""
        if self.reveal is None or self.receipt is None:
            return Answer(None)
        if not opens(self.reveal.message, self.commit.message, self.receipt.message):
            return Answer(None, has_lied=True)
        return Answer(answer_root(self.receipt.message))


def open_signatures(signatures: Signatures | AnswerPart, network: str) -> Opened:
    """Open what one worker signed; whether it fits together is not looked at.

    Raises:
        RemoteProtocolError: What opening an envelope raises.
    """
    reveal, receipt = signatures.reveal, signatures.receipt
    return Opened(
        open_envelope(signatures.commit, ResultCommit, network),
        None if reveal is None else open_envelope(reveal, ResultReveal, network),
        None if receipt is None else open_envelope(receipt, ResultReceipt, network),
    )


def judge_opened(
    opened: Sequence[Opened],
    comparisons: Sequence[ComparisonPart] = (),
    stretch: OpenedStretch | None = None,
    known: bytes | None = None,
) -> Judgement:
    """Say whose answer stands; by the comparisons where there are any that two roots do not answer.

    Args:
        opened: In the order in which they were drawn, the primary's first.
        comparisons: Of the class `numeric`; those that are missing count as unequal.
        stretch: What was executed to decide between two of them; it counts where there is no majority.
        known: Answer root that the requester came to itself; it counts whatever the majority says.

    Rules: VER-11, VER-12, VER-13, VER-25, VER-30.
    """
    answers = [one.answer for one in opened]
    if known is not None and any(answer.root is not None for answer in answers):
        return judge_by_known(answers, known)
    found = {(one.first, one.second): one.is_equal for one in comparisons}
    judgement = judge(answers, _by_comparison(opened, answers, found))
    if stretch is None or judgement.is_decided:
        return judgement
    shown = [one.receipt if one.answer.root is not None else None for one in opened]
    right = right_place(stretch, [None if receipt is None else receipt.message for receipt in shown])
    return judgement if right is None else judge_by_stretch(answers, right)


def make_verdict(
    answers: Sequence[Signatures],
    *,
    network: str,
    requester: bytes,
    made_unix_ms: int,
    secret: bytes,
    candidates: Sequence[CandidatePart],
    comparisons: Sequence[ComparisonPart] = (),
    binding: bytes | None = None,
) -> Verdict:
    """Put together what the requester signs.

    Args:
        answers: The primary's, then the replicas' in the order in which they were drawn.
        network: Our network.
        requester: Binary peer id.
        made_unix_ms: Now.
        secret: What `draw` of the primary's lease commits to.
        candidates: From whom was drawn, as `candidates_of` returned them.
        comparisons: Of the class `numeric`, ascending.
        binding: The requester's, enveloped; without it the verdict counts with nobody else.

    Raises:
        RemoteProtocolError: What opening an envelope raises.

    Rules: VER-13, VER-14.
    """
    opened = [open_signatures(one, network) for one in answers]
    judgement = judge_opened(opened, comparisons)
    return Verdict(
        network=network,
        requester=requester,
        made_unix_ms=made_unix_ms,
        secret=secret,
        candidates=tuple(candidates),
        answers=tuple(
            AnswerPart(
                round=one.round,
                commit=one.commit,
                reveal=one.reveal,
                receipt=one.receipt,
                binding=one.binding,
                fault=fault,
            )
            for one, fault in zip(answers, judgement.faults, strict=True)
        ),
        comparisons=tuple(comparisons),
        outcome=outcome_name(judgement),
        binding=binding,
    )


def decided_by(
    verdict: Verdict, *, stretch: StretchPart | None = None, known: bytes | None = None
) -> Verdict:
    """Return a verdict as the one that something decides which the requester ran itself.

    Args:
        verdict: As `make_verdict` returned it.
        stretch: What was executed to decide between two of its answers without a majority.
        known: Answer root of the whole shard.

    Raises:
        RemoteProtocolError: What opening an envelope raises.

    Rules: VER-25, VER-30.
    """
    opened = [open_signatures(answer, verdict.network) for answer in verdict.answers]
    run = None if stretch is None else open_stretch(stretch, verdict.network)
    judgement = judge_opened(opened, verdict.comparisons, run, known)
    answers = tuple(
        answer.model_copy(update={"fault": fault})
        for answer, fault in zip(verdict.answers, judgement.faults, strict=True)
    )
    update = {"answers": answers, "outcome": outcome_name(judgement), "stretch": stretch, "known": known}
    return verdict.model_copy(update=update)


def outcome_name(judgement: Judgement) -> OutcomeName:
    """Return what a verdict says; where nothing is decided and nobody more came, it is unresolved."""
    match judgement.outcome:
        case Outcome.AGREED:
            return "agreed"
        case Outcome.DECIDED:
            return "decided"
        case Outcome.FLAGGED | Outcome.UNRESOLVED:
            return "unresolved"


def _by_comparison(
    opened: Sequence[Opened], answers: Sequence[Answer], found: dict[tuple[int, int], bool]
) -> IsEqual:
    def is_equal(first: int, second: int) -> bool:
        one, other = opened[first].receipt, opened[second].receipt
        assert one is not None, "only what was opened is compared"
        assert other is not None, "only what was opened is compared"
        if answers[first].root == answers[second].root:
            return True
        return end_of(one.message) == end_of(other.message) and found.get((first, second), False)

    return is_equal
