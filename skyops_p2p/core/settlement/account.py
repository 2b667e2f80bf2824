"""What one side knows of a pair: newest voucher, tree of receipts, lanes; and its form in the journal. Pure.

The record is one value, written whole before anything that it promises is sent, so a restart at any byte finds either
the state before a step or the one after it. Spec: protocol/07-settlement.md, "Restarts".
"""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.core.settlement.amounts import wei_from_bytes, wei_to_bytes
from skyops_p2p.core.settlement.lanes import FactsPart, Lane, LaneTerms, Stage
from skyops_p2p.core.settlement.meters import Counts
from skyops_p2p.core.settlement.trees import GrowingTree
from skyops_p2p.errors import RemoteProtocolError, StoreError
from skyops_p2p.wire import canonical
from skyops_p2p.wire.messages.execution import Epoch, Shard
from skyops_p2p.wire.messages.settlement import CountsPart, LaneOffer, Voucher
from skyops_p2p.wire.model import Bytes16, Bytes32, Count, N, Part, decode_message, encode_message

RECORD_BYTES_MAX = 1 << 18
"""A pair with all lanes that it may have, and a full voucher, has about a third of this."""


class TermsPart(Part):
    """What is paid for a lane, in the journal."""

    job_id: Annotated[Bytes16, N(1)]
    shard: Annotated[Shard, N(2)]
    epoch: Annotated[Epoch, N(3)]
    award: Annotated[Bytes32, N(4)]
    rate: Annotated[Bytes32, N(5)]
    prepaid_ms: Annotated[Count, N(6)]
    interval_ms_max: Annotated[Count, N(7)]


class LanePart(Part):
    """A lane in the journal."""

    terms: Annotated[TermsPart, N(1)]
    stage: Annotated[str, Field(max_length=16), N(2)]
    interval: Annotated[Count, N(3)]
    paid: Annotated[Bytes32, N(4)]
    own: Annotated[CountsPart, N(5)]
    billed: Annotated[CountsPart, N(6)]
    peaks: Annotated[tuple[Bytes32, ...], Field(max_length=64), N(7)]
    meter: Annotated[CountsPart | None, N(8)] = None
    is_last: Annotated[bool, N(9)]
    pace_ms: Annotated[Count, N(10)]
    facts: Annotated[FactsPart | None, N(11)] = None


class AccountPart(Part):
    """A pair in the journal."""

    cumulative: Annotated[Bytes32, N(1)]
    voucher: Annotated[bytes | None, Field(max_length=1 << 16), N(2)] = None
    is_out: Annotated[bool, N(3)]
    receipts: Annotated[Count, N(4)]
    peaks: Annotated[tuple[Bytes32, ...], Field(max_length=64), N(5)]
    lanes: Annotated[tuple[LanePart, ...], Field(max_length=limits.LANES_PER_PAIR_MAX), N(6)]


@dataclass(slots=True)
class Account:
    """One side's state of a pair."""

    cumulative: int = 0
    """Of the newest voucher, wei."""
    voucher: Voucher | None = None
    """The newest that was signed, or taken."""
    is_out: bool = False
    """The requester has signed it, and the worker has not answered."""
    receipts: GrowingTree = field(default_factory=GrowingTree)
    """Of the pair, with those of the newest voucher."""
    lanes: dict[bytes, Lane] = field(default_factory=dict)
    """By name, in the order in which they were begun."""

    @property
    def rate_wei(self) -> int:
        """Of all lanes, for an hour."""
        return sum(lane.terms.rate_wei for lane in self.lanes.values() if lane.stage is not Stage.FINISHED)

    @property
    def need_wei(self) -> int:
        """What the deposit must hold in all, with what was redeemed of it. Rules: SET-12."""
        return self.cumulative + sum(lane.need_wei for lane in self.lanes.values())

    def encode(self) -> bytes:
        """Return the record for the journal."""
        part = AccountPart(
            cumulative=wei_to_bytes(self.cumulative),
            voucher=None if self.voucher is None else encode_message(self.voucher),
            is_out=self.is_out,
            receipts=self.receipts.count,
            peaks=self.receipts.peaks,
            lanes=tuple(_lane_part(lane) for lane in self.lanes.values()),
        )
        return canonical.encode(part.to_wire())

    @classmethod
    def decode(cls, data: bytes) -> "Account":
        """Read a record from the journal.

        Raises:
            StoreError: Code `account_torn`: it is none, or one that contradicts itself.
        """
        try:
            part = AccountPart.from_wire(canonical.decode(data, bytes_max=RECORD_BYTES_MAX))
            lanes = [_lane(item) for item in part.lanes]
            voucher = None if part.voucher is None else decode_message(Voucher, part.voucher)
            tree = GrowingTree(part.receipts, part.peaks)
            lanes_by_name = {lane.terms.lane: lane for lane in lanes}
            account = cls(wei_from_bytes(part.cumulative), voucher, part.is_out, tree, lanes_by_name)
            account.check_invariants()
        except (RemoteProtocolError, ValueError, AssertionError) as error:
            raise StoreError(
                "the record of a pair's payments cannot be read",
                code="account_torn",
                hint="Restore the database from a backup that is not older than the newest voucher.",
            ) from error
        return account

    def check_invariants(self) -> None:
        """Raise AssertionError if the fields contradict each other."""
        self.receipts.check_invariants()
        for lane in self.lanes.values():
            lane.check_invariants()
        assert (self.cumulative > 0) == (self.voucher is not None), "what is promised is signed"
        assert self.voucher is None or self.voucher.cumulative == wei_to_bytes(self.cumulative)
        assert not self.is_out or self.voucher is not None
        assert sum(lane.paid for lane in self.lanes.values()) <= self.cumulative, (
            "lanes are parts of the whole"
        )


def terms_from(offer: LaneOffer) -> LaneTerms:
    """Read the terms of an offered lane.

    Raises:
        RemoteProtocolError: Code `malformed`: a rate of 0, or of 2^96 or more; `wrong_terms`: a name not its own.

    Rules: SET-4.
    """
    rate = wei_from_bytes(offer.rate, bits=96)
    if rate == 0:
        raise RemoteProtocolError("a lane that pays nothing", code="malformed", rule="SET-4")
    terms = LaneTerms(
        offer.job_id, offer.shard, offer.epoch, offer.award, rate, offer.prepaid_ms, offer.interval_ms_max
    )
    if terms.lane != offer.lane:
        raise RemoteProtocolError("a lane under another name", code="wrong_terms", rule="SET-4")
    return terms


def _lane_part(lane: Lane) -> LanePart:
    terms = lane.terms
    return LanePart(
        terms=TermsPart(
            job_id=terms.job_id,
            shard=terms.shard,
            epoch=terms.epoch,
            award=terms.award,
            rate=wei_to_bytes(terms.rate_wei),
            prepaid_ms=terms.prepaid_ms,
            interval_ms_max=terms.interval_ms_max,
        ),
        stage=lane.stage.value,
        interval=lane.interval,
        paid=wei_to_bytes(lane.paid),
        own=lane.own.part(),
        billed=lane.billed.part(),
        peaks=lane.tree.peaks,
        meter=None if lane.meter is None else lane.meter.part(),
        is_last=lane.is_last,
        pace_ms=lane.pace_ms,
        facts=lane.facts,
    )


def _lane(part: LanePart) -> Lane:
    terms = part.terms
    where = terms.job_id, terms.shard, terms.epoch, terms.award
    return Lane(
        LaneTerms(*where, wei_from_bytes(terms.rate), terms.prepaid_ms, terms.interval_ms_max),
        Stage(part.stage),
        part.interval,
        wei_from_bytes(part.paid),
        Counts.of(part.own),
        Counts.of(part.billed),
        GrowingTree(part.interval, part.peaks),
        None if part.meter is None else Counts.of(part.meter),
        part.is_last,
        part.pace_ms,
        part.facts,
    )
