"""Alice's core on a desk: fed one event at a time, with its invariants checked after each."""

from typing import TypeVar

import pytest

from skyops_p2p.core import node_events as ev
from skyops_p2p.core.announcer import Offer
from skyops_p2p.core.core_settings import CoreSettings
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.presence import NodeState
from skyops_p2p.types import MonotonicS, Multiaddr, UnixMs
from skyops_p2p.wire.envelope import envelope_kind
from tests.unit.core.people import ALICE, HARDWARE, NOW, RULES, RUNTIMES, START, Person

ADDR = Multiaddr("/ip4/127.0.0.1/tcp/4001")
OFFER = Offer(
    agent="skyops/test", is_worker=True, region="eu", labels=(), slots=1, price_microcredits_per_hour=7
)
SETTINGS = CoreSettings(rules=RULES, offer=OFFER)
E = TypeVar("E", bound=Effect)


class Desk:
    """Alice's core, its clocks, and what it has said."""

    def __init__(self, settings: CoreSettings = SETTINGS, *, last_sequence: int = 0) -> None:
        self.now = START
        self.binding = ALICE.binding
        self.is_disk_full = False
        self.core = NodeCore(ALICE.node_key, lambda _: self.binding, settings)
        self.started = self.handle(ev.NodeStarted((ADDR,), last_sequence, self.unix))

    @property
    def unix(self) -> UnixMs:
        return UnixMs(NOW + round((self.now - START) * 1000))

    def handle(self, event: Event) -> list[Effect]:
        effects = self.core.handle(event, self.now)
        self.core.check_invariants()
        for effect in of(ev.RememberSequence, effects):
            answer = ev.SequenceNotRemembered() if self.is_disk_full else ev.SequenceRemembered(effect.number)
            effects += self.handle(answer)
        return effects

    def until(self, seconds: float) -> list[Effect]:
        """Let time pass, waking the core at each of its deadlines."""
        end = MonotonicS(START + seconds)
        effects: list[Effect] = []
        for _ in range(10_000):
            deadline = self.core.next_deadline()
            if deadline is None or deadline > end:
                self.now = max(self.now, end)
                return effects
            self.now = max(self.now, deadline)
            effects += self.handle(ev.TimeCame(self.unix))
        pytest.fail("the core wakes up again and again")

    def skip_to(self, seconds: float) -> list[Effect]:
        """Sleep through a time, and wake up once."""
        self.now = MonotonicS(START + seconds)
        return self.handle(ev.TimeCame(self.unix))

    def ready(self) -> "Desk":
        """Probe the hardware and announce."""
        self.handle(ev.HardwareProbed(HARDWARE, RUNTIMES))
        self.until(0)
        return self

    def connect(self, who: Person, *, is_outbound: bool = True) -> list[Effect]:
        return self.handle(ev.ConnectionUp(who.peer, (ADDR,), is_outbound))

    def tell(self, who: Person, payload: bytes) -> list[Effect]:
        return self.handle(ev.GossipArrived(who.peer, payload, self.unix))

    def activate(self, who: Person) -> None:
        self.tell(who, who.record())
        self.tell(who, who.beat(issued_unix_ms=self.unix))
        assert self.state_of(who) is NodeState.ACTIVE

    def state_of(self, who: Person) -> NodeState | None:
        entry = self.core.nodes.get(who.peer)
        return entry.presence.state if entry else None


def of(kind: type[E], effects: list[Effect]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def published(effects: list[Effect]) -> list[str]:
    return [envelope_kind(effect.payload) or "proof" for effect in of(ev.Publish, effects)]
