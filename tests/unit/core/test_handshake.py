"""HSK-1 to HSK-14 where both sides are honest: step by step, every end, and what they agree on."""

from dataclasses import replace

import pytest

from skyops_p2p import limits
from skyops_p2p.core.handshake import (
    FrameReceived,
    Handshake,
    HandshakeBegun,
    HandshakeState,
    StakeAnswered,
    StreamClosed,
)
from skyops_p2p.core.machine import DeadlineReached, Event
from skyops_p2p.core.transcript import Role
from skyops_p2p.errors import RemoteProtocolError, UnexpectedEvent
from skyops_p2p.wire.messages.handshake import Hello, Refusal
from skyops_p2p.wire.model import decode_message, encode_message
from tests.unit.core.handshake_pair import MANIFEST, Pair, Side, context_of
from tests.unit.core.people import ALICE, BOB, NOW, START

S = HandshakeState


def pair_after(steps: int) -> Pair:
    """Return a pair in which so many of the eight steps of a good handshake are done."""
    pair = Pair()
    moves = (
        pair.responder.begin,
        pair.initiator.begin,
        pair.move,
        pair.move,
        pair.initiator.answer_stake,
        pair.move,
        pair.responder.answer_stake,
        pair.move,
    )
    for move in moves[:steps]:
        move()
    return pair


def test_one_frame_at_a_time() -> None:
    expected = [
        (S.NEW, S.NEW),
        (S.NEW, S.HELLO_AWAITED),
        (S.HELLO_SENT, S.HELLO_AWAITED),
        (S.HELLO_SENT, S.ACCEPT_SENT),
        (S.STAKE_ASKED_BY_INITIATOR, S.ACCEPT_SENT),
        (S.CONFIRM_SENT, S.ACCEPT_SENT),
        (S.CONFIRM_SENT, S.STAKE_ASKED_BY_RESPONDER),
        (S.CONFIRM_SENT, S.ESTABLISHED),
        (S.ESTABLISHED, S.ESTABLISHED),
    ]
    assert [pair_after(steps).states for steps in range(9)] == expected


def test_both_sides_hold_the_same_session() -> None:
    pair = Pair().run()
    ours, theirs = pair.initiator.finish, pair.responder.finish
    assert ours is not None
    assert theirs is not None
    assert ours.keys.session_id == theirs.keys.session_id
    assert len(ours.keys.session_id) == 16
    assert (ours.peer, theirs.peer) == (BOB.peer, ALICE.peer)
    assert (ours.binding.wallet, theirs.binding.wallet) == (BOB.wallet.address, ALICE.wallet.address)
    assert ours.manifest == theirs.manifest == MANIFEST
    assert ours.version == theirs.version == 1
    for number in range(3):
        text = f"message {number}".encode()
        assert theirs.keys.receive.open(ours.keys.send.seal(text)) == text
        assert ours.keys.receive.open(theirs.keys.send.seal(text)) == text
    assert ours.keys.send.seal(b"x") != theirs.keys.send.seal(b"x")


def test_next_handshake_makes_other_keys() -> None:
    first = Pair().run().initiator.finish
    second = Pair(context_of(ALICE, salt="again")).run().initiator.finish
    assert first is not None
    assert second is not None
    assert first.keys.session_id != second.keys.session_id
    with pytest.raises(RemoteProtocolError):
        second.keys.receive.open(first.keys.send.seal(b"x"))


def test_session_lives_as_long_as_the_shorter_manifest_says() -> None:
    short = replace(context_of(BOB), manifest=MANIFEST.model_copy(update={"lifetime_s": 60}))
    pair = Pair(responder=short).run()
    for side in (pair.initiator, pair.responder):
        assert side.finish is not None
        assert side.finish.lifetime_s == 60


def test_highest_common_version_is_taken() -> None:
    pair = Pair(
        replace(context_of(ALICE), versions=(1, 2, 7)), replace(context_of(BOB), versions=(1, 2, 3))
    ).run()
    assert pair.is_established_on_both_sides
    assert pair.initiator.finish is not None
    assert pair.initiator.finish.version == 2


def test_secrets_do_not_show() -> None:
    context = context_of(ALICE)
    shown = repr(context) + repr(Pair().run().initiator.finish)
    assert repr(context.ephemeral_secret) not in shown
    assert repr(ALICE.node_key.seed) not in shown


def test_deadline_counts_from_the_beginning_and_is_not_moved() -> None:
    for steps in range(2, 8):
        pair = pair_after(steps)
        for side in (pair.initiator, pair.responder):
            if not side.is_over:
                assert side.machine.next_deadline() == START + limits.HANDSHAKE_TIMEOUT_S
    assert pair_after(8).initiator.machine.next_deadline() is None


# --- every end ----------------------------------------------------------------------------------------------
def sides_before_the_end(steps: int) -> list[Side]:
    pair = pair_after(steps)
    return [side for side in (pair.initiator, pair.responder) if not side.is_over]


@pytest.mark.parametrize("steps", range(8))
def test_stream_closed_at_any_step_fails(steps: int) -> None:
    for side in sides_before_the_end(steps):
        sent = len(side.sent)
        side.close()
        assert side.failure is not None
        assert (side.failure.code, side.failure.is_remote) == ("stream_closed", True)
        assert len(side.sent) == sent


@pytest.mark.parametrize("steps", range(8))
def test_deadline_at_any_step_fails_and_says_so(steps: int) -> None:
    for side in sides_before_the_end(steps):
        side.let_time_pass()  # HSK-11
        assert side.failure is not None
        assert (side.failure.code, side.failure.is_remote) == ("timeout", False)
        assert decode_message(Refusal, side.sent[-1]).code == "timeout"


@pytest.mark.parametrize("steps", range(1, 8))
def test_refusal_at_any_step_ends_it_with_the_peers_code_and_no_answer(steps: int) -> None:
    for side in sides_before_the_end(steps):
        if side.state is S.NEW:
            continue
        sent = len(side.sent)
        side.take(encode_message(Refusal(code="busy")))  # HSK-13
        assert side.failure is not None
        assert (side.failure.code, side.failure.is_remote) == ("busy", True)
        assert len(side.sent) == sent


def test_invented_code_of_a_refusal_is_not_repeated() -> None:
    pair = pair_after(2)
    pair.initiator.take(encode_message(Refusal(code="x" * 32)))
    assert pair.codes[0] == "remote_protocol"


@pytest.mark.parametrize("who", ["initiator", "responder"])
def test_insufficient_stake_ends_it_on_both_sides(who: str) -> None:
    pair = Pair()
    getattr(pair, who).is_stake_sufficient = False
    pair.run()  # HSK-10
    assert pair.codes == ("insufficient_stake", "insufficient_stake")
    failure = getattr(pair, who).failure
    assert failure is not None
    assert not failure.is_remote


# --- the table ----------------------------------------------------------------------------------------------
EVENTS: tuple[Event, ...] = (
    HandshakeBegun(Role.INITIATOR, NOW),
    FrameReceived(b"garbage", NOW),
    StakeAnswered(is_sufficient=True),
    StreamClosed(),
    DeadlineReached(),
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("steps", range(9))
def test_pairs_outside_the_table_raise_and_change_nothing(steps: int, event: Event) -> None:
    pair = pair_after(steps)
    for side in (pair.initiator, pair.responder):
        before = side.state
        if (before, type(event)) in Handshake.TRANSITIONS:
            side.feed(event)
            assert side.state in Handshake.TRANSITIONS[before, type(event)]
        else:
            with pytest.raises(UnexpectedEvent):
                side.machine.handle(event, START)
            assert side.state is before


def test_every_pair_of_the_table_has_been_taken() -> None:
    taken: set[tuple[HandshakeState, type[Event]]] = set()
    for steps in range(9):
        for event in EVENTS:
            pair = pair_after(steps)
            for side in (pair.initiator, pair.responder):
                if (side.state, type(event)) in Handshake.TRANSITIONS:
                    taken.add((side.state, type(event)))
                    side.feed(event)
    assert taken == set(Handshake.TRANSITIONS)


def test_hello_says_for_whom_it_is_and_when() -> None:
    pair = pair_after(2)
    hello = decode_message(Hello, pair.initiator.sent[0])
    assert hello.issued_unix_ms == NOW
    assert hello.versions == (1,)
