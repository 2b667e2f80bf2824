"""EXE-29, EXE-30: nobody gets in without the token and a place among the members, and nobody gets much once in."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.errors import NetworkError
from skyops_p2p.node.execution import gang_links
from skyops_p2p.node.execution.gang_links import LocalLink
from skyops_p2p.wire.messages.gang import GangConnect, GangData, GangReady, GangTaken
from skyops_p2p.wire.model import Message
from tests.unit.core.people import BOB, CAROL, MALLORY
from tests.unit.node.execution.gang_net import TOKEN, GangNet, gang_net, gang_of, receive_all

CREW = {0: BOB, 1: CAROL, 2: CAROL}
OTHER_CREW = {0: BOB, 1: MALLORY}
OTHER_TOKEN = bytes([0xD1] * 32)


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[GangNet]:
    async with gang_net(tmp_path) as opened:
        yield opened


def connect(**changes: object) -> GangConnect:
    fields = {"token": TOKEN, "line": bytes(16), "from_rank": 1, "to_rank": 0, "taken": 0, "is_new": True}
    return GangConnect.model_validate({**fields, **changes})


async def end_of(link: LocalLink) -> str:
    """Wait for the session's end; return why it ended."""
    with trio.fail_after(60), suppress(NetworkError):
        while True:
            await link.receive()
    return link.code


async def answer_to(link: LocalLink, message: Message) -> str:
    """Say something first; return why the session ends."""
    await gang_links.send(link, message)
    return await end_of(link)


async def opened(net: GangNet, line: bytes = bytes(16)) -> LocalLink:
    """Open a line to bob's program as carol's node would, by hand."""
    link = net.link(CAROL, BOB.peer)
    await gang_links.send(link, connect(line=line))
    assert isinstance(await gang_links.receive(link, gang_links.ANSWER), GangReady)
    return link


@pytest.mark.parametrize(
    "changes",
    [
        {"token": bytes(32)},
        {"token": OTHER_TOKEN},
        {"to_rank": 2},
        {"to_rank": 7},
        {"from_rank": 0},
        {"from_rank": 7},
    ],
    ids=["no token", "another gang's", "a member elsewhere", "no member", "itself", "from no member"],
)
async def test_member_that_says_something_else_than_its_list_gets_nowhere(
    autojump_clock: MockClock, net: GangNet, changes: dict[str, object]
) -> None:  # EXE-29
    await net.join(BOB, gang_of(0, CREW))
    assert await answer_to(net.link(CAROL, BOB.peer), connect(**changes)) == "unknown_gang"


async def test_stranger_who_knows_the_token_gets_nowhere(
    autojump_clock: MockClock, net: GangNet
) -> None:  # EXE-29
    bob = await net.join(BOB, gang_of(0, CREW))
    async with await bob.listen() as listener:
        for rank in CREW:
            link = net.link(MALLORY, BOB.peer)
            assert await answer_to(link, connect(from_rank=rank)) == "unknown_gang"
        with trio.move_on_after(60) as waiting:
            await listener.accept()
        assert waiting.cancelled_caught


async def test_member_of_another_gang_on_the_same_node_gets_nowhere(
    autojump_clock: MockClock, net: GangNet
) -> None:  # EXE-29
    await net.join(BOB, gang_of(0, CREW))
    await net.join(BOB, gang_of(0, OTHER_CREW, OTHER_TOKEN))
    for token in (TOKEN, bytes(32)):
        assert await answer_to(net.link(MALLORY, BOB.peer), connect(token=token)) == "unknown_gang"
    assert await answer_to(net.link(CAROL, BOB.peer), connect(token=OTHER_TOKEN)) == "unknown_gang"


async def test_gang_of_an_earlier_attempt_gets_nowhere(autojump_clock: MockClock, net: GangNet) -> None:
    earlier = await net.join(BOB, gang_of(0, CREW, OTHER_TOKEN))
    earlier.seat.close()
    await trio.lowlevel.checkpoint()
    await net.join(BOB, gang_of(0, CREW))
    assert await answer_to(net.link(CAROL, BOB.peer), connect(token=OTHER_TOKEN)) == "unknown_gang"


@pytest.mark.parametrize("message", [GangReady(taken=0), GangTaken(taken=0)])
async def test_session_that_does_not_begin_with_a_connect_is_ended(
    autojump_clock: MockClock, net: GangNet, message: Message
) -> None:  # EXE-29
    assert await answer_to(net.link(MALLORY, BOB.peer), message) == "wrong_type"


async def test_session_that_says_nothing_is_ended(autojump_clock: MockClock, net: GangNet) -> None:  # EXE-29
    began = trio.current_time()
    assert await end_of(net.link(MALLORY, BOB.peer)) == "timeout"
    assert trio.current_time() - began == limits.GANG_ANSWER_S


async def test_sessions_that_say_nothing_are_bounded(autojump_clock: MockClock, net: GangNet) -> None:
    links = [net.link(MALLORY, BOB.peer) for _ in range(limits.GANG_HALF_OPEN_PER_PEER_MAX)]
    await trio.sleep(0.1)
    assert await end_of(net.link(MALLORY, BOB.peer)) == "busy"
    await net.join(BOB, gang_of(0, CREW))
    assert await answer_to(net.link(CAROL, BOB.peer), connect(token=bytes(32))) == "unknown_gang"
    assert [link.code for link in links] == [""] * len(links)


async def test_line_that_nobody_knows_is_not_resumed(
    autojump_clock: MockClock, net: GangNet
) -> None:  # EXE-29
    await net.join(BOB, gang_of(0, CREW))
    assert await answer_to(net.link(CAROL, BOB.peer), connect(is_new=False)) == "unknown_line"


async def test_lines_from_one_member_are_bounded(autojump_clock: MockClock, net: GangNet) -> None:  # EXE-29
    bob = await net.join(BOB, gang_of(0, CREW))
    async with await bob.listen():
        for number in range(limits.GANG_LINES_PER_PAIR_MAX):
            await opened(net, bytes([number] * 16))
        surplus = connect(line=bytes([0xFF] * 16))
        assert await answer_to(net.link(CAROL, BOB.peer), surplus) == "busy"
        await opened(net, bytes(16))  # one that stands goes on over another session


async def test_connections_of_a_program_to_one_member_are_bounded(
    autojump_clock: MockClock, net: GangNet
) -> None:
    bob = await net.join(BOB, gang_of(0, CREW))
    streams = [await bob.call(1) for _ in range(limits.GANG_LINES_PER_PAIR_MAX)]
    surplus = await bob.call(1)
    assert await receive_all(surplus) == b""
    with trio.move_on_after(10) as waiting:
        await streams[0].receive_some(1)
    assert waiting.cancelled_caught
    for stream in (*streams, surplus):
        await stream.aclose()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (GangData(offset=1, data=b"gap", is_last=False), "malformed"),
        (GangTaken(taken=1), "malformed"),
        (connect(), "wrong_type"),
    ],
    ids=["gap", "taken what was not sent", "connect"],
)
async def test_nonsense_on_a_line_ends_it_for_the_program_too(
    autojump_clock: MockClock, net: GangNet, message: Message, code: str
) -> None:  # EXE-30
    bob = await net.join(BOB, gang_of(0, CREW))
    async with await bob.listen() as listener:
        link = await opened(net)
        async with await listener.accept() as here:
            assert await answer_to(link, message) == code
            assert await receive_all(here) == b""


async def test_member_that_sends_more_than_may_wait_is_cut_off(
    autojump_clock: MockClock, net: GangNet
) -> None:  # EXE-30
    bob = await net.join(BOB, gang_of(0, CREW))
    async with await bob.listen() as listener:
        link = await opened(net)
        async with await listener.accept():
            data, offset = bytes(limits.GANG_DATA_BYTES_MAX), 0
            with trio.fail_after(60), suppress(NetworkError):
                while True:
                    await gang_links.send(link, GangData(offset=offset, data=data, is_last=False))
                    offset += len(data)
            assert link.code == "flood"


async def test_resumption_that_claims_too_much_ends_the_line(
    autojump_clock: MockClock, net: GangNet
) -> None:  # EXE-30
    bob = await net.join(BOB, gang_of(0, CREW))
    async with await bob.listen() as listener:
        await opened(net)
        async with await listener.accept():
            again = connect(is_new=False, taken=5)
            assert await answer_to(net.link(CAROL, BOB.peer), again) == "malformed"
