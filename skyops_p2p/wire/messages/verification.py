"""Messages of verification: commitments to results, what opens them, and verdicts. Spec: protocol/06-verification.md.

They travel sealed in the session of a lease, but for the verdict, which is stored. What has to convince somebody else
later is enveloped: commitments and reveals by the worker, the verdict by the requester.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.wire.messages.execution import Epoch, Shard
from skyops_p2p.wire.messages.identity import NetworkText
from skyops_p2p.wire.messages.peering import EnvelopeBytes
from skyops_p2p.wire.model import Bytes16, Bytes20, Bytes32, Count, Instant, Message, N, Part, PeerBytes

ComparedName = Literal["exact", "numeric"]
"""The classes whose results are compared with each other."""
Redundancy = Annotated[int, Field(ge=1, le=limits.VERIFICATION_WORKERS_MAX)]
Place = Annotated[int, Field(ge=0, le=limits.VERIFICATION_WORKERS_MAX - 1)]
"""Of a worker in a verdict; the primary has 0."""
Steps = Annotated[int, Field(ge=1, le=limits.CHAIN_STEPS_MAX)]
Stretch = Annotated[int, Field(ge=1, le=limits.CHAIN_SAVED_MAX + 1)]
Millionths = Annotated[int, Field(ge=0, le=1_000_000)]
OutcomeName = Literal["agreed", "decided", "unresolved"]
FaultName = Literal["none", "wrong", "lied", "no_reveal"]


class ResultCommit(Message):
    """Worker, enveloped: it has a result, which it cannot change any more; what it is cannot be seen."""

    number: ClassVar[int] = 95
    name: ClassVar[str] = "result-commit"

    network: Annotated[NetworkText, N(1)]
    requester: Annotated[PeerBytes, N(2)]
    worker: Annotated[PeerBytes, N(3)]
    job_id: Annotated[Bytes16, N(4)]
    shard: Annotated[Shard, N(5)]
    epoch: Annotated[Epoch, N(6)]
    award: Annotated[Bytes32, N(7)]
    spec_digest: Annotated[Bytes32, N(8)]
    verification: Annotated[ComparedName, N(9)]
    """As the specification has it."""
    redundancy: Annotated[Redundancy, N(10)]
    """As the specification has it; 1 where the requester alone may compute it, too."""
    draw: Annotated[Bytes32, N(11)]
    """Of the LeaseOpen: what the requester committed itself to before it knew this commitment."""
    commitment: Annotated[Bytes32, N(12)]
    price: Annotated[Count, N(13)]
    """Of the award, microcredits an hour: so a verdict says what both sides took the work to be worth."""


class ResultCommitted(Message):
    """Worker: the run is over; sent again after each attach until the result is revealed."""

    number: ClassVar[int] = 96
    name: ClassVar[str] = "result-committed"

    commit: Annotated[EnvelopeBytes, N(1)]
    """Enveloped ResultCommit."""


class RevealResult(Message):
    """Requester: whoever computes this has committed; show the result."""

    number: ClassVar[int] = 97
    name: ClassVar[str] = "reveal-result"

    epoch: Annotated[Epoch, N(1)]
    others: Annotated[tuple[EnvelopeBytes, ...], Field(max_length=limits.VERIFICATION_WORKERS_MAX - 1), N(2)]
    """Enveloped ResultCommits of the other workers; empty: there is no other, and nothing is compared."""


class ResultReveal(Message):
    """Worker, enveloped: what opens its commitment, and whose commitments it had seen by then."""

    number: ClassVar[int] = 98
    name: ClassVar[str] = "result-reveal"

    network: Annotated[NetworkText, N(1)]
    commit: Annotated[Bytes32, N(2)]
    """Digest of its enveloped ResultCommit."""
    receipt: Annotated[Bytes32, N(3)]
    """Digest of its enveloped ResultReceipt."""
    salt: Annotated[Bytes32, N(4)]
    seen: Annotated[tuple[Bytes32, ...], Field(max_length=limits.VERIFICATION_WORKERS_MAX - 1), N(5)]
    """Digests of the enveloped ResultCommits of others that it was shown, ascending."""


class CandidatePart(Part):
    """One worker that could be drawn."""

    peer: Annotated[PeerBytes, N(1)]
    wallet: Annotated[Bytes20, N(2)]
    weight: Annotated[Count, N(3)]
    """Stake in whole credits times credibility in millionths, divided by a million."""


class AnswerPart(Part):
    """One worker's part in a verdict, with what it signed."""

    round: Annotated[Place, N(1)]
    """0: drawn for the first comparison; each later one was drawn because those before did not decide it."""
    commit: Annotated[EnvelopeBytes, N(2)]
    """Enveloped ResultCommit."""
    reveal: Annotated[EnvelopeBytes | None, N(3)] = None
    """Enveloped ResultReveal; absent: it did not come in time."""
    receipt: Annotated[EnvelopeBytes | None, N(4)] = None
    """Enveloped ResultReceipt; there just if the reveal is."""
    binding: Annotated[EnvelopeBytes | None, N(5)] = None
    """Enveloped Binding of the worker; without it only the requester knows whose wallet it is."""
    fault: Annotated[FaultName, N(6)]


class ComparisonPart(Part):
    """How far two answers of the class `numeric` are apart, as the requester measured it."""

    first: Annotated[Place, N(1)]
    second: Annotated[Place, N(2)]
    """Greater than `first`."""
    is_equal: Annotated[bool, N(3)]
    elements: Annotated[Count, N(4)]
    within: Annotated[Count, N(5)]
    """Elements that are within the tolerance."""


class StretchPart(Part):
    """The stretch of two chains of checkpoints where two answers part, as the requester has executed it."""

    first: Annotated[Place, N(1)]
    second: Annotated[Place, N(2)]
    """Greater than `first`."""
    stride: Annotated[Steps, N(3)]
    """As the specification has it."""
    number: Annotated[Stretch, N(4)]
    """Of the stretch, from 1."""
    first_before: Annotated[EnvelopeBytes | None, N(5)] = None
    """Enveloped CheckpointReceipt: the state that the first answer's worker had before it; absent: it is the first."""
    second_before: Annotated[EnvelopeBytes | None, N(6)] = None
    """The same of the second answer's; both name one state."""
    first_after: Annotated[EnvelopeBytes | None, N(7)] = None
    """The state that the first answer's worker had after it; absent: its program had ended, and the answer counts."""
    second_after: Annotated[EnvelopeBytes | None, N(8)] = None
    """The same of the second answer's."""
    executed: Annotated[Bytes32, N(9)]
    """State root that the requester came to, or the answer root, if the program ended."""


class Verdict(Message):
    """Requester, enveloped: who computed a shard, what each of them signed, and whose answer stands."""

    number: ClassVar[int] = 99
    name: ClassVar[str] = "verdict"
    bytes_max: ClassVar[int] = limits.VERDICT_BYTES_MAX

    network: Annotated[NetworkText, N(1)]
    requester: Annotated[PeerBytes, N(2)]
    made_unix_ms: Annotated[Instant, N(3)]
    secret: Annotated[Bytes32, N(4)]
    """What the requester's part of the draw was; it opens `draw` of the primary's commitment."""
    candidates: Annotated[tuple[CandidatePart, ...], Field(max_length=limits.VERDICT_CANDIDATES_MAX), N(5)]
    """Ascending by peer."""
    answers: Annotated[
        tuple[AnswerPart, ...], Field(min_length=1, max_length=limits.VERIFICATION_WORKERS_MAX), N(6)
    ]
    """The primary's, then those of the replicas in the order in which they were drawn."""
    comparisons: Annotated[tuple[ComparisonPart, ...], Field(max_length=limits.VERDICT_COMPARISONS_MAX), N(7)]
    """Of the class `numeric`: each pair of answers that were opened, ascending; else empty."""
    outcome: Annotated[OutcomeName, N(8)]
    binding: Annotated[EnvelopeBytes | None, N(9)] = None
    """Enveloped Binding of the requester; without it others do not know whose word it is."""
    stretch: Annotated[StretchPart | None, N(10)] = None
    """What decided between two answers without a majority."""
    known: Annotated[Bytes32 | None, N(11)] = None
    """Answer root that the requester came to, which computed the shard itself: a canary."""
