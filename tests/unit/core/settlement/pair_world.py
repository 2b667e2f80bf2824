"""Alice pays bob: both machines of a pair, the way between them, their journals and meters, in virtual time."""

from collections.abc import Callable
from dataclasses import dataclass, field

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.account import Account
from skyops_p2p.core.settlement.lanes import FactsPart, LaneTerms
from skyops_p2p.core.settlement.meters import Counts
from skyops_p2p.core.settlement.payee import Payee
from skyops_p2p.core.settlement.payer import Payer
from skyops_p2p.core.settlement.receipts import ChainPlace
from skyops_p2p.core.settlement.vouchers import PairTerms
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.messages import settlement as msg
from skyops_p2p.wire.model import Message, decode_message, encode_message

ALICE = Wallet.from_secret(bytes([0xA1] * 32))
BOB = Wallet.from_secret(bytes([0xB0] * 32))
MALLORY = Wallet.from_secret(bytes([0x66] * 32))
HOUR_WEI = 3_600_000 * 10**12
"""A rate of one SKYOPS an hour, nearly: 10^12 wei for each millisecond."""
PAIR = PairTerms(
    network="testnet-4f2a",
    chain_id=31_337,
    contract=bytes([0x5E] * 20),
    disputes=bytes([0xD1] * 20),
    token=bytes([0x70] * 20),
    requester=address_to_bytes(ALICE.address),
    worker=address_to_bytes(BOB.address),
    holdback_bps=1000,
)
FACTS = FactsPart(
    spec_digest=bytes([1] * 32),
    mode="priority",
    class_milli=6100,
    outcome="succeeded",
    result=bytes([2] * 32),
    log_head=bytes([3] * 32),
    started_unix_ms=1_800_000_000_000,
    ended_unix_ms=1_800_000_060_999,
)
RICH = ev.FundsSeen(0, 10**21, 0)


def terms(number: int = 1, *, rate_wei: int = HOUR_WEI, prepaid_ms: int = 0) -> LaneTerms:
    return LaneTerms(bytes([number] * 16), 0, 1, bytes([0xA0] * 32), rate_wei, prepaid_ms)


@dataclass
class Run:
    """A program, as the world sees it: what it has really used, and whether it runs."""

    terms: LaneTerms
    used_ms: int = 0
    is_running: bool = False
    is_over: bool = False
    alice_saw_ms: int = 0
    """What alice's meter has counted: it stops with her node."""
    alice_from_ms: int = 0
    """Where it began, in her present life."""
    covered_ms: int = 0
    """Runtime at the newest meter that a voucher has paid."""
    sent_ms: dict[int, int] = field(default_factory=dict)
    """Interval -> runtime of its meter."""
    paid: int = 0
    over_at_ms: int | None = None
    """What alice had seen when the lease lapsed for her."""


class World:
    """Both sides, joined by a queue of messages that a test may lose, repeat and reorder."""

    def __init__(
        self,
        *,
        skew: Callable[[int], int] = lambda used_ms: used_ms,
        pair: PairTerms = PAIR,
        wallets: tuple[Wallet, Wallet] = (ALICE, BOB),
    ) -> None:
        self.now = MonotonicS(0.0)
        self.pair = pair
        self.wallets = wallets
        self.chains = {"alice": ev.ReceiptChain(), "bob": ev.ReceiptChain()}
        self.journal: dict[str, tuple[bytes, ChainPlace]] = {
            who: (Account().encode(), ChainPlace()) for who in self.chains
        }
        self.payer = Payer(pair, wallets[0], self.chains["alice"], self.now)
        self.payee = Payee(pair, wallets[1], self.chains["bob"], self.now)
        self.runs: dict[bytes, Run] = {}
        self.queue: list[tuple[str, Message]] = []
        """(to whom, what), the oldest first."""
        self.done: list[tuple[str, Effect]] = []
        self.vouchers: list[int] = []
        """Cumulative of each voucher that bob stored."""
        self.restarts = 0
        self.skew = skew
        self.fault_after: int | None = None
        """Effects that are performed before the node dies; None: it does not."""

    # --- what happens ---------------------------------------------------------------------------------------------
    def tell(self, who: str, event: Event) -> list[Effect]:
        machine = self.payer if who == "alice" else self.payee
        effects = list(machine.handle(event, self.now))
        machine.check_invariants()
        for number, effect in enumerate(effects):
            if self.fault_after is not None and number >= self.fault_after:
                self.fault_after = None
                self.restart(who)
                break
            self._perform(who, effect)
        return effects

    def begin(self, lane: LaneTerms) -> bytes:
        self.runs[lane.lane] = Run(lane)
        self.tell("bob", ev.LaneExpected(lane))
        self.tell("alice", ev.LaneBegun(lane))
        return lane.lane

    def both(self, event: Event) -> None:
        self.tell("alice", event)
        self.tell("bob", event)

    def deliver(self, index: int = 0, *, keep: bool = False) -> None:
        """Let one message arrive; `keep` leaves a copy under way."""
        to, message = self.queue[index] if keep else self.queue.pop(index)
        data = encode_message(message)
        self.tell(to, heard(decode_message(type(message), data)))

    def settle(self, deliveries_max: int = 1000) -> None:
        """Deliver all, in order, until nothing moves."""
        for _ in range(deliveries_max):
            if not self.queue:
                return
            self.deliver()
        raise AssertionError("messages without end")

    def pass_time(self, seconds: float, *, is_linked: bool = True) -> None:
        """Let time go by in readings of a second; with `is_linked` each message arrives at once."""
        ends_at = self.now + seconds
        while self.now < ends_at - 1e-9:
            self.now = MonotonicS(min(self.now + 1.0, ends_at))
            self.tick(1000)
            if is_linked:
                self.settle()

    def tick(self, ms: int) -> None:
        for lane, run in self.runs.items():
            if run.is_running:
                run.used_ms += ms
                run.alice_saw_ms += self.skew(ms) if run.over_at_ms is None else 0
                self.tell("bob", ev.MeterRead(lane, Counts(runtime_ms=run.used_ms, gpu_ms=run.used_ms // 2)))
                if run.over_at_ms is None:
                    seen_ms = run.alice_saw_ms - run.alice_from_ms
                    self.tell("alice", ev.MeterRead(lane, Counts(runtime_ms=seen_ms)))
        for who in ("alice", "bob"):
            machine = self.payer if who == "alice" else self.payee
            deadline = machine.next_deadline()
            if deadline is not None and deadline <= self.now:
                self.tell(who, DeadlineReached())

    def finish(self, lane: bytes, facts: FactsPart | None = FACTS) -> None:
        run = self.runs[lane]
        run.is_running, run.is_over = False, True
        run.over_at_ms = run.alice_saw_ms if run.over_at_ms is None else run.over_at_ms
        self.tell("bob", ev.LaneFinished(lane, facts))
        self.tell("alice", ev.LaneFinished(lane, facts))

    def lapse(self, lane: bytes) -> None:
        run = self.runs[lane]
        run.is_running, run.is_over = False, True
        run.over_at_ms = run.alice_saw_ms if run.over_at_ms is None else run.over_at_ms
        self.both(ev.LaneLapsed(lane))

    def restart(self, who: str) -> None:
        """Kill a side and bring it back from its journal; bob's runs die with him."""
        self.restarts += 1
        self.queue.clear()
        record, place = self.journal[who]
        account = Account.decode(record)
        chain = self.chains[who] = ev.ReceiptChain(place)
        if who == "alice":
            funds = self.payer._funds
            self.payer = Payer(self.pair, self.wallets[0], chain, self.now, account=account)
            for run in self.runs.values():
                run.alice_from_ms = run.alice_saw_ms
        else:
            funds = self.payee._funds
            self.payee = Payee(self.pair, self.wallets[1], chain, self.now, account=account)
            for run in self.runs.values():
                run.is_running, run.is_over = False, True
        self.tell(who, funds)
        self.both(ev.LinkRestored())

    # --- what follows ---------------------------------------------------------------------------------------------
    def _perform(self, who: str, effect: Effect) -> None:
        self.done.append((who, effect))
        match effect:
            case ev.StoreAccount(record=record, place=place):
                self.journal[who] = (record, place)
                if who == "bob":
                    self._note_payment(Account.decode(record))
            case ev.SendToPeer(message=message):
                if isinstance(message, msg.Meter):
                    self.runs[message.lane].sent_ms[message.interval] = message.counts.runtime_ms
                self.queue.append(("bob" if who == "alice" else "alice", message))
            case ev.StartLane(lane=lane) | ev.ResumeLane(lane=lane):
                self.runs[lane].is_running = not self.runs[lane].is_over
            case ev.PauseLane(lane=lane):
                self.runs[lane].is_running = False
            case ev.StopLane(lane=lane):
                run = self.runs[lane]
                if who == "bob":
                    run.is_running, run.is_over = False, True
                else:
                    run.over_at_ms = run.alice_saw_ms if run.over_at_ms is None else run.over_at_ms

    def _note_payment(self, account: Account) -> None:
        if account.cumulative and (not self.vouchers or account.cumulative != self.vouchers[-1]):
            self.vouchers.append(account.cumulative)
            assert account.voucher is not None
            for item in account.voucher.items:
                run = self.runs[item.lane]
                run.covered_ms = max(run.covered_ms, run.sent_ms[item.interval])

    def effects_of(self, who: str, kind: type[Effect]) -> list[Effect]:
        return [effect for side, effect in self.done if side == who and isinstance(effect, kind)]

    def sent(self, who: str, kind: type[Message]) -> list[Message]:
        found = [effect for side, effect in self.done if side == who and isinstance(effect, ev.SendToPeer)]
        return [effect.message for effect in found if isinstance(effect.message, kind)]


def heard(message: Message) -> Event:
    """Return the event of a message that came."""
    match message:
        case msg.LaneOffer():
            return ev.LaneOfferHeard(message)
        case msg.LaneAnswer():
            return ev.LaneAnswerHeard(message)
        case msg.Meter():
            return ev.MeterHeard(message)
        case msg.Voucher():
            return ev.VoucherHeard(message)
        case msg.VoucherAnswer():
            return ev.VoucherAnswerHeard(message)
        case msg.LaneStop():
            return ev.LaneStopHeard(message)
    raise AssertionError(message)


EXPOSED_MS = limits.PAY_GRACE_MS + limits.METER_READ_MS
