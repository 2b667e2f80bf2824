"""The link to one peer: known, being dialled, connected, resting after a failure, or banned.

Spec: protocol/03-peering.md, "Links". Which peers to dial is the address book's decision (core/address_book.py);
this machine only knows what may follow what, and how long to rest. Diagram: machines/peering.
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Event, Machine, Table, to
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.types import MonotonicS, Multiaddr, PeerId

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 60.0
"""A network that was cut in two finds together again within about this time after it is whole."""
STABLE_S = 10.0
"""A connection that ends sooner counts as a failed dial: else a peer that refuses us is dialled every second."""
DIAL_ANSWER_S = 3 * limits.DIAL_TIMEOUT_S
"""A dial whose end was not reported by then is taken for failed, or its place would be lost for ever."""
BAN_S = 600.0
"""Ten minutes: long enough to cost a flooder, short enough to forgive a bug."""


class LinkState(Enum):
    """Where a link is."""

    KNOWN = "known"
    DIALING = "dialing"
    CONNECTED = "connected"
    BACKOFF = "backoff"
    BANNED = "banned"


# --- events -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class DialRequested(Event):
    """The address book, a probe or the user wants this peer."""


@dataclass(frozen=True, slots=True)
class DialFailed(Event):
    """The dial ended without a connection."""

    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionOpened(Event):
    """A connection stands, whoever dialled."""

    is_outbound: bool


@dataclass(frozen=True, slots=True)
class ConnectionClosed(Event):
    """The last connection is gone."""


@dataclass(frozen=True, slots=True)
class Misbehaved(Event):
    """The peer broke a rule badly enough to be shut out."""

    code: str


# --- effects ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Dial(Effect):
    """Connect; report ConnectionOpened (by the network's event) or DialFailed."""

    peer: PeerId
    addrs: tuple[Multiaddr, ...]


@dataclass(frozen=True, slots=True)
class Disconnect(Effect):
    """Drop all connections to the peer."""

    peer: PeerId


_K, _D, _C, _B, _X = (
    LinkState.KNOWN,
    LinkState.DIALING,
    LinkState.CONNECTED,
    LinkState.BACKOFF,
    LinkState.BANNED,
)


class Link(Machine[LinkState]):
    """The link to one peer.

    Args:
        peer: The other end.
    """

    TRANSITIONS: ClassVar[Table] = {
        (_K, DialRequested): to(_D),
        (_K, DialFailed): to(_K),
        (_K, ConnectionOpened): to(_C),
        (_K, ConnectionClosed): to(_K),
        (_K, Misbehaved): to(_X),
        (_K, DeadlineReached): to(_K),
        (_D, DialRequested): to(_D),
        (_D, DialFailed): to(_B),
        (_D, ConnectionOpened): to(_C),
        (_D, ConnectionClosed): to(_D),
        (_D, Misbehaved): to(_X),
        (_D, DeadlineReached): to(_B),
        (_C, DialRequested): to(_C),
        (_C, DialFailed): to(_C),
        (_C, ConnectionOpened): to(_C),
        (_C, ConnectionClosed): to(_K, _B),
        (_C, Misbehaved): to(_X),
        (_C, DeadlineReached): to(_C),
        (_B, DialRequested): to(_D),
        (_B, DialFailed): to(_B),
        (_B, ConnectionOpened): to(_C),
        (_B, ConnectionClosed): to(_B),
        (_B, Misbehaved): to(_X),
        (_B, DeadlineReached): to(_K),
        (_X, DialRequested): to(_X),
        (_X, DialFailed): to(_X),
        (_X, ConnectionOpened): to(_X),
        (_X, ConnectionClosed): to(_X),
        (_X, Misbehaved): to(_X),
        (_X, DeadlineReached): to(_K),
    }

    def __init__(self, peer: PeerId) -> None:
        super().__init__(LinkState.KNOWN)
        self.peer = peer
        self.addrs: tuple[Multiaddr, ...] = ()
        """Where to dial, newest first, without /p2p."""
        self.is_outbound = False
        self.failures = 0
        """Failed dials and short connections in a row."""
        self.was_connected = False
        """Whether a connection ever stood: an address that works is worth more than one that was heard of."""
        self.reason = "heard of"
        """Why the link is in its state, in words."""
        self._opened_at: MonotonicS | None = None
        self._deadline: MonotonicS | None = None

    def next_deadline(self) -> MonotonicS | None:
        """See Machine."""
        return self._deadline

    def check_invariants(self) -> None:
        """See Machine."""
        waiting = self.state in (LinkState.DIALING, LinkState.BACKOFF, LinkState.BANNED)
        assert (self._deadline is not None) == waiting, "a link waits for its dial or its rest, or not at all"
        assert (self._opened_at is not None) == (self.state is LinkState.CONNECTED), "open since when?"

    def _on_dial_requested(self, _event: DialRequested, now: MonotonicS) -> list[Effect]:
        if self.state in (LinkState.KNOWN, LinkState.BACKOFF):
            self._enter(LinkState.DIALING, "dialling", MonotonicS(now + DIAL_ANSWER_S))
            return [Dial(self.peer, self.addrs)]
        return []

    def _on_dial_failed(self, event: DialFailed, now: MonotonicS) -> list[Effect]:
        if self.state is LinkState.DIALING:
            self._rest(event.reason, now)
        return []

    def _on_connection_opened(self, event: ConnectionOpened, now: MonotonicS) -> list[Effect]:
        if self.state is LinkState.BANNED:
            return [Disconnect(self.peer)]
        if self.state is not LinkState.CONNECTED:  # a second connection changes nothing
            self.is_outbound, self.was_connected = event.is_outbound, True
            self._enter(LinkState.CONNECTED, "we dialled" if event.is_outbound else "it dialled")
            self._opened_at = now
        return []

    def _on_connection_closed(self, _event: ConnectionClosed, now: MonotonicS) -> list[Effect]:
        if self._opened_at is None:
            return []
        if now - self._opened_at < STABLE_S:
            self._rest("the connection closed soon", now)
        else:
            self.failures = 0
            self._enter(LinkState.KNOWN, "the connection closed")
        return []

    def _on_misbehaved(self, event: Misbehaved, now: MonotonicS) -> list[Effect]:
        self._enter(LinkState.BANNED, f"banned: {event.code}", MonotonicS(now + BAN_S))
        return [Disconnect(self.peer)]

    def _on_deadline_reached(self, _event: DeadlineReached, now: MonotonicS) -> list[Effect]:
        if self.state is LinkState.DIALING:
            self._rest("the dial was never answered", now)
        elif self.state in (LinkState.BACKOFF, LinkState.BANNED):
            self._enter(LinkState.KNOWN, self.reason)
        return []

    def _enter(self, state: LinkState, reason: str, deadline: MonotonicS | None = None) -> None:
        self.state, self.reason, self._deadline = state, reason, deadline
        self._opened_at = None

    def _rest(self, reason: str, now: MonotonicS) -> None:
        self.failures += 1
        self._enter(LinkState.BACKOFF, reason, MonotonicS(now + self._rest_s()))

    def _rest_s(self) -> float:
        """Exponential back-off with up to 50 % of jitter, from a hash so that replays are exact. Rules: PER-27."""
        base = min(BACKOFF_FIRST_S * 2.0 ** min(self.failures - 1, 16), BACKOFF_MAX_S)
        draw = sha256(f"{self.peer}/{self.failures}".encode())[0] / 256
        return base * (1.0 + 0.5 * draw)
