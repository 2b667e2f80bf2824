"""What was seen of a campaign: all that is judged, and told. Pure."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class JudgedSeen:
    """One worker's part in a verdict."""

    worker: str
    """Name of the node."""
    fault: str
    """"none", "wrong", "lied" or "no_reveal"."""


@dataclass(frozen=True, slots=True)
class JobSeen:
    """One job at its end."""

    name: str
    by: str
    redundancy: int
    code: str
    """How it ended; empty: it did not, or was not taken."""
    took_s: float
    checked: str
    """What came of comparing results; "no_replica": it is taken unverified, and says so."""
    answer: int
    digest: str
    """Of the outputs that its user got, hex; empty: none."""
    workers: tuple[str, ...]
    """That had its leases, and those of its replicas."""
    judged: tuple[JudgedSeen, ...]
    findings: tuple[str, ...] = ()
    """What is wrong with its verdict."""
    is_heard: bool = True
    """Others count its verdict: who computed it was drawn by lot, and nothing rests on the requester's word.

    Rules: VER-15."""


@dataclass(frozen=True, slots=True)
class ScoreSeen:
    """What a node thinks of an account in one role: everything that must be the same on all nodes."""

    name: str
    """Of the account's node; its wallet where it is none of the network."""
    role: str
    row: str
    """The row as JSON, without what is a node's own."""
    credibility: int
    """Millionths."""
    bad_micro: int
    """Microcredits of evidence against it that count."""
    standing: str


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """What one honest node holds and thinks."""

    name: str
    epoch: int
    evidence: str
    """Digest of the receipts and verdicts that it holds."""
    receipts: int
    scores: tuple[ScoreSeen, ...]
    is_behind: bool = False
    """What it holds is not all in them yet."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything."""

    jobs: tuple[JobSeen, ...]
    right: dict[int, str]
    """Training -> digest of its outputs, as a requester's own node computed them again."""
    before: tuple[NodeSeen, ...]
    """Scores of the honest nodes before the first job."""
    after: tuple[NodeSeen, ...]
    """And at the end, all asked while no transaction was under way."""
    earned_wei: dict[str, int]
    """Worker -> what it says it has earned."""
    troubles: tuple[tuple[str, str], ...] = field(default=())
    """(code, a sentence): what could not be looked at."""
