"""What a node remembers of its payments beside the accounts: lanes for bills and earnings, and receipts with leaves."""

from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.core.settlement.meters import NOTHING, Counts
from skyops_p2p.core.settlement.receipts import leaf_of
from skyops_p2p.core.settlement.vouchers import PairTerms
from skyops_p2p.errors import RemoteProtocolError, StoreError
from skyops_p2p.node.settlement.lane_usage import LaneUsage, LaneUsagePart
from skyops_p2p.types import PeerId
from skyops_p2p.wire import canonical
from skyops_p2p.wire.messages.settlement import CountsPart, Receipt, SignedReceipt
from skyops_p2p.wire.model import Bytes16, Bytes20, Bytes32, Count, N, Part, decode_message

_BYTES_MAX = 1 << 14
ShortText = Annotated[str, Field(max_length=128)]


@dataclass(frozen=True, slots=True, order=True)
class PairKey:
    """One pair of this node: the other side's wallet, and which side this node is."""

    account: bytes
    """20 bytes."""
    is_payer: bool
    """This node is the requester."""
    contract: bytes
    """Settlement, 20 bytes: with another contract the same two have another pair."""

    @classmethod
    def of(cls, terms: PairTerms, *, is_payer: bool) -> "PairKey":
        """Return the key of a pair."""
        return cls(terms.worker if is_payer else terms.requester, is_payer, terms.contract)

    @property
    def name(self) -> str:
        """For the journal."""
        return f"{'to' if self.is_payer else 'from'}/{self.account.hex()}/{self.contract.hex()}"

    @classmethod
    def parse(cls, name: str) -> "PairKey":
        """Read a name from the journal."""
        side, account, contract = name.split("/")
        return cls(bytes.fromhex(account), side == "to", bytes.fromhex(contract))


class _LanePart(Part):
    lane: Annotated[Bytes32, N(1)]
    is_payer: Annotated[bool, N(2)]
    peer: Annotated[ShortText, N(3)]
    account: Annotated[Bytes20, N(4)]
    job_id: Annotated[Bytes16, N(5)]
    shard: Annotated[Count, N(6)]
    epoch: Annotated[Count, N(7)]
    name: Annotated[ShortText, N(8)]
    mode: Annotated[ShortText, N(9)]
    rate: Annotated[Bytes32, N(10)]
    began_unix_ms: Annotated[Count, N(11)]
    budget: Annotated[Bytes32 | None, N(12)] = None
    ended_unix_ms: Annotated[Count, N(13)]
    code: Annotated[ShortText, N(14)]
    paid: Annotated[Bytes32, N(15)]
    billed: Annotated[CountsPart, N(16)]
    contract: Annotated[Bytes20, N(17)]
    usage: Annotated[LaneUsagePart | None, N(18)] = None
    bound_job: Annotated[Bytes16 | None, N(19)] = None


@dataclass(frozen=True, slots=True)
class LaneRecord:
    """One lane, as bills and earnings show it."""

    lane: bytes
    is_payer: bool
    peer: PeerId
    account: bytes
    """The other side's wallet, 20 bytes."""
    contract: bytes
    """Settlement, 20 bytes."""
    job_id: bytes
    shard: int
    epoch: int
    name: str
    """Of the job."""
    mode: str
    rate_wei: int
    """For an hour."""
    began_unix_ms: int
    budget_wei: int | None = None
    """At a requester: what all lanes of the job and of its replicas may cost together; None: no bound."""
    ended_unix_ms: int = 0
    """0 while it is open."""
    code: str = ""
    paid_wei: int = 0
    billed: Counts = NOTHING
    usage: LaneUsage | None = None
    """What the run has used besides time; None: nobody has said it."""
    bound_job: bytes | None = None
    """At a requester: the job whose bound holds for it, if it computes that one's shard once more."""

    @property
    def bound_id(self) -> bytes:
        """The job whose bound holds for it, 16 bytes."""
        return self.bound_job or self.job_id

    @property
    def key(self) -> PairKey:
        """Of its pair."""
        return PairKey(self.account, self.is_payer, self.contract)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return bool(self.ended_unix_ms)

    def ended(self, code: str, paid_wei: int, billed: Counts, *, now: int) -> "LaneRecord":
        """Return what it came to."""
        return replace(self, ended_unix_ms=now, code=code, paid_wei=paid_wei, billed=billed)

    def encode(self) -> bytes:
        """Return it for the journal."""
        part = _LanePart(
            lane=self.lane,
            is_payer=self.is_payer,
            peer=self.peer,
            account=self.account,
            job_id=self.job_id,
            shard=self.shard,
            epoch=self.epoch,
            name=self.name[:128],
            mode=self.mode,
            rate=_wei(self.rate_wei),
            began_unix_ms=self.began_unix_ms,
            budget=None if self.budget_wei is None else _wei(self.budget_wei),
            ended_unix_ms=self.ended_unix_ms,
            code=self.code,
            paid=_wei(self.paid_wei),
            billed=self.billed.part(),
            contract=self.contract,
            usage=None if self.usage is None else self.usage.part(),
            bound_job=self.bound_job,
        )
        return canonical.encode(part.to_wire())

    @classmethod
    def decode(cls, data: bytes) -> "LaneRecord":
        """Read it from the journal.

        Raises:
            StoreError: Code `account_torn`: it is none.
        """
        try:
            part = _LanePart.from_wire(canonical.decode(data, bytes_max=_BYTES_MAX))
        except (RemoteProtocolError, ValueError) as error:
            raise _torn("the record of a lane cannot be read") from error
        return cls(
            part.lane,
            part.is_payer,
            PeerId(part.peer),
            part.account,
            part.contract,
            part.job_id,
            part.shard,
            part.epoch,
            part.name,
            part.mode,
            int.from_bytes(part.rate, "big"),
            part.began_unix_ms,
            None if part.budget is None else int.from_bytes(part.budget, "big"),
            part.ended_unix_ms,
            part.code,
            int.from_bytes(part.paid, "big"),
            Counts.of(part.billed),
            None if part.usage is None else LaneUsage.of_part(part.usage),
            part.bound_job,
        )


class _ReceiptPart(Part):
    index: Annotated[Count, N(1)]
    leaf: Annotated[Bytes32, N(2)]
    lane: Annotated[Bytes32, N(3)]
    data: Annotated[bytes | None, Field(max_length=limits.SIGNED_RECEIPT_BYTES_MAX), N(4)] = None


@dataclass(frozen=True, slots=True)
class KeptReceipt:
    """A receipt of a pair, and its place in the pair's tree."""

    index: int
    leaf: bytes
    lane: bytes
    data: bytes | None
    """Encoded SignedReceipt; None once it is too old to be kept whole."""

    @classmethod
    def of(cls, data: bytes, index: int) -> "KeptReceipt":
        """Read what is needed of an encoded SignedReceipt."""
        receipt = decode_message(Receipt, decode_message(SignedReceipt, data).receipt)
        return cls(index, leaf_of(receipt), receipt.lane, data)

    def shortened(self) -> "KeptReceipt":
        """Return the leaf alone."""
        return replace(self, data=None)

    def encode(self) -> bytes:
        """Return it for the journal."""
        part = _ReceiptPart(index=self.index, leaf=self.leaf, lane=self.lane, data=self.data)
        return canonical.encode(part.to_wire())

    @classmethod
    def decode(cls, data: bytes) -> "KeptReceipt":
        """Read it from the journal.

        Raises:
            StoreError: Code `account_torn`: it is none.
        """
        try:
            part = _ReceiptPart.from_wire(canonical.decode(data, bytes_max=_BYTES_MAX))
        except (RemoteProtocolError, ValueError) as error:
            raise _torn("a receipt cannot be read") from error
        return cls(part.index, part.leaf, part.lane, part.data)


def _wei(amount: int) -> bytes:
    return amount.to_bytes(32, "big")


def _torn(text: str) -> StoreError:
    return StoreError(
        text,
        code="account_torn",
        hint="Restore the database from a backup that is not older than the newest voucher.",
    )
