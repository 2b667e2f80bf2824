"""The worker's side of a pair: it meters, takes vouchers, and stops computing when none comes.

A program runs only while the work that is not paid stays within an interval and the grace, and while the allotment
covers what is promised and that. A voucher is stored before it is answered, and the newest is never given up: it is all
that is needed to redeem everything. Spec: protocol/07-settlement.md, "Worker". Diagram: machines/settlement-payee.
"""

from enum import Enum
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Machine, Table, to
from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.account import Account, terms_from
from skyops_p2p.core.settlement.amounts import wei_to_bytes
from skyops_p2p.core.settlement.intake import Taken, take_voucher
from skyops_p2p.core.settlement.lanes import Lane, LaneTerms, Stage, Watch, after, stop_of
from skyops_p2p.core.settlement.meters import later
from skyops_p2p.core.settlement.pay_events import ReceiptChain, SendToPeer
from skyops_p2p.core.settlement.prices import runway_s
from skyops_p2p.core.settlement.vouchers import PairTerms
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.messages.settlement import (
    HalfPart,
    LaneAnswer,
    LaneOffer,
    Meter,
    VoucherAnswer,
)


class PayeeState(Enum):
    """Whether this side works, and is paid for it."""

    QUIET = "quiet"
    """No lane."""
    SERVING = "serving"
    """All lanes may run."""
    UNPAID = "unpaid"
    """A lane at least is paused for want of a voucher or of a deposit."""


_Q, _S, _U = PayeeState.QUIET, PayeeState.SERVING, PayeeState.UNPAID
_EVENTS = (
    ev.LaneExpected,
    ev.LaneOfferHeard,
    ev.LaneFinished,
    ev.LaneLapsed,
    ev.LaneStopHeard,
    ev.MeterRead,
    ev.VoucherHeard,
    ev.FundsSeen,
    ev.LinkRestored,
    DeadlineReached,
)


class Payee(Machine[PayeeState]):
    """One pair, as its worker sees it.

    Args:
        pair: Who pays whom.
        wallet: Signs receipts; the pair's worker.
        chain: This wallet's chain of receipts, shared by all its pairs.
        now: When it begins, or is restored.
        account: From the journal, after a restart: its runs are lost (EXE-9), but what is out may still be paid.
        halves: This side's halves of the newest voucher's receipts, from the journal: its answer may have been lost.
        takes_holdback: A new pair's first offer says how much is held back; else it must be as in `pair`.
    """

    TRANSITIONS: ClassVar[Table] = {
        **{(_Q, event): to(_Q) for event in _EVENTS},
        (_Q, ev.LaneOfferHeard): to(_Q, _S, _U),
        **{(_S, event): to(_Q, _S, _U) for event in _EVENTS},
        **{(_U, event): to(_Q, _S, _U) for event in _EVENTS},
    }

    def __init__(
        self,
        pair: PairTerms,
        wallet: Wallet,
        chain: ReceiptChain,
        now: MonotonicS,
        *,
        account: Account | None = None,
        halves: tuple[HalfPart, ...] = (),
        takes_holdback: bool = False,
    ) -> None:
        self.account = account or Account()
        super().__init__(_S if self.account.lanes else _Q)
        self.pair = pair
        self._wallet = wallet
        self._chain = chain
        self._funds = ev.FundsSeen(0, 0, 0)
        self._is_redeeming = False
        self._expected: dict[bytes, LaneTerms] = {}
        self._halves = halves
        """This side's halves of the newest voucher's receipts."""
        self._takes_holdback = takes_holdback
        stop_at = after(now, limits.PAY_STOP_MS)
        self._watches = {
            name: Watch(is_alive=False, stop_at=stop_at, resend_at=now) for name in self.account.lanes
        }

    @property
    def runway_s(self) -> int | None:
        """For how many seconds the deposit lasts; None while no lane runs. Rules: SET-22."""
        return runway_s(self.covered_wei(None), self.account.cumulative, self.account.rate_wei)

    def covered_wei(self, now: MonotonicS | None) -> int:
        """Return what vouchers may add up to. Rules: SET-12.

        Args:
            now: To leave out an allotment that may be taken back soon; None: as if it stayed.
        """
        funds = self._funds
        leaves = funds.leaves_at
        is_leaving = now is not None and leaves is not None and leaves - limits.REDEEM_MARGIN_S <= now
        return funds.redeemed + (0 if is_leaving else funds.allotted + funds.shared)

    def next_deadline(self) -> MonotonicS | None:
        """See Machine."""
        instants: list[MonotonicS] = []
        for watch in self._watches.values():
            instants += [at for at in (watch.pause_at, watch.stop_at, watch.resend_at) if at is not None]
        return min(instants, default=None)

    def check_invariants(self) -> None:
        """See Machine."""
        self.account.check_invariants()
        lanes = self.account.lanes
        assert set(lanes) == set(self._watches)
        assert (self.state is _Q) == (not lanes)
        assert (self.state is _U) == any(watch.paused for watch in self._watches.values())
        assert len(lanes) <= limits.LANES_PER_PAIR_MAX
        assert len(self._expected) <= limits.LANES_EXPECTED_MAX

    # --- lanes ----------------------------------------------------------------------------------------------------
    def _on_lane_expected(self, event: ev.LaneExpected, _now: MonotonicS) -> list[Effect]:
        self._expected[event.terms.lane] = event.terms
        while len(self._expected) > limits.LANES_EXPECTED_MAX:
            del self._expected[next(iter(self._expected))]
        return []

    def _on_lane_offer_heard(self, event: ev.LaneOfferHeard, now: MonotonicS) -> list[Effect]:
        name = event.message.lane
        known = self.account.lanes.get(name)
        try:
            terms = self._check_offer(event.message, now)
        except RemoteProtocolError as error:
            return [_answer(name, error.code)]
        if known is not None:
            return [_answer(name, "taken")]
        del self._expected[name]
        lane = self.account.lanes[name] = Lane(terms)
        self._watches[name] = Watch()
        effects: list[Effect] = [_answer(name, "taken")]
        if terms.prepaid_ms:
            effects += self._send_meter(lane, now)
        else:
            lane.stage = Stage.RUNNING
            effects.append(ev.StartLane(name))
        return self._done([self._store(), *effects])

    def _check_offer(self, offer: LaneOffer, now: MonotonicS) -> LaneTerms:
        """Compare an offer with the pair and with what was agreed. Rules: SET-4, SET-5, SET-12."""
        pair, terms = self.pair, terms_from(offer)
        if offer.chain_id != pair.chain_id:
            raise _refusal("a lane on another chain", "wrong_network", "SET-5")
        if offer.contract != pair.contract:
            raise _refusal("a lane on another contract", "wrong_contract", "SET-5")
        if (offer.requester, offer.token) != (pair.requester, pair.token):
            raise _refusal("a lane of another pair", "wrong_pair", "SET-5")
        known = self.account.lanes.get(offer.lane)
        expected = self._expected.get(offer.lane) if known is None else known.terms
        if expected is None:
            raise _refusal("a lane that nobody waits for", "unknown_lane", "SET-5")
        if self._takes_holdback and not self.account.lanes and not self.account.cumulative:  # SET-27
            self.pair = pair = pair.holding(offer.holdback_bps)
        if terms != expected or offer.holdback_bps != pair.holdback_bps:
            raise _refusal("other terms than were agreed", "wrong_terms", "SET-5")
        if known is None and len(self.account.lanes) >= limits.LANES_PER_PAIR_MAX:
            raise _refusal("too many lanes", "busy", "SET-5")
        if known is None and self.account.need_wei + Lane(terms).need_wei > self.covered_wei(now):
            raise _refusal("the deposit does not cover it", "deposit_too_small", "SET-12")
        return terms

    def _on_lane_finished(self, event: ev.LaneFinished, now: MonotonicS) -> list[Effect]:
        lane, watch = self.account.lanes.get(event.lane), self._watches.get(event.lane)
        self._expected.pop(event.lane, None)
        if lane is None or watch is None or not watch.is_alive:
            return []
        watch.is_alive, watch.paused = False, ""
        lane.stage, lane.facts = Stage.FINISHED, event.facts
        watch.pause_at = None
        watch.stop_at = after(now, limits.PAY_STOP_MS)
        effects = self._send_meter(lane, now) if lane.meter is None else []
        return self._done([self._store(), *effects])

    def _on_lane_lapsed(self, event: ev.LaneLapsed, now: MonotonicS) -> list[Effect]:
        """Charge nothing further; what was metered before may still be paid. Rules: SET-18."""
        return self._done(self._let_go(event.lane, "lapsed", now))

    def _on_lane_stop_heard(self, event: ev.LaneStopHeard, now: MonotonicS) -> list[Effect]:
        name = event.message.lane
        watch = self._watches.get(name)
        if watch is None:
            return []
        told: list[Effect] = [ev.StopLane(name, event.message.code)] if watch.is_alive else []
        return self._done([*told, *self._let_go(name, event.message.code, now)])

    def _let_go(self, name: bytes, code: str, now: MonotonicS) -> list[Effect]:
        lane, watch = self.account.lanes.get(name), self._watches.get(name)
        self._expected.pop(name, None)
        if lane is None or watch is None:
            return []
        watch.is_alive, watch.paused, watch.pause_at = False, "", None
        if lane.meter is None or code == "unknown_lane":  # SET-8
            closed = self._drop(name, code)
            return [self._store(), *closed]
        watch.stop_at = watch.stop_at or after(now, limits.PAY_STOP_MS)
        return []

    # --- meters ---------------------------------------------------------------------------------------------------
    def _on_meter_read(self, event: ev.MeterRead, now: MonotonicS) -> list[Effect]:
        lane, watch = self.account.lanes.get(event.lane), self._watches.get(event.lane)
        if lane is None or watch is None or not watch.is_alive:
            return []
        lane.own = later(lane.own, event.counts)
        is_due = lane.meter is None and lane.own.runtime_ms - watch.metered_ms >= lane.pace_ms
        if not is_due or lane.stage is Stage.OFFERED:
            return []
        sent = self._send_meter(lane, now)
        return self._done([self._store(), *sent])  # SET-19: its voucher may come after a restart

    def _send_meter(self, lane: Lane, now: MonotonicS) -> list[Effect]:
        """Say what was metered, and wait for its voucher. Rules: SET-6."""
        watch = self._watches[lane.terms.lane]
        lane.meter, lane.is_last = lane.own, lane.stage is Stage.FINISHED
        watch.metered_ms = lane.own.runtime_ms
        if watch.is_alive:
            watch.pause_at = after(now, limits.PAY_GRACE_MS)
        watch.stop_at = after(now, limits.PAY_GRACE_MS + limits.PAY_STOP_MS)
        return self._resend(lane, now)

    def _resend(self, lane: Lane, now: MonotonicS) -> list[Effect]:
        assert lane.meter is not None
        watch = self._watches[lane.terms.lane]
        watch.resend_at = after(now, limits.PAY_INTERVAL_MS_MAX if watch.is_kept else limits.PAY_RESEND_MS)
        counts = lane.meter.part()
        message = Meter(lane=lane.terms.lane, interval=lane.interval + 1, counts=counts, is_last=lane.is_last)
        return [SendToPeer(message)]

    # --- vouchers -------------------------------------------------------------------------------------------------
    def _on_voucher_heard(self, event: ev.VoucherHeard, now: MonotonicS) -> list[Effect]:
        voucher = event.message
        if voucher == self.account.voucher:  # it was taken, and the answer was lost
            return [self._voucher_answer(voucher.cumulative, "taken")]
        try:
            taken = take_voucher(voucher, self.pair, self.account, covered_wei=self.covered_wei(now))
        except RemoteProtocolError as error:
            return [self._voucher_answer(voucher.cumulative, error.code)]
        self._sign_receipts(taken)
        self.account.cumulative, self.account.voucher = taken.cumulative, voucher
        self.account.receipts = taken.receipts
        effects: list[Effect] = [
            ev.KeepReceipt(data, number)
            for number, data in enumerate(taken.signed, taken.receipts.count - len(taken.signed))
        ]
        for lane in taken.lanes:
            effects += self._paid(lane, now, is_apart=lane.terms.lane in taken.apart)
        effects += self._cover(now)
        return self._done([self._store(), self._voucher_answer(voucher.cumulative, "taken"), *effects])

    def _sign_receipts(self, taken: Taken) -> None:
        """Add this side's halves. Rules: SET-13, SET-16."""
        self._halves = ()
        for number in range(len(taken.unsigned)):
            half, self._chain.place = taken.sign(number, self._chain.place, self._wallet, self.pair.domain)
            self._halves += (half,)

    def _paid(self, lane: Lane, now: MonotonicS, *, is_apart: bool) -> list[Effect]:
        """Go on with a lane whose interval has been paid."""
        name, watch = lane.terms.lane, self._watches[lane.terms.lane]
        was_offered = self.account.lanes[name].stage is Stage.OFFERED
        self.account.lanes[name] = lane
        was_paused, watch.paused, watch.is_kept = watch.paused, "", False
        watch.pause_at = watch.stop_at = watch.resend_at = None
        if lane.is_last or (not watch.is_alive and lane.stage is not Stage.FINISHED):
            return self._drop(name, "paid" if lane.is_last else "lapsed")
        if is_apart:  # SET-6
            told: list[Effect] = [SendToPeer(stop_of(name, "meters_apart"))]
            told += [ev.StopLane(name, "meters_apart")] if watch.is_alive else []
            return [*told, *self._drop(name, "meters_apart")]
        if not watch.is_alive:
            return self._send_meter(lane, now)
        if was_offered:
            return [ev.StartLane(name)]
        return [ev.ResumeLane(name)] if was_paused else []

    def _voucher_answer(self, answers: bytes, code: str) -> Effect:
        newest = self.account.voucher
        is_newest = code == "taken" and newest is not None and answers == newest.cumulative
        message = VoucherAnswer(
            answers=answers,
            newest=wei_to_bytes(self.account.cumulative),
            code=code,
            halves=self._halves if is_newest else (),
        )
        return SendToPeer(message)

    # --- the rest -------------------------------------------------------------------------------------------------
    def _on_funds_seen(self, event: ev.FundsSeen, now: MonotonicS) -> list[Effect]:
        self._funds = event
        return self._done(self._cover(now))

    def _cover(self, now: MonotonicS) -> list[Effect]:
        """Pause what the deposit does not cover any more, and redeem before it leaves. Rules: SET-12, SET-24."""
        effects: list[Effect] = []
        funds = self._funds
        is_short = self.account.need_wei > self.covered_wei(now)
        is_urgent = funds.leaves_at is not None or self.account.cumulative > self.covered_wei(now)
        if is_urgent and not self._is_redeeming and self.account.cumulative > funds.redeemed:
            effects.append(ev.RedeemVoucher("allotment_leaves" if funds.leaves_at else "deposit_too_small"))
        self._is_redeeming = is_urgent
        for name, watch in self._watches.items():
            if is_short and watch.is_alive and not watch.paused:
                watch.paused = "deposit_too_small"
                watch.stop_at = watch.stop_at or after(now, limits.PAY_STOP_MS)
                effects.append(ev.PauseLane(name, watch.paused))
            elif not is_short and watch.paused == "deposit_too_small":
                watch.paused = ""
                watch.stop_at = None if self.account.lanes[name].meter is None else watch.stop_at
                effects.append(ev.ResumeLane(name))
        return effects

    def _on_link_restored(self, _event: ev.LinkRestored, now: MonotonicS) -> list[Effect]:
        waiting = [lane for lane in self.account.lanes.values() if lane.meter is not None]
        return self._done([effect for lane in waiting for effect in self._resend(lane, now)])

    def _on_deadline_reached(self, _event: DeadlineReached, now: MonotonicS) -> list[Effect]:
        effects: list[Effect] = []
        for name in list(self._watches):
            watch, lane = self._watches[name], self.account.lanes[name]
            if watch.stop_at is not None and watch.stop_at <= now:  # SET-8
                effects += self._stop_unpaid(name, now)
                continue
            if watch.pause_at is not None and watch.pause_at <= now:  # SET-8
                watch.pause_at = None
                if not watch.paused:
                    watch.paused = "unpaid"
                    effects.append(ev.PauseLane(name, watch.paused))
            if watch.resend_at is not None and watch.resend_at <= now:
                watch.resend_at = None
                effects += self._resend(lane, now) if lane.meter is not None else []
        return self._done(effects)

    def _stop_unpaid(self, name: bytes, now: MonotonicS) -> list[Effect]:
        """Stop a run that is not paid. A meter that is out is kept: its voucher may be under way. Rules: SET-8."""
        watch, is_out = self._watches[name], self.account.lanes[name].meter is not None
        code = watch.paused or "unpaid"
        told = [SendToPeer(stop_of(name, code)), ev.StopLane(name, code)] if watch.is_alive else []
        if watch.is_kept or not is_out:
            closed = self._drop(name, code)
            return [self._store(), *told, *closed]
        watch.is_alive, watch.paused, watch.pause_at, watch.is_kept = False, "", None, True
        watch.stop_at = after(now, limits.PAY_KEEP_MS)
        return told

    def _drop(self, name: bytes, code: str) -> list[Effect]:
        """Forget a lane; whoever calls stores the rest."""
        lane = self.account.lanes.pop(name)
        del self._watches[name]
        return [ev.CloseLane(name, code, lane.paid, lane.billed)]

    def _store(self) -> Effect:
        return ev.StoreAccount(self.account.encode(), self._chain.place)

    def _done(self, effects: list[Effect]) -> list[Effect]:
        """Say what the lanes make of this side."""
        if not self.account.lanes:
            self.state = _Q
        else:
            self.state = _U if any(watch.paused for watch in self._watches.values()) else _S
        return effects


def _answer(name: bytes, code: str) -> Effect:
    return SendToPeer(LaneAnswer(lane=name, code=code))


def _refusal(text: str, code: str, rule: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, code=code, rule=rule)
