"""What a campaign has seen at its end, of both sides and of the chain: all that is judged. Pure."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LaneSeen:
    """The payment of one lease, as who pays has it."""

    lane: str
    shard: int
    epoch: int
    worker: str
    """Name of the node."""
    is_open: bool
    rate_wei: int
    """For an hour."""
    metered_ms: int
    """The most that its requester has ever metered."""
    paid_wei: int
    has_receipt: bool


@dataclass(frozen=True, slots=True)
class JobSeen:
    """One job at the end."""

    name: str
    job_id: str
    """Empty: its node knows nothing of it."""
    by: str
    allowed: frozenset[str]
    is_over: bool
    code: str
    attempts: tuple[tuple[int, int, str], ...]
    """(shard, epoch, how the lease ended)."""
    budget_wei: int | None
    lanes: tuple[LaneSeen, ...]


@dataclass(frozen=True, slots=True)
class EarnedSeen:
    """What one worker says that one job has paid it."""

    worker: str
    job_id: str
    paid_wei: int
    receipts: int


@dataclass(frozen=True, slots=True)
class ReceiptSeen:
    """One lease's receipt, as one side has it."""

    lane: str
    by: str
    """Name of the node."""
    is_signed_by_both: bool
    leaf: str
    amount_wei: int
    trouble: str = ""
    """Code, if it could not be had."""


@dataclass(frozen=True, slots=True)
class PairSeen:
    """One side of a pair."""

    by: str
    peer: str
    is_payer: bool
    promised_wei: int
    redeemed_wei: int
    """As the chain says."""


@dataclass(frozen=True, slots=True)
class ChainSeen:
    """All SKYOPS of the campaign's wallets, wei."""

    wallets: int
    deposits: int
    allotments: int
    held: int
    credits: int
    fees: int
    settlement: int
    """What the contract Settlement owns."""
    supply: int
    """With burning it falls."""

    @property
    def owed(self) -> int:
        """What Settlement must own."""
        return self.deposits + self.allotments + self.held + self.credits + self.fees


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything."""

    jobs: tuple[JobSeen, ...]
    earned: tuple[EarnedSeen, ...]
    receipts: tuple[ReceiptSeen, ...]
    pairs: tuple[PairSeen, ...]
    before: ChainSeen
    after: ChainSeen
    troubles: tuple[tuple[str, str], ...] = field(default=())
    """(code, a sentence): what could not be looked at."""
