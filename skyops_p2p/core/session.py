"""An established session: sealed frames both ways, key renewal, expiry, and a stated end.

Spec: protocol/01-identity.md, "Session". Diagram: machines/session.
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Event, Machine, Table, to
from skyops_p2p.crypto.session_keys import SessionKeys
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.messages.session import Close, Data, Rekey
from skyops_p2p.wire.model import Message, decode_fields, decode_message, encode_message

PLAINTEXT_BYTES_MAX = limits.SESSION_FRAME_BYTES_MAX + 64
"""One session message before sealing. Rules: SES-4."""


class SessionState(Enum):
    """Where a session is."""

    OPEN = "open"
    CLOSED = "closed"


# --- events -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class SendRequested(Event):
    """The application wants these bytes sent; at most SESSION_FRAME_BYTES_MAX."""

    body: bytes


@dataclass(frozen=True, slots=True)
class CloseRequested(Event):
    """The application is done."""

    code: str


@dataclass(frozen=True, slots=True)
class SealedFrameReceived(Event):
    """The peer sent a frame."""

    data: bytes


@dataclass(frozen=True, slots=True)
class TransportClosed(Event):
    """The stream is gone."""


# --- effects ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class SendSealedFrame(Effect):
    """Send a frame to the peer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Deliver(Effect):
    """Hand bytes to the application."""

    body: bytes


@dataclass(frozen=True, slots=True)
class EndSession(Effect):
    """Close the stream; the code says why."""

    code: str


_O, _C = SessionState.OPEN, SessionState.CLOSED


class Session(Machine[SessionState]):
    """One side of a session.

    Args:
        keys: From the handshake.
        now: The instant of establishment.
        lifetime_s: When the session expires, seconds from now.
        rekey_s: How often our sending key is renewed, seconds.
    """

    TRANSITIONS: ClassVar[Table] = {
        (_O, SendRequested): to(_O),
        (_O, CloseRequested): to(_C),
        (_O, SealedFrameReceived): to(_O, _C),
        (_O, TransportClosed): to(_C),
        (_O, DeadlineReached): to(_O, _C),
        (_C, CloseRequested): to(_C),
        (_C, TransportClosed): to(_C),
        (_C, DeadlineReached): to(_C),
        (_C, SealedFrameReceived): to(_C),
    }

    def __init__(
        self,
        keys: SessionKeys,
        now: MonotonicS,
        *,
        lifetime_s: float,
        rekey_s: float = limits.SESSION_REKEY_S,
    ) -> None:
        super().__init__(SessionState.OPEN)
        self.session_id = keys.session_id
        self.expires_at = MonotonicS(now + lifetime_s)
        self.code = ""
        """Why it ended; empty while it is open."""
        self._keys = keys
        self._rekey_s = rekey_s
        self._rekey_at = MonotonicS(now + rekey_s)

    def next_deadline(self) -> MonotonicS | None:
        """See Machine."""
        return min(self.expires_at, self._rekey_at) if self.state is SessionState.OPEN else None

    def check_invariants(self) -> None:
        """See Machine."""
        assert (self.state is SessionState.CLOSED) == bool(self.code), "closed means stated why"

    def _on_send_requested(self, event: SendRequested, _now: MonotonicS) -> list[Effect]:
        if len(event.body) > limits.SESSION_FRAME_BYTES_MAX:
            raise LocalProtocolError(
                f"{len(event.body)} bytes; a session frame holds {limits.SESSION_FRAME_BYTES_MAX}",
                code="oversized",
                hint="Send it in pieces.",
            )
        effects: list[Effect] = []
        if self._keys.send.messages >= limits.SESSION_REKEY_MESSAGES - 2:  # SES-5
            effects += self._rekey(_now)
        return [*effects, self._seal(Data(body=event.body))]

    def _on_close_requested(self, event: CloseRequested, _now: MonotonicS) -> list[Effect]:
        return self._end(event.code, tell_peer=True) if self.state is SessionState.OPEN else []

    def _on_sealed_frame_received(self, event: SealedFrameReceived, _now: MonotonicS) -> list[Effect]:
        if self.state is SessionState.CLOSED:
            return []
        try:
            return self._open(self._keys.receive.open(event.data))
        except RemoteProtocolError as error:  # SES-6
            return self._end(error.code, tell_peer=True)

    def _on_transport_closed(self, _event: TransportClosed, _now: MonotonicS) -> list[Effect]:
        return self._end("stream_closed", tell_peer=False) if self.state is SessionState.OPEN else []

    def _on_deadline_reached(self, _event: DeadlineReached, now: MonotonicS) -> list[Effect]:
        if self.state is SessionState.CLOSED:
            return []
        if now >= self.expires_at:  # SES-7
            return self._end("session_expired", tell_peer=True)
        return self._rekey(now)  # SES-5

    def _open(self, plaintext: bytes) -> list[Effect]:
        number = decode_fields(plaintext, bytes_max=PLAINTEXT_BYTES_MAX)[0]
        if number == Data.number:
            return [Deliver(decode_message(Data, plaintext, bytes_max=PLAINTEXT_BYTES_MAX).body)]
        if number == Rekey.number:
            decode_message(Rekey, plaintext)
            self._keys.receive.rekey()
            return []
        return self._end(decode_message(Close, plaintext).code, tell_peer=False)

    def _rekey(self, now: MonotonicS) -> list[Effect]:
        frame = self._seal(Rekey())
        self._keys.send.rekey()
        self._rekey_at = MonotonicS(now + self._rekey_s)
        return [frame]

    def _seal(self, message: Message) -> SendSealedFrame:
        return SendSealedFrame(self._keys.send.seal(encode_message(message)))

    def _end(self, code: str, *, tell_peer: bool) -> list[Effect]:
        self.state, self.code = SessionState.CLOSED, code
        goodbye: list[Effect] = [self._seal(Close(code=code))] if tell_peer else []
        return [*goodbye, EndSession(code)]
