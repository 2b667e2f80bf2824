"""A pair whose worker is this node: it takes vouchers, and counts on money that is not its own only so far."""

import logging
from collections.abc import Callable, Sequence

import trio

from skyops_p2p.core.execution.outcomes import stop_code
from skyops_p2p.core.machine import Effect
from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.account import Account
from skyops_p2p.core.settlement.funds import PairFunds
from skyops_p2p.core.settlement.lanes import LaneTerms
from skyops_p2p.core.settlement.meters import NOTHING
from skyops_p2p.core.settlement.payee import Payee
from skyops_p2p.core.settlement.vouchers import PairTerms
from skyops_p2p.errors import StoreError
from skyops_p2p.node.settlement.lane_usage import LaneUsage
from skyops_p2p.node.settlement.live_pair import LivePair
from skyops_p2p.node.settlement.records import KeptReceipt, PairKey
from skyops_p2p.node.settlement.tools import LaneUser, PayTools
from skyops_p2p.types import MonotonicS, PeerId, Wei
from skyops_p2p.wire.messages.settlement import HalfPart, SignedReceipt
from skyops_p2p.wire.model import decode_message

log = logging.getLogger(__name__)


class PayeePair(LivePair):
    """One pair, as its worker.

    Args:
        peer: The requester.
        terms: Who pays whom.
        tools: Of the node.
        redeem_soon: Called when the newest voucher should be redeemed at once.
        account: From the journal.
        seen: What was seen of its money before a restart.
        unredeemed_since_unix_ms: From the journal.
    """

    def __init__(
        self,
        peer: PeerId,
        terms: PairTerms,
        tools: PayTools,
        redeem_soon: Callable[[], None],
        *,
        account: Account | None = None,
        seen: PairFunds | None = None,
        unredeemed_since_unix_ms: int = 0,
    ) -> None:
        now = MonotonicS(trio.current_time())
        halves = _halves_of(account, tools.ledger.receipts(PairKey.of(terms, is_payer=False)))
        self.machine = Payee(
            terms, tools.wallet, tools.ledger.chain, now, account=account, halves=halves, takes_holdback=True
        )
        super().__init__(peer, self.machine, tools, seen=seen)
        self.is_redemption_asked = False
        """The machine wants the newest voucher redeemed: the money behind it may leave."""
        self._redeem_soon = redeem_soon
        self._since_unix_ms = unredeemed_since_unix_ms

    @property
    def unredeemed_wei(self) -> Wei:
        """What the newest voucher is worth beyond what was redeemed, whatever is deposited."""
        redeemed = 0 if self.funds is None else self.funds.redeemed
        return Wei(max(self.account.cumulative - redeemed, 0))

    @property
    def unsecured_wei(self) -> Wei:
        """What is promised beyond what is set aside for this worker."""
        allotted = 0 if self.funds is None else self.funds.allotted
        return Wei(max(self.unredeemed_wei - allotted, 0))

    @property
    def unredeemed_since_unix_ms(self) -> int:
        """Since when there is something to redeem; 0: there is nothing."""
        if self.unredeemed_wei < self.terms.unit_wei:
            self._since_unix_ms = 0
        elif not self._since_unix_ms:
            self._since_unix_ms = self._tools.ledger.now_ms()
        return self._since_unix_ms

    def note_redeemed(self) -> None:
        """Begin to count anew: a redemption has ended."""
        self._since_unix_ms, self.is_redemption_asked = 0, False
        self.look_now()

    async def expect(self, terms: LaneTerms, user: LaneUser) -> None:
        """Wait for the lane of a lease that stands, or is about to."""
        self.users[terms.lane] = user
        await self.post(ev.LaneExpected(terms))

    async def forget_unoffered(self, lane: bytes) -> None:
        """Forget the lane of a lease that has ended before its requester has offered it."""
        record = self._tools.ledger.lanes.get(lane)
        if lane in self.account.lanes or self.users.pop(lane, None) is None or record is None:
            return
        ended = record.ended("not_offered", 0, NOTHING, now=self._tools.ledger.now_ms())
        try:
            await self._tools.ledger.note_lane(ended)
        except StoreError as error:  # the next start ends it
            log.info("lane_end_not_stored lane=%s code=%s", lane.hex()[:12], error.code)

    def note_usage(self, lane: bytes, usage: LaneUsage) -> None:
        """Remember what a lane's run has used besides time."""
        self._tools.ledger.note_usage(lane, usage)

    def _money(self) -> ev.FundsSeen:
        """Count on what is set aside, and on what is shared, or was never seen, only so far. Rules: SET-12."""
        funds, unsecured_max_wei = self.funds, self._tools.rules.unsecured_max_wei
        if funds is None:
            return ev.FundsSeen(0, 0, unsecured_max_wei)
        shared = min(funds.shared, unsecured_max_wei)
        return ev.FundsSeen(funds.redeemed, funds.allotted, shared, self._leaves_at())

    def _stop(self, lane: bytes, code: str, *, is_from_peer: bool) -> None:
        user = self.users.pop(lane, None)
        if user is not None:
            user.lane_stopped(stop_code(code) if is_from_peer else code, "")

    def _perform_own(self, effect: Effect) -> None:
        if isinstance(effect, ev.RedeemVoucher):
            log.info("redemption_asked pair=%s code=%s", self.key.name, effect.code)
            self.is_redemption_asked = True
            self._redeem_soon()


def _halves_of(account: Account | None, kept: Sequence[KeptReceipt]) -> tuple[HalfPart, ...]:
    """Return the worker's halves of the newest voucher's receipts, all of them or none. Rules: SET-13."""
    voucher = None if account is None else account.voucher
    if account is None or voucher is None:
        return ()
    first = account.receipts.count - len(voucher.receipts)
    datas = [one.data for one in kept if one.index >= first]
    signed = [decode_message(SignedReceipt, data).worker for data in datas if data is not None]
    halves = tuple(half for half in signed if half is not None)
    return halves if len(halves) == len(voucher.receipts) else ()
