"""Two handshake machines with a link between them that moves one frame at a time."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from skyops_p2p.core.handshake import (
    AskStake,
    FailHandshake,
    FinishHandshake,
    FrameReceived,
    Handshake,
    HandshakeBegun,
    HandshakeContext,
    HandshakeState,
    SendFrame,
    StakeAnswered,
    StreamClosed,
)
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.nonces import NonceCache
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.core.transcript import Role
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.types import PeerId, UnixMs
from skyops_p2p.wire.messages.handshake import Manifest
from tests.unit.core.people import ALICE, BOB, HARDWARE, NOW, RULES, RUNTIMES, START, Person

MANIFEST = Manifest(
    agent="skyops/test",
    is_worker=True,
    hardware=HARDWARE,
    runtimes=RUNTIMES,
    modes=(),
    tokens=("SKYOPS",),
    price_microcredits_per_hour=1_000_000,
    lifetime_s=3600,
)
Change = Callable[[bytes], bytes]


def context_of(who: Person, *, rules: NetworkRules = RULES, salt: str = "") -> HandshakeContext:
    """Return what a person brings along; the randomness follows from the name and the salt."""
    return HandshakeContext(
        node_key=who.node_key,
        wallet=who.wallet,
        rules=rules,
        binding=who.binding,
        manifest=MANIFEST,
        nonces=NonceCache(),
        ephemeral_secret=sha256(f"ephemeral/{who.name}/{salt}".encode()),
        nonce=sha256(f"nonce/{who.name}/{salt}".encode()),
    )


@dataclass
class Side:
    """One machine, its clock, and what it has done."""

    machine: Handshake
    role: Role
    unix: UnixMs = NOW
    is_stake_sufficient: bool = True
    sent: list[bytes] = field(default_factory=list)
    outbox: deque[bytes] = field(default_factory=deque)
    waits_for_stake: bool = False
    finish: FinishHandshake | None = None
    failure: FailHandshake | None = None

    @property
    def state(self) -> HandshakeState:
        return self.machine.state

    @property
    def is_over(self) -> bool:
        return self.state in (HandshakeState.ESTABLISHED, HandshakeState.FAILED)

    def begin(self) -> None:
        self.feed(HandshakeBegun(self.role, self.unix))

    def take(self, frame: bytes) -> None:
        self.feed(FrameReceived(frame, self.unix))

    def answer_stake(self) -> None:
        self.waits_for_stake = False
        self.feed(StakeAnswered(self.is_stake_sufficient))

    def close(self) -> None:
        self.feed(StreamClosed())

    def let_time_pass(self) -> None:
        self.feed(DeadlineReached())

    def feed(self, event: Event) -> list[Effect]:
        effects = list(self.machine.handle(event, START))
        self.machine.check_invariants()
        for effect in effects:
            match effect:
                case SendFrame(data):
                    self.sent.append(data)
                    self.outbox.append(data)
                case AskStake():
                    self.waits_for_stake = True
                case FinishHandshake():
                    assert self.finish is None
                    self.finish = effect
                case FailHandshake():
                    assert self.failure is None
                    self.failure = effect
        assert (self.finish is not None) == (self.state is HandshakeState.ESTABLISHED)
        assert (self.failure is not None) == (self.state is HandshakeState.FAILED)
        return effects


class Pair:
    """Alice asks, Bob answers, unless told otherwise.

    Args:
        initiator: What the asking side brings.
        responder: What the answering side brings.
        responder_id: Whom the initiator's stream leads to; the responder's own id if omitted.
        initiator_id: Whom the responder's stream comes from; the initiator's own id if omitted.
    """

    def __init__(
        self,
        initiator: HandshakeContext | None = None,
        responder: HandshakeContext | None = None,
        *,
        responder_id: PeerId | None = None,
        initiator_id: PeerId | None = None,
    ) -> None:
        ours = initiator or context_of(ALICE)
        theirs = responder or context_of(BOB)
        self.initiator = Side(Handshake(ours, responder_id or theirs.node_key.peer_id), Role.INITIATOR)
        self.responder = Side(Handshake(theirs, initiator_id or ours.node_key.peer_id), Role.RESPONDER)
        self.moved: list[bytes] = []
        """Frames as they arrived, both ways, in order."""

    @property
    def states(self) -> tuple[HandshakeState, HandshakeState]:
        return self.initiator.state, self.responder.state

    @property
    def codes(self) -> tuple[str, str]:
        """Why each side failed, "" where it did not."""
        sides = (self.initiator, self.responder)
        return sides[0].failure.code if sides[0].failure else "", (
            sides[1].failure.code if sides[1].failure else ""
        )

    @property
    def is_established_on_both_sides(self) -> bool:
        return all(state is HandshakeState.ESTABLISHED for state in self.states)

    def begin(self) -> "Pair":
        self.responder.begin()
        self.initiator.begin()
        return self

    def move(self, change: Change | None = None) -> bool:
        """Carry one frame across, changed on its way if asked; False if none is waiting."""
        for source, target in self._ways():
            if source.outbox:
                frame = source.outbox.popleft()
                arrived = change(frame) if change else frame
                self.moved.append(arrived)
                if not target.is_over:
                    target.take(arrived)
                return True
        return False

    def run(self, changes: dict[int, Change] | None = None) -> "Pair":
        """Carry all frames across, each changed by its number (0 is the Hello), and answer all questions."""
        self.begin()
        for number in range(10):
            if not self.move((changes or {}).get(number)):
                break
            for side in (self.initiator, self.responder):
                if side.waits_for_stake and not side.is_over:
                    side.answer_stake()
        return self

    def _ways(self) -> tuple[tuple[Side, Side], tuple[Side, Side]]:
        return (self.initiator, self.responder), (self.responder, self.initiator)


def with_binding(context: HandshakeContext, binding: bytes) -> HandshakeContext:
    return replace(context, binding=binding)
