"""A pair whose requester is this node: it opens the sessions, signs vouchers, and sets money aside for its worker."""

import logging
from collections.abc import Callable

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.outcomes import told_code
from skyops_p2p.core.machine import Effect
from skyops_p2p.core.rules import SETTLE_PROTOCOL
from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.account import Account
from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount
from skyops_p2p.core.settlement.funds import PairFunds
from skyops_p2p.core.settlement.gaps import GapBound
from skyops_p2p.core.settlement.lanes import Lane, LaneTerms, Stage
from skyops_p2p.core.settlement.payer import Payer
from skyops_p2p.core.settlement.vouchers import PairTerms
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.lease_link import LeaseLink
from skyops_p2p.node.settlement.live_pair import LivePair
from skyops_p2p.node.settlement.pay_link import FROM_PAYEE
from skyops_p2p.node.settlement.tools import LaneUser, PayTools, account_of
from skyops_p2p.types import MonotonicS, PeerId, Wei

log = logging.getLogger(__name__)

TEXTS = {
    "no_answer": "the worker did not answer the offer to be paid",
    "meters_apart": "the worker counts more or less time than this node: nothing more is paid",
    "ledger_behind": "the worker holds a newer voucher than this node knows of: its database was put back to an older "
    "state, or two nodes share the wallet",
    "voucher_refused": "the worker refuses a voucher that is right",
    "not_secured": "the worker wants more money set aside for it on chain than there is yet",
    "unpaid": "the worker says that it was not paid",
}
"""Code -> what is told, where the code alone is known."""


class PayerPair(LivePair):
    """One pair, as its requester.

    Args:
        peer: The worker.
        terms: Who pays whom.
        tools: Of the node.
        shared_wei: Returns how much of the shared deposit is this pair's to promise.
        left_ms: Bounds what is paid for time that nobody saw.
        account: From the journal.
        seen: What was seen of its money before a restart.
    """

    def __init__(
        self,
        peer: PeerId,
        terms: PairTerms,
        tools: PayTools,
        shared_wei: "Callable[[PayerPair], int]",
        *,
        left_ms: GapBound,
        account: Account | None = None,
        seen: PairFunds | None = None,
    ) -> None:
        now = MonotonicS(trio.current_time())
        self.machine = Payer(terms, tools.wallet, tools.ledger.chain, now, account=account, left_ms=left_ms)
        super().__init__(peer, self.machine, tools, seen=seen)
        self._shared_wei = shared_wei
        self._unclaimed = set(self.account.lanes)
        """Lanes of before a restart that no lease has claimed again."""
        self._terms: dict[bytes, LaneTerms] = {}
        self.asked_for: dict[bytes, LaneTerms] = {}
        """Lanes whose worker wants more set aside for it first, by name."""
        self._wanted = trio.Event()

    @property
    def unsecured_wei(self) -> Wei:
        """What this pair may need beyond what is set aside for it: it comes out of the shared deposit."""
        funds = self.funds
        secured = 0 if funds is None else funds.redeemed + funds.allotted
        return Wei(max(self.account.need_wei - secured, 0))

    @property
    def rate_wei(self) -> Wei:
        """Of all lanes, and of those that wait for an allotment, for an hour."""
        return Wei(self.account.rate_wei + sum(terms.rate_wei for terms in self.asked_for.values()))

    @property
    def secured_need_wei(self) -> Wei:
        """What must be set aside, with what was redeemed of it, so that all these lanes are covered by that alone."""
        waiting = sum(Lane(terms).need_wei for terms in self.asked_for.values())
        return Wei(self.account.need_wei + waiting)

    @property
    def is_secured(self) -> bool:
        """Whether what is set aside covers all that."""
        funds = self.funds
        return funds is not None and funds.redeemed + funds.allotted >= self.secured_need_wei

    @property
    def refund_wei(self) -> Wei:
        """What comes back if everything stops now."""
        return self.machine.refund_wei

    async def begin(self, terms: LaneTerms, user: LaneUser) -> None:
        """Pay a lease from now on, or go on paying it after a restart."""
        self._unclaimed.discard(terms.lane)
        self.users[terms.lane], self._terms[terms.lane] = user, terms
        self._wanted.set()
        await self.post(ev.LaneBegun(terms))

    async def run(self) -> None:
        """Drive the pair until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_linked)
            nursery.start_soon(self._let_go_unclaimed)
            await super().run()

    def _money(self) -> ev.FundsSeen:
        funds = self.funds
        if funds is None:
            return ev.FundsSeen(0, 0, 0)
        return ev.FundsSeen(funds.redeemed, funds.allotted, self._shared_wei(self), self._leaves_at())

    def _stop(self, lane: bytes, code: str, *, is_from_peer: bool) -> None:
        terms = self._terms.get(lane)
        if is_from_peer:
            code = "not_secured" if code == "deposit_too_small" else told_code(code)
        text = TEXTS.get(code, f"the payment ended: {code}")
        if code == "deposit_too_small" and terms is not None:
            text = self._too_small(terms)
        user = self.users.pop(lane, None)
        if user is not None:
            user.lane_stopped(code, text)

    def _closed(self, lane: bytes) -> None:
        super()._closed(lane)
        self._terms.pop(lane, None)

    def _too_small(self, terms: LaneTerms) -> str:
        """Say how much is missing, and how it is added. Rules: SET-22."""
        lane = self.account.lanes.get(terms.lane)
        need_wei = self.account.need_wei + (0 if lane is not None else Lane(terms).need_wei)
        have_wei = self.machine.funds_wei
        missing_wei = max(need_wei - have_wei, 1)
        hour_wei = max(terms.rate_wei, missing_wei)
        return (
            f"the deposit is too small: at {format_amount(terms.rate_wei, SKYOPS)} an hour at least "
            f"{format_amount(missing_wei, SKYOPS)} more are needed; `skyops wallet deposit "
            f'"{format_amount(hour_wei, SKYOPS)}"` adds an hour\'s worth'
        )

    def _perform_own(self, effect: Effect) -> None:
        if isinstance(effect, ev.WarnRunway):
            text = f"the deposit lasts {effect.seconds} s more at the present rates; `skyops wallet deposit` adds to it"
            log.warning("runway_low pair=%s seconds=%d", self.key.name, effect.seconds)
            self._tools.tell("payment", self.peer, text)

    async def _let_go_unclaimed(self) -> None:
        """Lapse lanes of before a restart whose lease nobody takes up again. Rules: SET-18."""
        await trio.sleep(limits.LEASE_TTL_S)
        for lane in list(self._unclaimed):
            known = self.account.lanes.get(lane)
            if known is not None and known.stage is not Stage.FINISHED:
                await self.post(ev.LaneLapsed(lane))

    # --- the session ----------------------------------------------------------------------------------------------
    async def _keep_linked(self) -> None:
        """Have a session while there is anything to be said, until cancelled."""
        pause_s = limits.PAY_RESEND_MS / 1000
        while True:
            if not self.is_at_work:
                self._wanted = trio.Event()
                await self._wanted.wait()
            try:
                link = await self._open()
            except SkyopsError as error:
                log.info("pay_link_failed pair=%s code=%s", self.key.name, error.code)
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, limits.SETTLE_BACKOFF_S_MAX)
                continue
            pause_s = limits.PAY_RESEND_MS / 1000
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._close_idle, link)
                await self.carry(link)
                nursery.cancel_scope.cancel()
            await trio.sleep(pause_s)

    async def _open(self) -> LeaseLink:
        """Open a session with the worker.

        Raises:
            SkyopsError: It cannot be reached, or another wallet answers.
        """
        session = await self._tools.open_session(self.peer, SETTLE_PROTOCOL)
        if account_of(session.wallet) != self.terms.worker:
            await session.aclose("wrong_pair")
            raise SkyopsError("the worker has another wallet than it had", code="wrong_pair")
        return LeaseLink(session, FROM_PAYEE)

    async def _close_idle(self, link: LeaseLink) -> None:
        """Close a session that has had nothing to say for a while."""
        idle_s = 0.0
        while idle_s < limits.SETTLE_IDLE_S:
            await trio.sleep(limits.FUNDS_POLL_S)
            idle_s = 0.0 if self.is_at_work else idle_s + limits.FUNDS_POLL_S
        await link.aclose("done")
