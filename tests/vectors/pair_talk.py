"""Both machines of a pair, driven by the steps of the vectors: events in their JSON form in, effects in theirs out."""

from typing import Any, assert_never

from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.account import Account
from skyops_p2p.core.settlement.lanes import FactsPart, LaneTerms
from skyops_p2p.core.settlement.meters import Counts
from skyops_p2p.core.settlement.payee import Payee
from skyops_p2p.core.settlement.payer import Payer
from skyops_p2p.core.settlement.receipts import ChainPlace
from skyops_p2p.core.settlement.vouchers import PairTerms
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.messages import settlement as msg
from skyops_p2p.wire.model import Message, decode_fields, decode_message, encode_message
from skyops_p2p.wire.registry import message_of

Case = dict[str, Any]


class Side:
    """One side, and what it has stored."""

    def __init__(self, kind: type[Payer] | type[Payee], pair: PairTerms, wallet: Wallet) -> None:
        self._kind, self._pair, self._wallet = kind, pair, wallet
        self._stored = [(-1, Account().encode(), ChainPlace())]
        """(the clock, record, end of the chain of receipts), the newest last."""
        self.machine = kind(pair, wallet, ev.ReceiptChain(), MonotonicS(0.0))

    def take(self, step: Case) -> Case:
        """Let an event happen; return what the step must say of its effects."""
        now = MonotonicS(step["at_ms"] / 1000)
        if step["event"] == "restarted":
            _, record, place = [
                kept for kept in self._stored if kept[0] <= step.get("stored_ms", step["at_ms"])
            ][-1]
            account = Account.decode(record)
            self.machine = self._kind(self._pair, self._wallet, ev.ReceiptChain(place), now, account=account)
            return self._told([])
        effects = list(self.machine.handle(_event(step), now))
        self.machine.check_invariants()
        for effect in effects:
            if isinstance(effect, ev.StoreAccount):
                self._stored.append((step["at_ms"], effect.record, effect.place))
        return self._told(effects)

    def _told(self, effects: list[Effect]) -> Case:
        deadline = self.machine.next_deadline()
        due = {} if deadline is None else {"deadline_ms": round(deadline * 1000)}
        return {"effects": [_effect(effect) for effect in effects], **due}


def sides_of(pair: PairTerms, requester: Wallet, worker: Wallet) -> dict[str, Side]:
    """Return both sides, with nothing between them."""
    return {"alice": Side(Payer, pair, requester), "bob": Side(Payee, pair, worker)}


def terms_written(terms: LaneTerms) -> Case:
    """Write what a lane pays."""
    texts = {"job_id": terms.job_id.hex(), "award": terms.award.hex(), "rate": str(terms.rate_wei)}
    numbers = {name: getattr(terms, name) for name in ("shard", "epoch", "prepaid_ms", "interval_ms_max")}
    return texts | numbers


def _terms(said: Case) -> LaneTerms:
    return LaneTerms(
        bytes.fromhex(said["job_id"]),
        said["shard"],
        said["epoch"],
        bytes.fromhex(said["award"]),
        int(said["rate"]),
        said["prepaid_ms"],
        said["interval_ms_max"],
    )


def facts_written(facts: FactsPart) -> Case:
    """Write what a receipt says of a lease."""
    return {
        name: value.hex() if isinstance(value, bytes) else value for name, value in facts.model_dump().items()
    }


def _facts(said: Case | None) -> FactsPart | None:
    if said is None:
        return None
    names = ("spec_digest", "result", "log_head")
    return FactsPart(
        **{name: bytes.fromhex(value) if name in names else value for name, value in said.items()}
    )


def _event(step: Case) -> Event:
    lane = bytes.fromhex(step.get("lane", ""))
    match step["event"]:
        case "begun":
            lane_terms = _terms(step["terms"])
            return ev.LaneBegun(lane_terms) if step["who"] == "alice" else ev.LaneExpected(lane_terms)
        case "metered":
            return ev.MeterRead(lane, Counts.of(msg.CountsPart(**step["counts"])), step.get("unseen_ms", 0))
        case "finished":
            return ev.LaneFinished(lane, _facts(step["facts"]))
        case "lapsed":
            return ev.LaneLapsed(lane)
        case "funds":
            leaves_at = MonotonicS(step["leaves_at_ms"] / 1000) if "leaves_at_ms" in step else None
            return ev.FundsSeen(int(step["redeemed"]), int(step["allotted"]), int(step["shared"]), leaves_at)
        case "linked":
            return ev.LinkRestored()
        case "deadline":
            return DeadlineReached()
    assert step["event"] == "heard"
    return _heard(bytes.fromhex(step["bytes"]))


def _heard(data: bytes) -> Event:
    message: Message = decode_message(message_of(decode_fields(data, bytes_max=1 << 16)[0]), data)
    kinds: dict[type[Message], Any] = {
        msg.LaneOffer: ev.LaneOfferHeard,
        msg.LaneAnswer: ev.LaneAnswerHeard,
        msg.Meter: ev.MeterHeard,
        msg.Voucher: ev.VoucherHeard,
        msg.VoucherAnswer: ev.VoucherAnswerHeard,
        msg.LaneStop: ev.LaneStopHeard,
    }
    event: Event = kinds[type(message)](message)
    return event


_Told = (
    ev.StoreAccount | ev.SendToPeer | ev.StartLane | ev.ResumeLane | ev.PauseLane | ev.StopLane | ev.CloseLane
    | ev.KeepReceipt | ev.RedeemVoucher | ev.WarnRunway
)  # fmt: skip


def _effect(effect: Effect) -> Case:
    assert isinstance(effect, _Told)
    match effect:
        case ev.StoreAccount():
            return {"effect": "store"}
        case ev.SendToPeer(message=message):
            return {"effect": "send", "bytes": encode_message(message).hex()}
        case ev.StartLane(lane=lane):
            return {"effect": "start", "lane": lane.hex()}
        case ev.ResumeLane(lane=lane):
            return {"effect": "resume", "lane": lane.hex()}
        case ev.PauseLane(lane=lane, code=code):
            return {"effect": "pause", "lane": lane.hex(), "code": code}
        case ev.StopLane(lane=lane, code=code):
            return {"effect": "stop", "lane": lane.hex(), "code": code}
        case ev.CloseLane(lane=lane, code=code, paid=paid):
            return {"effect": "close", "lane": lane.hex(), "code": code, "paid": str(paid)}
        case ev.KeepReceipt(data=data, index=index):
            return {"effect": "keep_receipt", "bytes": data.hex(), "index": index}
        case ev.RedeemVoucher(code=code):
            return {"effect": "redeem", "code": code}
        case ev.WarnRunway(seconds=seconds):
            return {"effect": "warn", "seconds": seconds}
    assert_never(effect)
