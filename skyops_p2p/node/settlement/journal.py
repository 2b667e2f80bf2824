"""What a node's payments leave in its journal: pairs, lanes and receipts.

One entry holds all that a step of a pair promises: the account, where the wallet's chain of receipts ends, and the
receipts and lanes that the step has ended. It is written before anything is sent, so that a restart finds the step
whole or not at all. What is kept for long is copied to entries of its own afterwards; a copy that a crash has left out
is made up for when the journal is read. Spec: protocol/07-settlement.md, "Restarts".
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.core.settlement.account import RECORD_BYTES_MAX, Account
from skyops_p2p.core.settlement.receipts import ChainPlace
from skyops_p2p.core.settlement.vouchers import PairTerms
from skyops_p2p.errors import RemoteProtocolError, StoreError
from skyops_p2p.node.settlement.records import KeptReceipt, LaneRecord, PairKey
from skyops_p2p.ports import JournalEntry, Store
from skyops_p2p.types import PeerId
from skyops_p2p.wire import canonical
from skyops_p2p.wire.model import Bytes20, Bytes32, Count, N, Part

PAIR_STEM, LANE_STEM, RECEIPT_STEM = "pair", "lane", "receipt"
COMPACTED_EVERY = 16
"""Entries of one pair, before all but the last are forgotten."""
_BODY_BYTES_MAX = limits.JOURNAL_ENTRY_BYTES_MAX


class _PairPart(Part):
    is_payer: Annotated[bool, N(1)]
    peer: Annotated[str, Field(max_length=128), N(2)]
    network: Annotated[str, Field(max_length=64), N(3)]
    chain_id: Annotated[Count, N(4)]
    contract: Annotated[Bytes20, N(5)]
    disputes: Annotated[Bytes20, N(6)]
    token: Annotated[Bytes20, N(7)]
    requester: Annotated[Bytes20, N(8)]
    worker: Annotated[Bytes20, N(9)]
    holdback_bps: Annotated[Count, N(10)]
    account: Annotated[bytes, Field(max_length=RECORD_BYTES_MAX), N(11)]
    sequence: Annotated[Count, N(12)]
    link: Annotated[Bytes32, N(13)]
    funds: Annotated[tuple[Bytes32, ...], Field(max_length=3), N(14)]
    lanes: Annotated[tuple[bytes, ...], Field(max_length=limits.LANES_PER_PAIR_MAX), N(15)]
    receipts: Annotated[tuple[bytes, ...], Field(max_length=limits.VOUCHER_ITEMS_MAX), N(16)]
    first_unpaid_unix_ms: Annotated[Count, N(17)]


@dataclass(frozen=True, slots=True)
class PairState:
    """One pair as it is written down."""

    key: PairKey
    peer: PeerId
    """The other side, as it was last met."""
    terms: PairTerms
    account: Account
    funds: tuple[int, int, int]
    """What was last seen on chain, wei: redeemed, allotted, shared."""
    unredeemed_since_unix_ms: int = 0
    """At a worker: since when there is something to redeem; 0: there is nothing."""


@dataclass(slots=True)
class Restored:
    """What the journal holds."""

    pairs: dict[PairKey, PairState] = field(default_factory=dict)
    place: ChainPlace = field(default_factory=ChainPlace)
    lanes: "OrderedDict[bytes, LaneRecord]" = field(default_factory=OrderedDict)
    """By name, as they began."""
    receipts: dict[PairKey, dict[int, KeptReceipt]] = field(default_factory=dict)
    """By pair and place in its tree."""


class PayJournal:
    """The payments of one node.

    Args:
        store: The node's.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written: dict[PairKey, int] = {}

    async def keep(
        self,
        state: PairState,
        account: bytes,
        place: ChainPlace,
        *,
        lanes: Sequence[LaneRecord] = (),
        receipts: Sequence[KeptReceipt] = (),
    ) -> None:
        """Write a step of a pair down, whole or not at all.

        Args:
            state: The pair; its account is what follows.
            account: Encoded.
            place: Where this wallet's chain of receipts ends.
            lanes: Those that the step has ended.
            receipts: Those that it has brought.

        Raises:
            StoreError: Nothing of it is written.

        Rules: SET-16, SET-19.
        """
        terms = state.terms
        part = _PairPart(
            is_payer=state.key.is_payer,
            peer=state.peer,
            network=terms.network,
            chain_id=terms.chain_id,
            contract=terms.contract,
            disputes=terms.disputes,
            token=terms.token,
            requester=terms.requester,
            worker=terms.worker,
            holdback_bps=terms.holdback_bps,
            account=account,
            sequence=place.sequence,
            link=place.link,
            funds=tuple(wei.to_bytes(32, "big") for wei in state.funds),
            lanes=tuple(lane.encode() for lane in lanes),
            receipts=tuple(receipt.encode() for receipt in receipts),
            first_unpaid_unix_ms=state.unredeemed_since_unix_ms,
        )
        name = state.key.name
        await self._store.append(PAIR_STEM, name, canonical.encode(part.to_wire()))
        for lane in lanes:
            await self.keep_lane(lane)
        for receipt in receipts:
            await self._keep_receipt(state.key, receipt)
        self._written[state.key] = self._written.get(state.key, 0) + 1
        if self._written[state.key] >= COMPACTED_EVERY:
            self._written[state.key] = 0
            await self._store.compact(PAIR_STEM, name, keep_last=1)

    async def keep_lane(self, lane: LaneRecord) -> None:
        """Write down how a lane began, or what it came to.

        Raises:
            StoreError: It cannot be written.
        """
        await self._store.append(LANE_STEM, lane.lane.hex(), lane.encode())
        if lane.is_over:
            await self._store.compact(LANE_STEM, lane.lane.hex(), keep_last=1)

    async def forget_lane(self, lane: bytes) -> None:
        """Forget a lane that ended long ago.

        Raises:
            StoreError: It cannot be written.
        """
        await self._store.compact(LANE_STEM, lane.hex(), keep_last=0)

    async def shorten_receipt(self, key: PairKey, receipt: KeptReceipt) -> None:
        """Keep no more of a receipt than its leaf.

        Raises:
            StoreError: It cannot be written.
        """
        await self._keep_receipt(key, receipt.shortened())
        await self._store.compact(RECEIPT_STEM, _receipt_key(key, receipt.index), keep_last=1)

    async def forget_receipt(self, key: PairKey, index: int) -> None:
        """Forget a receipt and its leaf.

        Raises:
            StoreError: It cannot be written.
        """
        await self._store.compact(RECEIPT_STEM, _receipt_key(key, index), keep_last=0)

    async def _keep_receipt(self, key: PairKey, receipt: KeptReceipt) -> None:
        await self._store.append(RECEIPT_STEM, _receipt_key(key, receipt.index), receipt.encode())

    async def restore(self) -> Restored:
        """Read everything back, and make up for copies that a crash has left out.

        Raises:
            StoreError: It cannot be read; `account_torn`: an entry is none. Nothing may be signed then.
        """
        found = Restored()
        for entry in await self._store.entries(LANE_STEM):
            lane = LaneRecord.decode(entry.body)
            found.lanes[lane.lane] = lane
        for entry in await self._store.entries(RECEIPT_STEM):
            key, receipt = PairKey.parse(entry.key.rpartition("/")[0]), KeptReceipt.decode(entry.body)
            found.receipts.setdefault(key, {})[receipt.index] = receipt
        newest: dict[str, JournalEntry] = {}
        for entry in await self._store.entries(PAIR_STEM):
            newest[entry.key] = entry
        for entry in newest.values():
            await self._restore_pair(_read(entry), found)
        return found

    async def _restore_pair(self, part: _PairPart, found: Restored) -> None:
        terms = PairTerms(
            network=part.network,
            chain_id=part.chain_id,
            contract=part.contract,
            disputes=part.disputes,
            token=part.token,
            requester=part.requester,
            worker=part.worker,
            holdback_bps=part.holdback_bps,
        )
        key = PairKey.of(terms, is_payer=part.is_payer)
        redeemed, allotted, shared = (int.from_bytes(wei, "big") for wei in part.funds)
        found.pairs[key] = PairState(
            key,
            PeerId(part.peer),
            terms,
            Account.decode(part.account),
            (redeemed, allotted, shared),
            part.first_unpaid_unix_ms,
        )
        if part.sequence > found.place.sequence:
            found.place = ChainPlace(part.sequence, part.link)
        for data in part.lanes:
            lane = LaneRecord.decode(data)
            known = found.lanes.get(lane.lane)
            if known is None or not known.is_over:
                found.lanes[lane.lane] = lane
                await self.keep_lane(lane)
        kept = found.receipts.setdefault(key, {})
        for data in part.receipts:
            receipt = KeptReceipt.decode(data)
            if receipt.index not in kept:
                kept[receipt.index] = receipt
                await self._keep_receipt(key, receipt)


def _receipt_key(key: PairKey, index: int) -> str:
    return f"{key.name}/{index}"


def _read(entry: JournalEntry) -> _PairPart:
    try:
        return _PairPart.from_wire(canonical.decode(entry.body, bytes_max=_BODY_BYTES_MAX))
    except (RemoteProtocolError, ValueError) as error:
        raise StoreError(
            "the record of a pair's payments cannot be read",
            code="account_torn",
            hint="Restore the database from a backup that is not older than the newest voucher.",
        ) from error
