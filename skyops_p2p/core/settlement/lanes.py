"""One lane of a pair, as both sides count it, and the record of a pair that survives a restart. Pure.

A lane pays for one lease. Both sides hold the same figures of it and step them by the same functions, so each can
tell what the other must say next. Spec: protocol/07-settlement.md, "Lanes".
"""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Annotated

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.core.settlement.amounts import wei_to_bytes
from skyops_p2p.core.settlement.meters import NOTHING, Counts, later, smaller
from skyops_p2p.core.settlement.prices import charge
from skyops_p2p.core.settlement.receipts import interval_leaf
from skyops_p2p.core.settlement.trees import GrowingTree
from skyops_p2p.core.settlement.vouchers import PairTerms
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.types import MonotonicS, Wei
from skyops_p2p.wire.messages.auction import Code, ModeName
from skyops_p2p.wire.messages.settlement import LaneOffer, LaneStop, Receipt, Redundancy, VerificationName
from skyops_p2p.wire.model import Bytes32, Instant, N, Part

LANE_DOMAIN = b"skyops/lane/1"
EXPOSED_MS = limits.PAY_GRACE_MS + limits.METER_READ_MS
"""Work beyond an interval that may be unpaid: until the voucher is missed, and until the meter is read."""


class Stage(Enum):
    """Where a lane is."""

    OFFERED = "offered"
    """Not answered, or, at the worker, taken and to be paid ahead before it starts."""
    RUNNING = "running"
    FINISHED = "finished"
    """The run is over; its last meter is still to be paid."""


@dataclass(frozen=True, slots=True)
class LaneTerms:
    """What is paid for one lease."""

    job_id: bytes
    shard: int
    epoch: int
    award: bytes
    rate_wei: int
    """For an hour."""
    prepaid_ms: int = 0
    """Runtime that is paid ahead."""
    interval_ms_max: int = limits.PAY_INTERVAL_MS_MAX

    @property
    def lane(self) -> bytes:
        """Its name, 32 bytes: one for each lease. Rules: SET-3."""
        return sha256(canonical_lane(self.job_id, self.shard, self.epoch))


class FactsPart(Part):
    """What a receipt says of a lease beside money: both sides have the ResultReceipt, the bid and the specification.

    Rules: SET-25.
    """

    spec_digest: Annotated[Bytes32, N(1)]
    mode: Annotated[ModeName, N(2)]
    class_milli: Annotated[int, Field(ge=0, le=2**31), N(3)]
    outcome: Annotated[Code, N(4)]
    result: Annotated[Bytes32, N(5)]
    log_head: Annotated[Bytes32, N(6)]
    started_unix_ms: Annotated[Instant, N(7)]
    ended_unix_ms: Annotated[Instant, N(8)]
    verification: Annotated[VerificationName, N(9)] = "interactive"
    """Class of the job's specification."""
    redundancy: Annotated[Redundancy, N(10)] = 1


@dataclass(slots=True)
class Lane:
    """A lane's figures."""

    terms: LaneTerms
    stage: Stage = Stage.OFFERED
    interval: int = 0
    """Number of the newest paid interval."""
    paid: int = 0
    """What the lane has cost so far, wei."""
    own: Counts = NOTHING
    """What this side has metered."""
    billed: Counts = NOTHING
    """The smaller counts, as they were paid."""
    tree: GrowingTree = field(default_factory=GrowingTree)
    """Of the paid intervals."""
    meter: Counts | None = None
    """The worker's count of the next interval, not paid yet."""
    is_last: bool = False
    """Of that meter."""
    pace_ms: int = limits.PAY_INTERVAL_MS
    """Length of the next interval."""
    facts: FactsPart | None = None
    """Known once the run has ended with a result."""

    def cost(self, requester: Counts, worker: Counts, *, least_wei: int) -> Wei:
        """Return what the lane costs in all once its next interval is paid. Rules: SET-7.

        Args:
            requester: The requester's totals.
            worker: The worker's, as in its meter.
            least_wei: What an interval costs at least: 1, or a unit of the contract if it brings a receipt.
        """
        billed = later(self.billed, smaller(requester, worker))
        ahead_ms = 0 if self.is_last else self.terms.prepaid_ms
        return Wei(max(charge(self.terms.rate_wei, billed.runtime_ms + ahead_ms), self.paid + least_wei))

    @property
    def has_receipt(self) -> bool:
        """Whether the next payment brings the lane's receipt."""
        return self.is_last and self.facts is not None

    @property
    def is_ready(self) -> bool:
        """Whether the requester can pay its meter: the last one waits for the result."""
        return self.meter is not None and (not self.is_last or self.stage is Stage.FINISHED)

    @property
    def patience_ms(self) -> int:
        """How long a requester waits for the answer to the offer, or for the last meter."""
        return limits.PAY_OFFER_WAIT_MS if self.stage is Stage.OFFERED else limits.PAY_LAST_WAIT_MS

    @property
    def need_wei(self) -> Wei:
        """What the deposit must hold for it beyond what is promised: the longest unpaid work, and what is paid ahead.

        Rules: SET-12.
        """
        if self.stage is Stage.FINISHED:
            return Wei(max(charge(self.terms.rate_wei, self.own.runtime_ms) - self.paid, 0))
        return charge(self.terms.rate_wei, self.pace_ms + EXPOSED_MS + self.terms.prepaid_ms)

    def paid_with(self, requester: Counts, worker: Counts, amount: int) -> "Lane":
        """Return the lane after one more interval; this one stays as it is."""
        leaf = interval_leaf(self.interval + 1, requester.part(), worker.part(), wei_to_bytes(amount))
        return replace(
            self,
            stage=Stage.RUNNING if self.stage is Stage.OFFERED else self.stage,
            interval=self.interval + 1,
            paid=amount,
            billed=later(self.billed, smaller(requester, worker)),
            tree=self.tree.with_leaf(leaf),
            meter=None,
            pace_ms=min(2 * self.pace_ms, self.terms.interval_ms_max),
        )

    def check_invariants(self) -> None:
        """Raise AssertionError if the fields contradict each other."""
        self.tree.check_invariants()
        assert self.tree.count == self.interval, "a leaf for each paid interval"
        assert self.paid >= self.interval, "each interval costs something"
        assert self.stage is not Stage.OFFERED or self.interval == 0, "nothing is paid before it is taken"


def canonical_lane(job_id: bytes, shard: int, epoch: int) -> bytes:
    """Return the bytes whose SHA-256 names a lane. Rules: SET-3."""
    return LANE_DOMAIN + job_id + shard.to_bytes(4, "big") + epoch.to_bytes(8, "big")


def after(now: MonotonicS, wait_ms: int) -> MonotonicS:
    """Return the instant so many milliseconds later."""
    return MonotonicS(now + wait_ms / 1000)


def stop_of(name: bytes, code: str) -> LaneStop:
    """Return the message that ends a lane."""
    return LaneStop(lane=name, code=code)


def offer_of(terms: LaneTerms, pair: PairTerms) -> LaneOffer:
    """Return the message that offers a lane. Rules: SET-4."""
    return LaneOffer(
        lane=terms.lane,
        job_id=terms.job_id,
        shard=terms.shard,
        epoch=terms.epoch,
        award=terms.award,
        chain_id=pair.chain_id,
        contract=pair.contract,
        token=pair.token,
        requester=pair.requester,
        rate=wei_to_bytes(terms.rate_wei),
        prepaid_ms=terms.prepaid_ms,
        interval_ms_max=terms.interval_ms_max,
        holdback_bps=pair.holdback_bps,
    )


def receipt_of(pair: PairTerms, lane: Lane, requester: Counts, worker: Counts, *, cumulative: int) -> Receipt:
    """Return the receipt of a lane whose last interval is paid; both sides come to the same. Rules: SET-13."""
    terms, facts = lane.terms, lane.facts
    assert facts is not None
    return Receipt(
        network=pair.network,
        chain_id=pair.chain_id,
        contract=pair.contract,
        token=pair.token,
        requester=pair.requester,
        worker=pair.worker,
        lane=terms.lane,
        job_id=terms.job_id,
        shard=terms.shard,
        epoch=terms.epoch,
        award=terms.award,
        **{name: getattr(facts, name) for name in FactsPart.model_fields},
        metering_root=lane.tree.root,
        requester_counts=requester.part(),
        worker_counts=worker.part(),
        rate=wei_to_bytes(terms.rate_wei),
        amount=wei_to_bytes(lane.paid),
        cumulative=wei_to_bytes(cumulative),
    )


@dataclass(slots=True)
class Watch:
    """What only the worker's process knows of a lane: nothing of it is written down."""

    is_alive: bool = True
    """The run goes on; False: nothing more is metered."""
    metered_ms: int = 0
    """Runtime at the newest meter."""
    pause_at: MonotonicS | None = None
    """When the program is paused unless a voucher comes."""
    stop_at: MonotonicS | None = None
    """When the run is stopped, or what was kept of it forgotten."""
    is_kept: bool = False
    """Its run was stopped, and its meter kept: a voucher may have been signed for it."""
    resend_at: MonotonicS | None = None
    paused: str = ""
    """Why; empty: it is not."""
