"""Any bytes from anybody: gossip, answers, handshake frames. Only coded outcomes, and never a session on both sides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.core import node_events as ev
from skyops_p2p.core.intake import Judgement
from skyops_p2p.core.records import NodeRecordRules
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.model import encode_message
from tests.unit.core.desk import Desk
from tests.unit.core.handshake_pair import Pair
from tests.unit.core.people import ALICE, BOB, MALLORY, NOW, RULES

GOOD = (
    BOB.record(),
    BOB.beat(),
    BOB.binding,
    MALLORY.record(),
    encode_message(MALLORY.contradiction()),
)
FRAMES = Pair().run().moved


def altered(data: bytes, place: int, flip: int, cut: int) -> bytes:
    """Flip bits of one byte and cut the end off."""
    place %= len(data)
    changed = data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]
    return changed[: len(changed) - cut]


mutated = st.builds(
    altered, st.sampled_from(GOOD), st.integers(0, 5000), st.integers(0, 255), st.integers(0, 3)
)
payloads = st.one_of(st.binary(max_size=300), mutated, st.sampled_from(GOOD))


@given(st.lists(st.tuples(st.sampled_from((BOB.peer, MALLORY.peer)), payloads), max_size=6))
def test_gossip_is_judged_and_taken_without_an_exception(messages: list[tuple[str, bytes]]) -> None:
    desk = Desk().ready()
    for author, payload in messages:
        judgement = desk.core.judge(author, payload, now=desk.now, unix=desk.unix)  # type: ignore[arg-type] # a PeerId
        if judgement is Judgement.ACCEPT:
            desk.handle(ev.GossipArrived(author, payload, desk.unix))  # type: ignore[arg-type] # a PeerId
        elif judgement is Judgement.REJECT:
            assert desk.core.intake.take(author, payload, unix=desk.unix) is None  # type: ignore[arg-type] # a PeerId
    assert len(desk.core.nodes) <= 3


@given(st.lists(payloads, max_size=5), st.lists(payloads, max_size=3))
def test_answers_are_taken_without_an_exception(records: list[bytes], beats: list[bytes]) -> None:
    desk = Desk().ready()
    desk.handle(ev.RecordsArrived(MALLORY.peer, tuple(records), tuple(beats), desk.unix))
    desk.until(10)
    assert len(desk.core.nodes) <= 3


@given(payloads)
def test_dht_rules_refuse_with_a_code(value: bytes) -> None:
    rules = NodeRecordRules(RULES, lambda: NOW)
    key = RULES.record_key(BOB.peer)
    if value == BOB.record():
        rules.validate(key, value)
    else:
        with pytest.raises(RemoteProtocolError):
            rules.validate(key, value)
    assert rules.select(key, [value, BOB.record(9)]) == 1


@given(st.integers(0, 3), st.integers(0, 2000), st.integers(1, 255))
def test_any_changed_byte_of_any_frame_keeps_both_from_a_session(number: int, place: int, flip: int) -> None:
    pair = Pair().run({number: lambda frame: altered(frame, place, flip, 0)})
    assert not pair.is_established_on_both_sides
    receiver = pair.responder if number % 2 == 0 else pair.initiator
    assert receiver.finish is None or number == 0


@given(st.integers(0, 3), st.binary(max_size=200))
def test_any_frame_in_place_of_the_awaited_fails_with_a_code(number: int, data: bytes) -> None:
    pair = Pair().run({number: lambda _: data})
    assert not pair.is_established_on_both_sides
    assert any(pair.codes)


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(FRAMES)), max_size=6))
def test_strangers_frames_never_establish(frames: list[bytes]) -> None:
    bob = Pair()
    bob.responder.begin()
    for frame in frames:
        if not bob.responder.is_over:
            bob.responder.take(frame)
        if bob.responder.waits_for_stake and not bob.responder.is_over:
            bob.responder.answer_stake()
    # A replay of Alice's own frames to the same nonce is the only way through, and it opens no key of Mallory's.
    if bob.responder.finish is not None:
        assert FRAMES[0] in frames
        assert bob.responder.finish.peer == ALICE.peer
