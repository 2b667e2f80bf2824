"""SES-2 to SES-7: sealed frames in order, renewed keys, and a stated end."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.session import (
    CloseRequested,
    Deliver,
    EndSession,
    SealedFrameReceived,
    SendRequested,
    SendSealedFrame,
    Session,
    SessionState,
    TransportClosed,
)
from skyops_p2p.errors import LocalProtocolError, UnexpectedEvent
from skyops_p2p.types import MonotonicS
from tests.unit.core.handshake_pair import Pair
from tests.unit.core.people import START, at


def sessions(*, lifetime_s: float = 3600.0) -> tuple[Session, Session]:
    pair = Pair().run()
    assert pair.initiator.finish is not None
    assert pair.responder.finish is not None
    return (
        Session(pair.initiator.finish.keys, at(0), lifetime_s=lifetime_s),
        Session(pair.responder.finish.keys, at(0), lifetime_s=lifetime_s),
    )


def step(session: Session, event: Event, now: MonotonicS = START) -> list[Effect]:
    effects = list(session.handle(event, now))
    session.check_invariants()
    return effects


def frames(effects: list[Effect]) -> list[bytes]:
    return [effect.data for effect in effects if isinstance(effect, SendSealedFrame)]


def carry(effects: list[Effect], to: Session) -> list[Effect]:
    return [effect for frame in frames(effects) for effect in step(to, SealedFrameReceived(frame))]


def test_bytes_arrive_in_order_both_ways() -> None:
    alice, bob = sessions()
    for number in range(5):
        body = f"message {number}".encode()
        assert carry(step(alice, SendRequested(body)), bob) == [Deliver(body)]
        assert carry(step(bob, SendRequested(body)), alice) == [Deliver(body)]
    assert alice.session_id == bob.session_id


@pytest.mark.parametrize("size", [0, limits.SESSION_FRAME_BYTES_MAX])
def test_body_up_to_the_bound_is_sent(size: int) -> None:
    alice, bob = sessions()
    assert carry(step(alice, SendRequested(bytes(size))), bob) == [Deliver(bytes(size))]


def test_body_above_the_bound_is_the_callers_mistake() -> None:
    alice, _ = sessions()
    with pytest.raises(LocalProtocolError) as caught:
        step(alice, SendRequested(bytes(limits.SESSION_FRAME_BYTES_MAX + 1)))  # SES-4
    assert caught.value.code == "oversized"
    assert alice.state is SessionState.OPEN


@pytest.mark.parametrize("case", ["altered", "replayed", "skipped", "reflected", "garbage", "empty"])
def test_frame_that_is_not_the_next_ends_the_session_on_both_sides(case: str) -> None:
    alice, bob = sessions()
    (first,) = frames(step(alice, SendRequested(b"one")))
    (second,) = frames(step(alice, SendRequested(b"two")))
    if case == "replayed":
        step(bob, SealedFrameReceived(first))
    reflected = frames(step(bob, SendRequested(b"mine")))[0]
    bad = {
        "altered": first[:-1] + bytes([first[-1] ^ 1]),
        "replayed": first,
        "skipped": second,
        "reflected": reflected,
        "garbage": b"garbage",
        "empty": b"",
    }[case]
    effects = step(bob, SealedFrameReceived(bad))  # SES-2, SES-6
    assert effects[-1] == EndSession("bad_ciphertext")
    assert bob.code == "bad_ciphertext"
    step(alice, SealedFrameReceived(reflected))
    assert carry(effects, alice) == [EndSession("bad_ciphertext")]


def test_keys_are_renewed_in_time_and_both_go_on() -> None:
    alice, bob = sessions()
    assert alice.next_deadline() == at(limits.SESSION_REKEY_S)
    for turn in range(1, 4):  # SES-5
        renewal = step(alice, DeadlineReached(), at(turn * limits.SESSION_REKEY_S))
        assert carry(renewal, bob) == []
        assert carry(step(alice, SendRequested(b"x")), bob) == [Deliver(b"x")]
        assert carry(step(bob, SendRequested(b"y")), alice) == [Deliver(b"y")]


def test_keys_are_renewed_before_their_messages_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skyops_p2p.crypto.session_keys.SESSION_REKEY_MESSAGES", 5)
    monkeypatch.setattr(limits, "SESSION_REKEY_MESSAGES", 5)
    alice, bob = sessions()
    for number in range(30):  # SES-3
        assert carry(step(alice, SendRequested(bytes([number]))), bob) == [Deliver(bytes([number]))]
    assert carry(step(alice, CloseRequested("done")), bob) == [EndSession("done")]


def test_session_expires_and_says_so() -> None:
    alice, bob = sessions(lifetime_s=60.0)
    assert alice.next_deadline() == at(60)
    effects = step(alice, DeadlineReached(), at(60))  # SES-7
    assert effects[-1] == EndSession("session_expired")
    assert carry(effects, bob) == [EndSession("session_expired")]
    assert bob.next_deadline() is None


def test_lost_stream_ends_it_without_a_word() -> None:
    alice, _ = sessions()
    assert step(alice, TransportClosed()) == [EndSession("stream_closed")]


def test_closed_session_stays_closed() -> None:
    alice, bob = sessions()
    (late,) = frames(step(bob, SendRequested(b"late")))
    step(alice, CloseRequested("done"))
    for event in (CloseRequested("again"), TransportClosed(), DeadlineReached(), SealedFrameReceived(late)):
        assert step(alice, event) == []
    with pytest.raises(UnexpectedEvent):
        step(alice, SendRequested(b"x"))
    assert alice.code == "done"
