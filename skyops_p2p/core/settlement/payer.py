"""The requester's side of a pair: it offers lanes, compares meters and signs vouchers, one at a time.

While a voucher waits for its answer, meters of other lanes wait too and go into the next one together. What is signed
is stored before it is sent, and sent again until it is answered. Nothing is signed that the deposit does not cover, for
more than this side has metered itself, or for a lease that has lapsed. Spec: protocol/07-settlement.md, "Requester".
Diagram: machines/settlement-payer.
"""

from collections.abc import Sequence
from enum import Enum
from itertools import zip_longest
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Machine, Table, to
from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.account import Account
from skyops_p2p.core.settlement.amounts import wei_from_bytes, wei_to_bytes
from skyops_p2p.core.settlement.gaps import GapBound, Gaps, unbounded
from skyops_p2p.core.settlement.lanes import Lane, Stage, after, offer_of, receipt_of, stop_of
from skyops_p2p.core.settlement.meters import NOTHING, Counts, are_apart, later
from skyops_p2p.core.settlement.pay_events import ReceiptChain, SendToPeer
from skyops_p2p.core.settlement.prices import charge, refund, runway_s
from skyops_p2p.core.settlement.receipts import join_half, leaf_of, sign_half, with_half
from skyops_p2p.core.settlement.vouchers import PairTerms, sign_voucher
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.types import MonotonicS, Wei
from skyops_p2p.wire.messages.settlement import HalfPart, VoucherItemPart
from skyops_p2p.wire.model import encode_message


class PayerState(Enum):
    """Whether a voucher is under way."""

    CLEAR = "clear"
    """Every voucher that was signed has been answered."""
    OUT = "out"
    """One waits for its answer."""
    ENDED = "ended"
    """The worker holds more than this side knows of, or refuses what is right: a person must look."""


_CL, _O, _E = PayerState.CLEAR, PayerState.OUT, PayerState.ENDED
_EVENTS = (
    ev.LaneBegun,
    ev.LaneAnswerHeard,
    ev.LaneStopHeard,
    ev.MeterRead,
    ev.LaneLapsed,
    ev.LinkRestored,
)
_PAYING = (ev.MeterHeard, ev.LaneFinished, ev.FundsSeen, DeadlineReached)
"""After these a meter may be ready to be paid."""


class Payer(Machine[PayerState]):
    """One pair, as its requester sees it.

    Args:
        pair: Who pays whom.
        wallet: Signs; the pair's requester.
        chain: This wallet's chain of receipts, shared by all its pairs.
        now: When it begins, or is restored.
        account: From the journal, after a restart.
        left_ms: Bounds what is believed of time that nobody saw by what a job may cost.
    """

    TRANSITIONS: ClassVar[Table] = {
        **{(_CL, event): to(_CL) for event in _EVENTS},
        **{(_CL, event): to(_CL, _O) for event in _PAYING},
        (_CL, ev.VoucherAnswerHeard): to(_CL, _E),
        **{(_O, event): to(_O) for event in (*_EVENTS, *_PAYING)},
        (_O, ev.VoucherAnswerHeard): to(_O, _CL, _E),
        **{(_E, event): to(_E) for event in (*_EVENTS, *_PAYING, ev.VoucherAnswerHeard)},
    }

    def __init__(
        self,
        pair: PairTerms,
        wallet: Wallet,
        chain: ReceiptChain,
        now: MonotonicS,
        *,
        account: Account | None = None,
        left_ms: GapBound = unbounded,
    ) -> None:
        self.account = account or Account()
        super().__init__(_O if self.account.is_out else _CL)
        self.pair = pair
        self.code = ""
        """Why it ended."""
        self._wallet = wallet
        self._chain = chain
        self._funds = ev.FundsSeen(0, 0, 0)
        self._is_warned = False
        lanes = self.account.lanes
        self._bases = {name: lane.own for name, lane in lanes.items()}
        """What a lane's meter had counted before this machine began."""
        self._gaps = Gaps(lanes, left_ms)
        self._resend_at = {name: now for name, lane in lanes.items() if lane.stage is Stage.OFFERED}
        """When an offer is sent again."""
        self._ends_at = {
            name: after(now, lane.patience_ms)
            for name, lane in lanes.items()
            if lane.stage is not Stage.RUNNING
        }
        """When an offer, or the last meter of a lane, is not waited for any longer."""
        self._voucher_at = now
        self._voucher_pause_ms = limits.PAY_RESEND_MS

    @property
    def funds_wei(self) -> int:
        """What was deposited for this pair, with what was redeemed of it."""
        return self._funds.redeemed + self._funds.allotted + self._funds.shared

    @property
    def runway_s(self) -> int | None:
        """For how many seconds the deposit lasts; None while no lane runs. Rules: SET-22."""
        return runway_s(self.funds_wei, self.account.cumulative, self.account.rate_wei)

    @property
    def refund_wei(self) -> Wei:
        """What comes back if everything stops now. Rules: SET-22."""
        funds = self._funds.allotted + self._funds.shared
        return refund(funds, self.account.cumulative, self._funds.redeemed)

    def bound_wei(self, name: bytes, ahead_ms: int) -> Wei:
        """Return what a lane costs at most if it ends in `ahead_ms`; 0: there is none."""
        lane = self.account.lanes.get(name)
        if lane is None:
            return Wei(0)
        runtime_ms = lane.own.runtime_ms + self._gaps.most_ms(lane) + ahead_ms
        return Wei(max(charge(lane.terms.rate_wei, runtime_ms), lane.paid) + self.pair.unit_wei)

    def next_deadline(self) -> MonotonicS | None:
        """See Machine."""
        if self.state is _E:
            return None
        instants = [*self._resend_at.values(), *self._ends_at.values()]
        if self.state is _O:
            instants.append(self._voucher_at)
        return min(instants, default=None)

    def check_invariants(self) -> None:
        """See Machine."""
        self.account.check_invariants()
        assert (self.state is _E) == bool(self.code)
        assert self.state is _E or (self.state is _O) == self.account.is_out
        assert len(self.account.lanes) <= limits.LANES_PER_PAIR_MAX
        assert set(self._resend_at) | set(self._ends_at) | self._gaps.lanes <= set(self.account.lanes)

    # --- lanes ----------------------------------------------------------------------------------------------------
    def _on_lane_begun(self, event: ev.LaneBegun, now: MonotonicS) -> list[Effect]:
        lane = Lane(event.terms)
        name = event.terms.lane
        if name in self.account.lanes:
            return []
        code = ""
        if self.state is _E or len(self.account.lanes) >= limits.LANES_PER_PAIR_MAX:
            code = self.code or "busy"
        elif self.account.need_wei + lane.need_wei > self.funds_wei:  # SET-12
            code = "deposit_too_small"
        if code:
            return [ev.StopLane(name, code), ev.CloseLane(name, code, 0)]
        self.account.lanes[name] = lane
        self._bases[name] = NOTHING
        self._resend_at[name] = after(now, limits.PAY_RESEND_MS)
        self._ends_at[name] = after(now, lane.patience_ms)
        return [self._store(), SendToPeer(offer_of(lane.terms, self.pair)), *self._runway()]

    def _on_lane_answer_heard(self, event: ev.LaneAnswerHeard, _now: MonotonicS) -> list[Effect]:
        name = event.message.lane
        lane = self.account.lanes.get(name)
        if lane is None:
            return []
        code = event.message.code
        if lane.stage is not Stage.OFFERED:
            is_missed = lane.stage is Stage.FINISHED and lane.interval == 0 and lane.meter is None
            return self._stored(self._drop(name, code)) if is_missed and code != "taken" else []  # SET-4
        if code != "taken":
            return self._stored([ev.StopLane(name, code), *self._drop(name, code)])
        self._begin(lane)
        return [self._store()]

    def _on_lane_finished(self, event: ev.LaneFinished, now: MonotonicS) -> list[Effect]:
        lane = self.account.lanes.get(event.lane)
        if lane is None or lane.stage is Stage.FINISHED:
            return []
        self._resend_at.pop(event.lane, None)
        lane.stage, lane.facts = Stage.FINISHED, event.facts
        self._ends_at[event.lane] = after(now, limits.PAY_LAST_WAIT_MS)
        return [self._store(), *self._pay(now)]

    def _on_lane_lapsed(self, event: ev.LaneLapsed, _now: MonotonicS) -> list[Effect]:
        """Charge nothing further: what was not signed is not. Rules: SET-18."""
        if event.lane not in self.account.lanes:
            return []
        return self._stored(self._drop(event.lane, "lapsed"))

    def _on_lane_stop_heard(self, event: ev.LaneStopHeard, _now: MonotonicS) -> list[Effect]:
        name = event.message.lane
        if name not in self.account.lanes:
            return []
        return self._stored([ev.StopLane(name, event.message.code), *self._drop(name, event.message.code)])

    # --- meters ---------------------------------------------------------------------------------------------------
    def _on_meter_read(self, event: ev.MeterRead, _now: MonotonicS) -> list[Effect]:
        lane = self.account.lanes.get(event.lane)
        if lane is not None and lane.stage is not Stage.FINISHED:
            lane.own = later(lane.own, self._bases[event.lane] + event.counts)
            self._gaps.note(event.lane, event.unseen_ms)
        return []

    def _on_meter_heard(self, event: ev.MeterHeard, now: MonotonicS) -> list[Effect]:
        message = event.message
        lane = self.account.lanes.get(message.lane)
        if lane is None:
            return self._unknown(message.lane)
        if lane.interval + 1 < message.interval:  # SET-21
            return self._stored(self._stop(message.lane, "ledger_behind"))
        if message.interval <= lane.interval or lane.meter is not None:
            return []
        self._begin(lane)
        lane.meter, lane.is_last = Counts.of(message.counts), message.is_last
        self._fill_gap(lane)
        return self._pay(now)

    def _unknown(self, name: bytes) -> list[Effect]:
        """Tell a worker that its lane is over, unless the voucher that ended it is still under way."""
        newest = self.account.voucher
        if self.account.is_out and newest is not None and any(item.lane == name for item in newest.items):
            return []
        return [SendToPeer(stop_of(name, "unknown_lane"))]

    def _fill_gap(self, lane: Lane) -> None:
        """Believe the worker about the time in which it could not be seen, one interval at most. Rules: SET-20."""
        believed_ms = self._gaps.fill(lane)
        name = lane.terms.lane
        self._bases[name] = self._bases[name] + Counts(runtime_ms=believed_ms)

    # --- vouchers -------------------------------------------------------------------------------------------------
    def _pay(self, now: MonotonicS) -> list[Effect]:
        """Sign a voucher for the meters that wait, if none is under way. Rules: SET-6, SET-7, SET-11."""
        if self.state is not _CL:
            return []
        items: list[VoucherItemPart] = []
        receipts: list[bytes] = []
        endings: list[Effect] = []
        ready = [lane for lane in self.account.lanes.values() if lane.is_ready]
        for lane in ready[: limits.VOUCHER_ITEMS_MAX]:
            meter, name = lane.meter, lane.terms.lane
            assert meter is not None
            least_wei = self.pair.unit_wei if lane.has_receipt else 1
            amount = lane.cost(lane.own, meter, least_wei=least_wei)
            if self.account.cumulative + amount - lane.paid > self.funds_wei:  # SET-12
                endings += self._stop(name, "deposit_too_small")
                continue
            items.append(VoucherItemPart(lane=name, interval=lane.interval + 1, counts=lane.own.part()))
            self.account.cumulative += amount - lane.paid
            has_receipt, is_apart, is_last = lane.has_receipt, are_apart(lane.own, meter), lane.is_last
            paid = lane.paid_with(lane.own, meter, amount)
            self.account.lanes[name] = paid
            if has_receipt:
                receipts.append(self._sign_receipt(paid, meter))
            if is_last:
                endings += self._drop(name, "paid")
            elif is_apart:  # SET-6
                endings += self._stop(name, "meters_apart")
        if not items:
            return self._stored(endings) if endings else []
        self.account.voucher = sign_voucher(
            self.pair,
            self._wallet,
            cumulative=self.account.cumulative,
            receipts_root=self.account.receipts.root,
            items=tuple(items),
            receipts=tuple(receipts),
        )
        self.state, self.account.is_out = _O, True
        self._voucher_pause_ms = limits.PAY_RESEND_MS
        return [self._store(), *self._send_voucher(now), *endings, *self._runway()]

    def _sign_receipt(self, lane: Lane, worker: Counts) -> bytes:
        """Sign this side's half of a lane's receipt and put it into the tree. Rules: SET-13, SET-16.

        The receipt names the cumulative amount up to its own item.
        """
        receipt = receipt_of(self.pair, lane, lane.own, worker, cumulative=self.account.cumulative)
        data = encode_message(receipt)
        half, self._chain.place = sign_half(data, self._chain.place, self._wallet, self.pair.domain)
        self.account.receipts = self.account.receipts.with_leaf(leaf_of(receipt))
        return with_half(data, requester=half)

    def _send_voucher(self, now: MonotonicS) -> list[Effect]:
        assert self.account.voucher is not None
        self._voucher_at = after(now, self._voucher_pause_ms)
        self._voucher_pause_ms = min(2 * self._voucher_pause_ms, limits.PAY_INTERVAL_MS_MAX)
        return [SendToPeer(self.account.voucher)]

    def _on_voucher_answer_heard(self, event: ev.VoucherAnswerHeard, now: MonotonicS) -> list[Effect]:
        message = event.message
        if self.state is _E:
            return []
        if wei_from_bytes(message.newest) > self.account.cumulative:  # SET-21
            return self._end("ledger_behind")
        if self.state is not _O or message.answers != wei_to_bytes(self.account.cumulative):
            return []
        if message.code == "deposit_too_small":  # it is taken once the worker has seen the deposit
            return []
        if message.code != "taken":
            return self._end("voucher_refused")
        self.state, self.account.is_out = _CL, False
        kept = self._keep_receipts(message.halves)
        return [self._store(), *kept, *self._pay(now)]

    def _keep_receipts(self, halves: Sequence[HalfPart]) -> list[Effect]:
        """Join the worker's halves to the newest voucher's receipts; a wrong one is left out. Rules: SET-13."""
        voucher = self.account.voucher
        assert voucher is not None
        first = self.account.receipts.count - len(voucher.receipts)
        paired = zip_longest(voucher.receipts, halves[: len(voucher.receipts)])
        return [
            ev.KeepReceipt(join_half(data, half, self.pair.worker, self.pair.domain), number)
            for number, (data, half) in enumerate(paired, first)
        ]

    # --- the rest -------------------------------------------------------------------------------------------------
    def _on_funds_seen(self, event: ev.FundsSeen, now: MonotonicS) -> list[Effect]:
        self._funds = event
        self._voucher_pause_ms = limits.PAY_RESEND_MS
        return [*self._runway(), *self._pay(now)]

    def _on_link_restored(self, _event: ev.LinkRestored, now: MonotonicS) -> list[Effect]:
        self._voucher_pause_ms = limits.PAY_RESEND_MS
        effects: list[Effect] = []
        for name in self._resend_at:
            effects.append(SendToPeer(offer_of(self.account.lanes[name].terms, self.pair)))
            self._resend_at[name] = after(now, limits.PAY_RESEND_MS)
        return [*effects, *(self._send_voucher(now) if self.state is _O else [])]

    def _on_deadline_reached(self, _event: DeadlineReached, now: MonotonicS) -> list[Effect]:
        if self.state is _E:
            return []
        effects: list[Effect] = []
        for name in [name for name, at in self._ends_at.items() if at <= now]:
            is_offered = self.account.lanes[name].stage is Stage.OFFERED
            effects += self._stop(name, "no_answer") if is_offered else self._drop(name, "no_last_meter")
        if effects:
            effects = self._stored(effects)
        for name in [name for name, at in self._resend_at.items() if at <= now]:
            effects.append(SendToPeer(offer_of(self.account.lanes[name].terms, self.pair)))
            self._resend_at[name] = after(now, limits.PAY_RESEND_MS)
        if self.state is _O and self._voucher_at <= now:
            effects += self._send_voucher(now)
        return effects

    def _begin(self, lane: Lane) -> None:
        """Take a lane as taken: the worker said so, or has metered it."""
        if lane.stage is Stage.OFFERED:
            lane.stage = Stage.RUNNING
            self._resend_at.pop(lane.terms.lane, None)
            self._ends_at.pop(lane.terms.lane, None)

    def _stop(self, name: bytes, code: str) -> list[Effect]:
        """Forget a lane whose run must end, and tell the worker."""
        return [SendToPeer(stop_of(name, code)), ev.StopLane(name, code), *self._drop(name, code)]

    def _drop(self, name: bytes, code: str) -> list[Effect]:
        """Forget a lane."""
        lane = self.account.lanes.pop(name)
        self._bases.pop(name, None)
        self._resend_at.pop(name, None)
        self._ends_at.pop(name, None)
        self._gaps.forget(name)
        return [ev.CloseLane(name, code, lane.paid, lane.billed)]

    def _end(self, code: str) -> list[Effect]:
        self.state, self.code = _E, code
        return self._stored(
            [effect for name in list(self.account.lanes) for effect in self._stop(name, code)]
        )

    def _stored(self, effects: list[Effect]) -> list[Effect]:
        """Put the record, as it is now, before what follows from it."""
        return [self._store(), *effects]

    def _store(self) -> Effect:
        return ev.StoreAccount(self.account.encode(), self._chain.place)

    def _runway(self) -> list[Effect]:
        """Tell once that the deposit runs low. Rules: SET-22."""
        left = self.runway_s
        is_low = left is not None and left < limits.RUNWAY_LOW_S
        is_news, self._is_warned = is_low and not self._is_warned, is_low
        return [ev.WarnRunway(left)] if is_news and left is not None else []
