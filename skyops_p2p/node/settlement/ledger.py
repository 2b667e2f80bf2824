"""What all pairs of a node share: where its chain of receipts ends, its journal, its lanes and its receipts.

One step of one pair is taken and written down at a time (`turn`): two receipts are never signed for one place, and
what is written never skips one. Bounds: LANE_RECORDS_MAX, RECEIPTS_KEPT_MAX, RECEIPT_LEAVES_MAX.
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

import trio

from skyops_p2p import limits
from skyops_p2p.core.machine import Effect
from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.lanes import LaneTerms
from skyops_p2p.core.settlement.pay_events import ReceiptChain
from skyops_p2p.core.settlement.trees import GrowingTree, Inclusion, prove
from skyops_p2p.errors import ExecutionError, StoreError
from skyops_p2p.node.settlement.journal import PairState, PayJournal, Restored
from skyops_p2p.node.settlement.lane_usage import LaneUsage
from skyops_p2p.node.settlement.records import KeptReceipt, LaneRecord, PairKey
from skyops_p2p.ports import WallClock

log = logging.getLogger(__name__)


class Ledger:
    """The payments of one node, as they are written down.

    Args:
        journal: On the disk.
        wall_clock: Dates lanes.
        chain: New; None: an honest one.
    """

    def __init__(self, journal: PayJournal, wall_clock: WallClock, chain: ReceiptChain | None = None) -> None:
        self.chain = chain or ReceiptChain()
        """Of this node's wallet."""
        self.turn = trio.Lock()
        """Held while a pair takes a step and writes it down. Rules: SET-16."""
        self.lanes: OrderedDict[bytes, LaneRecord] = OrderedDict()
        """By name, as they began."""
        self.spent_wei: Counter[bytes] = Counter()
        """Job -> what its lanes, and those of its replicas, that have ended have cost this node."""
        self.trouble = ""
        """Why nothing can be written at the moment; empty if it can."""
        self.receipt_kept: Callable[[bytes], None] = lambda _data: None
        """Called with each receipt that is kept, or has more halves; it must not wait."""
        self._journal = journal
        self._wall_clock = wall_clock
        self._receipts: dict[PairKey, dict[int, KeptReceipt]] = {}
        """By pair and place in its tree, without gaps at their end."""
        self._whole: OrderedDict[tuple[PairKey, int], None] = OrderedDict()
        """Receipts that are kept whole, oldest first."""
        self._leaves: OrderedDict[tuple[PairKey, int], None] = OrderedDict()
        """All of which there is a leaf, oldest first."""

    async def restore(self) -> Restored:
        """Read everything back.

        Raises:
            StoreError: It cannot be read; nothing may be signed then.
        """
        found = await self._journal.restore()
        self.chain.place = found.place
        for lane in found.lanes.values():
            self._note(lane)
        for key, receipts in found.receipts.items():
            for index in sorted(receipts):
                self._remember(key, receipts[index])
        open_lanes = {name for state in found.pairs.values() for name in state.account.lanes}
        for lane in list(self.lanes.values()):
            if not lane.is_over and lane.lane not in open_lanes:  # it never came into an account
                await self.note_lane(lane.ended("lost", lane.paid_wei, lane.billed, now=self.now_ms()))
        return found

    def now_ms(self) -> int:
        """Return the wall clock's time."""
        return self._wall_clock.now_ms()

    async def note_lane(self, lane: LaneRecord) -> None:
        """Write down how a lane began or ended; past LANE_RECORDS_MAX the one that ended longest ago goes.

        Raises:
            StoreError: It cannot be written.
        """
        await self._journal.keep_lane(lane)
        self._note(lane)
        await self._trim_lanes()

    def bound_id(self, terms: LaneTerms) -> bytes:
        """Return the job whose bound holds for a lane, 16 bytes."""
        known = self.lanes.get(terms.lane)
        return terms.job_id if known is None else known.bound_id

    def note_usage(self, lane: bytes, usage: LaneUsage) -> None:
        """Remember what a run has used; it is written down with the lane's end. What was signed stays."""
        known = self.lanes.get(lane)
        if known is None or known.is_over or (known.usage is not None and known.usage.is_signed):
            return
        self.lanes[lane] = replace(known, usage=usage)

    async def keep(self, state: PairState, effects: Sequence[Effect]) -> None:
        """Write a step of a pair down if it promises anything; call with `turn` held.

        A full disk is told, and tried again, and holds every payment up meanwhile: nothing is promised that is not
        written.
        """
        stored = next((one for one in reversed(effects) if isinstance(one, ev.StoreAccount)), None)
        lanes = [
            known.ended(effect.code, effect.paid, effect.billed, now=self.now_ms())
            for effect in effects
            if isinstance(effect, ev.CloseLane) and (known := self.lanes.get(effect.lane)) is not None
        ]
        receipts = [
            KeptReceipt.of(effect.data, effect.index)
            for effect in effects
            if isinstance(effect, ev.KeepReceipt)
        ]
        while stored is not None or lanes:
            try:
                if stored is not None:
                    await self._journal.keep(
                        state, stored.record, stored.place, lanes=lanes, receipts=receipts
                    )
                else:
                    for lane in lanes:
                        await self._journal.keep_lane(lane)
                break
            except StoreError as error:
                self.trouble = f"payments wait for the disk: {error.message}"
                log.warning("payment_not_stored pair=%s code=%s", state.key.name, error.code)
                await trio.sleep(limits.FLUSH_INTERVAL_S)
        self.trouble = ""
        for lane in lanes:
            self._note(lane)
        for receipt in receipts:
            self._remember(state.key, receipt)
            if receipt.data is not None:
                self.receipt_kept(receipt.data)
        try:
            await self._trim_lanes()
            await self._trim_receipts()
        except StoreError as error:  # the next step tries again
            log.info("payments_not_trimmed code=%s", error.code)

    def own_receipts(self) -> list[bytes]:
        """Return all receipts that are kept whole."""
        kept = (one for receipts in self._receipts.values() for one in receipts.values())
        return [receipt.data for receipt in kept if receipt.data is not None]

    # --- receipts -------------------------------------------------------------------------------------------------
    def receipts(self, key: PairKey) -> tuple[KeptReceipt, ...]:
        """Return what is kept of a pair's receipts, in the order of its tree."""
        known = self._receipts.get(key, {})
        return tuple(known[index] for index in sorted(known))

    def receipt_of(self, lane: LaneRecord) -> KeptReceipt | None:
        """Return the receipt of a lane, or None."""
        return next((one for one in self.receipts(lane.key) if one.lane == lane.lane), None)

    def proof(self, key: PairKey, index: int, root: bytes) -> Inclusion:
        """Prove a receipt under a root that the pair's tree has or had.

        Args:
            key: The pair.
            index: The receipt's place.
            root: Of the newest voucher, or of an older one that was redeemed.

        Raises:
            ExecutionError: Code `receipt_unprovable`: the tree did not hold it yet, or older leaves are gone.

        Rules: SET-14.
        """
        tree, leaves = GrowingTree(), []
        for place, receipt in enumerate(self.receipts(key)):
            if receipt.index != place:
                break
            leaves.append(receipt.leaf)
            tree = tree.with_leaf(receipt.leaf)
            if tree.root == root and index < tree.count:
                return prove(tuple(leaves), index)
        raise ExecutionError(
            "the receipt is not under that root",
            code="receipt_unprovable",
            hint="Ask again once a newer voucher of the pair has been redeemed: `skyops settle`.",
        )

    def _note(self, lane: LaneRecord) -> None:
        if lane.is_payer and lane.is_over:
            known = self.lanes.get(lane.lane)
            before = known.paid_wei if known is not None and known.is_over else 0
            self.spent_wei[lane.bound_id] += lane.paid_wei - before
        self.lanes[lane.lane] = lane

    def _remember(self, key: PairKey, receipt: KeptReceipt) -> None:
        place = (key, receipt.index)
        self._receipts.setdefault(key, {})[receipt.index] = receipt
        self._leaves[place] = None
        if receipt.data is not None:
            self._whole[place] = None

    async def _trim_receipts(self) -> None:
        while len(self._whole) > limits.RECEIPTS_KEPT_MAX:
            key, index = next(iter(self._whole))
            receipt = self._receipts[key][index]
            await self._journal.shorten_receipt(key, receipt)
            self._receipts[key][index] = receipt.shortened()
            del self._whole[key, index]
        while len(self._leaves) > limits.RECEIPT_LEAVES_MAX:
            key, index = next(iter(self._leaves))
            await self._journal.forget_receipt(key, index)
            del self._leaves[key, index], self._receipts[key][index]
            self._whole.pop((key, index), None)

    async def _trim_lanes(self) -> None:
        while len(self.lanes) > limits.LANE_RECORDS_MAX:
            oldest = next((lane for lane in self.lanes.values() if lane.is_over), None)
            if oldest is None:
                return
            await self._journal.forget_lane(oldest.lane)
            del self.lanes[oldest.lane]
            if not any(lane.bound_id == oldest.bound_id for lane in self.lanes.values()):
                self.spent_wei.pop(oldest.bound_id, None)
