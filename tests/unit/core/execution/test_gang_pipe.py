"""EXE-30, EXE-31: a line between two members loses, doubles and reorders nothing, and is bounded."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.core.execution.gang_pipe import GangPipe
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.messages.gang import GangData, GangTaken

WINDOW = 64


def refusal(pipe: GangPipe, message: GangData | GangTaken) -> str:
    with pytest.raises(RemoteProtocolError) as refused:
        pipe.take(message)
    assert refused.value.rule == "EXE-30"
    return refused.value.code


@dataclass
class End:
    """One end of a line, with the program behind it."""

    pipe: GangPipe = field(default_factory=lambda: GangPipe(window=WINDOW))
    wire: list[GangData | GangTaken] = field(default_factory=list)
    """What it has sent in the present session and nobody has got."""
    got: bytes = b""
    has_end: bool = False

    def send(self) -> None:
        message = self.pipe.next_message()
        if message is not None:
            self.wire.append(message)

    def read(self, count: int) -> None:
        """Let the program take some of what waits."""
        data = self.pipe.waiting()[:count]
        self.got += data
        self.pipe.took(len(data))
        if self.pipe.is_end_due:
            self.pipe.pass_end()
            self.has_end = True


def deliver(near: End, far: End) -> None:
    if near.wire:
        far.pipe.take(near.wire.pop(0))


def reconnect(near: End, far: End) -> None:
    """Lose what is on the wire, and begin another session."""
    near.wire.clear()
    far.wire.clear()
    here, there = near.pipe.taken, far.pipe.taken
    near.pipe.resume(there, told=here)
    far.pipe.resume(here, told=there)


def drain(near: End, far: End) -> None:
    for _ in range(1000):
        near.send()
        far.send()
        deliver(near, far)
        deliver(far, near)
        near.read(WINDOW)
        far.read(WINDOW)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.booleans(), st.binary(min_size=1, max_size=WINDOW)),
        st.tuples(st.sampled_from(["send", "deliver", "break", "finish"]), st.booleans(), st.just(b"")),
        st.tuples(st.just("read"), st.booleans(), st.binary(max_size=WINDOW)),
    ),
    max_size=120,
)


@given(STEPS)
def test_everything_arrives_once_and_in_order_whatever_breaks(steps: list[tuple[str, bool, bytes]]) -> None:
    ends = {False: End(), True: End()}
    said = {False: b"", True: b""}
    finished: set[bool] = set()
    for what, side, data in steps:
        near, far = ends[side], ends[not side]
        match what:
            case "put" if side not in finished:
                part = data[: near.pipe.room]
                near.pipe.put(part)
                said[side] += part
            case "send":
                near.send()
            case "deliver":
                deliver(near, far)
            case "read":
                near.read(len(data))
            case "finish":
                near.pipe.finish()
                finished.add(side)
            case "break":
                reconnect(near, far)
        assert said[not side].startswith(near.got)
        assert len(near.pipe.waiting()) <= WINDOW
    for end in ends.values():
        end.pipe.finish()
    drain(*ends.values())
    assert (ends[True].got, ends[False].got) == (said[False], said[True])
    assert all(end.pipe.is_over and end.has_end for end in ends.values())


def test_sender_waits_when_the_other_program_does_not_read() -> None:
    alice, bob = End(), End()
    alice.pipe.put(bytes(WINDOW))
    assert alice.pipe.room == 0
    alice.send()
    deliver(alice, bob)
    assert bob.pipe.next_message() is None
    bob.read(WINDOW)
    bob.send()
    deliver(bob, alice)
    assert alice.pipe.room == WINDOW


@pytest.mark.parametrize("surplus", [0, 1])
def test_more_bytes_than_may_wait_are_refused(surplus: int) -> None:  # EXE-30
    pipe = GangPipe(window=WINDOW)
    message = GangData(offset=0, data=bytes(WINDOW + surplus), is_last=False)
    if surplus:
        assert refusal(pipe, message) == "flood"
    else:
        pipe.take(message)
        assert len(pipe.waiting()) == WINDOW


def test_gap_is_refused() -> None:  # EXE-30
    assert refusal(GangPipe(), GangData(offset=1, data=b"x", is_last=False)) == "malformed"


def test_bytes_behind_the_end_and_another_end_are_refused() -> None:  # EXE-30
    pipe = GangPipe()
    pipe.take(GangData(offset=0, data=b"abc", is_last=True))
    pipe.take(GangData(offset=0, data=b"abc", is_last=True))  # again: nothing new
    assert refusal(pipe, GangData(offset=3, data=b"d", is_last=False)) == "malformed"
    assert refusal(pipe, GangData(offset=0, data=b"ab", is_last=True)) == "malformed"
    assert pipe.waiting() == b"abc"


def test_end_before_what_has_come_is_refused() -> None:  # EXE-30
    pipe = GangPipe()
    pipe.take(GangData(offset=0, data=b"abc", is_last=False))
    assert refusal(pipe, GangData(offset=0, data=b"ab", is_last=True)) == "malformed"


@pytest.mark.parametrize("taken", [4, 5, 2**40])
def test_more_taken_than_was_sent_is_refused(taken: int) -> None:  # EXE-30
    pipe = GangPipe()
    pipe.put(b"abc")
    pipe.next_message()
    assert refusal(pipe, GangTaken(taken=taken)) == "malformed"
    with pytest.raises(RemoteProtocolError):
        pipe.resume(taken, told=0)
    pipe.take(GangTaken(taken=3))
    pipe.take(GangTaken(taken=1))  # an older count says nothing


def test_what_comes_again_after_a_break_is_not_passed_on_twice() -> None:  # EXE-31
    alice, bob = End(), End()
    alice.pipe.put(b"abcdef")
    alice.send()
    deliver(alice, bob)
    bob.read(4)
    reconnect(alice, bob)
    alice.send()
    assert alice.wire == [GangData(offset=4, data=b"ef", is_last=False)]
    deliver(alice, bob)
    bob.read(WINDOW)
    assert bob.got == b"abcdef"


def test_line_is_over_only_when_both_programs_know_that_nothing_more_comes() -> None:
    alice, bob = End(), End()
    alice.pipe.finish()
    drain(alice, bob)
    assert bob.has_end
    assert alice.pipe.is_sent
    assert not alice.pipe.is_over
    bob.pipe.put(b"bye")
    bob.pipe.finish()
    drain(alice, bob)
    assert alice.got == b"bye"
    assert alice.pipe.is_over
    assert bob.pipe.is_over
