"""One pair of this node while it lives: drives its machine, performs what it wants, and looks at its money.

Everything that happens is an event on one bounded channel, taken by one task. A step is on the disk before anything of
it is sent. Spec: protocol/07-settlement.md.
"""

import logging
from abc import ABC, abstractmethod
from dataclasses import replace

import trio

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.account import Account
from skyops_p2p.core.settlement.funds import PairFunds
from skyops_p2p.core.settlement.payee import Payee
from skyops_p2p.core.settlement.payer import Payer
from skyops_p2p.core.settlement.vouchers import PairTerms
from skyops_p2p.errors import ChainError, NetworkError, RemoteProtocolError
from skyops_p2p.node.lease_link import LeaseLink
from skyops_p2p.node.settlement.journal import PairState
from skyops_p2p.node.settlement.pay_link import event_of
from skyops_p2p.node.settlement.records import PairKey
from skyops_p2p.node.settlement.tools import LaneUser, PayTools
from skyops_p2p.types import MonotonicS, PeerId, Wei
from skyops_p2p.wire.model import Message

log = logging.getLogger(__name__)

_FROM_PEER = (ev.LaneAnswerHeard, ev.LaneStopHeard)


class LivePair(ABC):
    """One pair.

    Args:
        peer: The other side.
        machine: Payer or Payee, new or restored.
        tools: Of the node.
        seen: What was seen of its money before a restart; None: it is a new pair.
    """

    def __init__(
        self, peer: PeerId, machine: Payer | Payee, tools: PayTools, *, seen: PairFunds | None = None
    ) -> None:
        self.peer = peer
        self.key = PairKey.of(machine.pair, is_payer=isinstance(machine, Payer))
        self.users: dict[bytes, LaneUser] = {}
        """Whom lanes are for, by name."""
        self.funds: PairFunds | None = seen
        """What was last seen; None: nothing yet."""
        self.seen_at = float("-inf")
        """Monotonic; when the chain answered last."""
        self.funds_seen = trio.Event()
        self._redeemed_kept = 0 if seen is None else seen.redeemed
        """What was redeemed, as the journal has it."""
        """The chain has been asked, and has answered, since this process began."""
        self.chain_trouble = ""
        """Why the chain could not be asked the last time; empty if it could."""
        self._machine = machine
        self._tools = tools
        self._link: LeaseLink | None = None
        self._counted_on = ev.FundsSeen(0, 0, 0)
        """As the machine was told."""
        self._events_in, self._events_out = trio.open_memory_channel[Event](limits.PAY_EVENTS_MAX)
        self._poked = trio.Event()
        self._stepped = trio.Event()

    # --- what it knows --------------------------------------------------------------------------------------------
    @property
    def terms(self) -> PairTerms:
        """Who pays whom, and how."""
        return self._machine.pair

    @property
    def account(self) -> Account:
        """Its lanes, and what is promised."""
        return self._machine.account

    @property
    def phase(self) -> str:
        """Where its machine is, by name."""
        return str(self._machine.state.value)

    @property
    def is_at_work(self) -> bool:
        """Whether there is anything to be said to the other side."""
        return bool(self.account.lanes) or self.account.is_out

    @property
    def is_linked(self) -> bool:
        """Whether a session stands."""
        return self._link is not None and self._link.is_open

    @property
    def runway_s(self) -> int | None:
        """For how many seconds the money lasts; None while no lane runs."""
        return self._machine.runway_s

    @property
    def unredeemed_since_unix_ms(self) -> int:
        """At a worker: since when there is something to redeem; 0: there is nothing."""
        return 0

    @abstractmethod
    def _money(self) -> ev.FundsSeen:
        """Return what the machine may count on."""

    def state(self) -> PairState:
        """Return what is written down of it."""
        funds = self.funds
        seen = (0, 0, 0) if funds is None else (funds.redeemed, funds.allotted, funds.shared)
        return PairState(self.key, self.peer, self.terms, self.account, seen, self.unredeemed_since_unix_ms)

    # --- what happens to it ---------------------------------------------------------------------------------------
    async def post(self, event: Event) -> None:
        """Queue an event for the machine."""
        await self._events_in.send(event)

    def post_nowait(self, event: Event) -> None:
        """Queue what will be said again soon: if there is no room, it is left out."""
        try:
            self._events_in.send_nowait(event)
        except trio.WouldBlock:
            log.debug("payment_event_left_out pair=%s event=%s", self.key.name, type(event).__name__)

    def look_now(self) -> None:
        """Look at the money at once, and not only when it is time."""
        self._poked.set()

    async def wait_step(self) -> None:
        """Wait until something has happened."""
        await self._stepped.wait()

    async def carry(self, link: LeaseLink) -> None:
        """Serve one session of the pair until it ends; a newer one takes its place."""
        previous, self._link = self._link, link
        self.peer = link.peer
        if previous is not None:
            await previous.aclose("superseded")
        await self.post(ev.LinkRestored())
        try:
            while True:
                await self.post(event_of(await link.receive()))
        except NetworkError as error:
            log.info("pay_link_ended pair=%s code=%s", self.key.name, error.code)
        except RemoteProtocolError as error:
            log.info("pay_message_refused pair=%s code=%s", self.key.name, error.code)
            await link.aclose(error.code)
        finally:
            if self._link is link:
                self._link = None

    async def run(self) -> None:
        """Drive the pair until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_money)
            while True:
                deadline = self._machine.next_deadline()
                event: Event = DeadlineReached()
                with trio.move_on_at(float("inf") if deadline is None else deadline):
                    event = await self._events_out.receive()
                await self._take(event)

    async def _take(self, event: Event) -> None:
        """Take one step: the machine's word, then the disk, then the world."""
        machine, ledger = self._machine, self._tools.ledger
        async with ledger.turn:
            now, effects = _now(), list[Effect]()
            money = self._money()
            if isinstance(event, ev.FundsSeen) or _is_news(money, self._counted_on):
                self._counted_on = money
                effects += machine.handle(money, now)
            if not isinstance(event, ev.FundsSeen):
                effects += machine.handle(event, now)
            machine.check_invariants()
            if self.funds is not None and self.funds.redeemed != self._redeemed_kept:
                self._redeemed_kept = self.funds.redeemed  # a restart must not take it for owed
                effects.append(ev.StoreAccount(self.account.encode(), ledger.chain.place))
            await ledger.keep(self.state(), effects)
        for effect in effects:
            await self._perform(effect, is_from_peer=isinstance(event, _FROM_PEER))
        self._stepped.set()
        self._stepped = trio.Event()

    async def _perform(self, effect: Effect, *, is_from_peer: bool) -> None:
        match effect:
            case ev.SendToPeer(message):
                if getattr(message, "code", "") == "deposit_too_small":
                    self.look_now()  # what is missing may be there by now
                await self._send(message)
            case ev.StartLane(lane) if lane in self.users:
                self.users[lane].lane_started()
            case ev.PauseLane(lane, code) if lane in self.users:
                self.users[lane].lane_paused(code)
            case ev.ResumeLane(lane) if lane in self.users:
                self.users[lane].lane_resumed()
            case ev.StopLane(lane, code):
                self._stop(lane, code, is_from_peer=is_from_peer)
            case ev.CloseLane(lane, code, paid):
                self._closed(lane)
                self.look_now()
                log.info("lane_closed lane=%s code=%s paid_wei=%d", lane.hex()[:12], code, paid)
            case _:
                self._perform_own(effect)

    def _closed(self, lane: bytes) -> None:
        """Forget whom a lane was for."""
        self.users.pop(lane, None)

    @abstractmethod
    def _stop(self, lane: bytes, code: str, *, is_from_peer: bool) -> None:
        """Have a lease ended."""

    @abstractmethod
    def _perform_own(self, effect: Effect) -> None:
        """Perform what only one of the two sides wants."""

    async def _send(self, message: Message) -> None:
        """Send if a session stands; what is lost is sent again by the machine."""
        link = self._link
        if link is None:
            return
        with trio.move_on_after(limits.REQUEST_TIMEOUT_S) as scope:
            try:
                await link.send(message)
            except NetworkError as error:
                log.debug("not_sent pair=%s kind=%s code=%s", self.key.name, message.name, error.code)
        if scope.cancelled_caught:
            await link.aclose("timeout")

    # --- its money ------------------------------------------------------------------------------------------------
    async def _watch_money(self) -> None:
        """Look at the chain now and then, until cancelled; while it is away, what was seen last counts."""
        pause_s = limits.FUNDS_POLL_S / 4
        while True:
            self._poked = trio.Event()
            is_wanted = self.is_at_work or bool(self.users)
            wait_s = limits.FUNDS_POLL_S if is_wanted else limits.FUNDS_POLL_IDLE_S
            try:
                async with self._tools.asking:
                    with trio.fail_after(limits.REQUEST_TIMEOUT_S):
                        self.funds = await self._tools.money.pair_funds(
                            self.terms.requester, self.terms.worker
                        )
            except (ChainError, trio.TooSlowError) as error:
                code = error.code if isinstance(error, ChainError) else "timeout"
                if not self.chain_trouble:
                    log.warning("money_not_seen pair=%s code=%s", self.key.name, code)
                self.chain_trouble, wait_s = code, pause_s
                pause_s = min(2 * pause_s, limits.FUNDS_BACKOFF_S_MAX)
            else:
                self.chain_trouble, pause_s = "", limits.FUNDS_POLL_S / 4
                self.seen_at = trio.current_time()
                self.funds_seen.set()
                await self.post(self._money())
            with trio.move_on_after(wait_s):
                await self._poked.wait()

    def _leaves_at(self) -> MonotonicS | None:
        """Return when the allotment can be taken back, on the monotonic clock."""
        at_unix_s = None if self.funds is None else self.funds.returns_at_unix_s
        if at_unix_s is None:
            return None
        return MonotonicS(trio.current_time() + at_unix_s - self._tools.ledger.now_ms() / 1000)


def seen_before(state: PairState) -> PairFunds | None:
    """Return what was seen of a pair's money before a restart, or None."""
    redeemed, allotted, shared = state.funds
    if not any(state.funds):
        return None
    return PairFunds(Wei(redeemed), Wei(0), Wei(allotted), Wei(shared), None, 0, bytes(32))


def _is_news(money: ev.FundsSeen, before: ev.FundsSeen) -> bool:
    """Tell whether the money has changed; that an instant is worked out anew from two clocks is no change."""
    return replace(money, leaves_at=None) != replace(before, leaves_at=None) or (
        (money.leaves_at is None) != (before.leaves_at is None)
    )


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
