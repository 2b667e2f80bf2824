"""EXE-31, EXE-32, EXE-33: what members send each other arrives, over whatever breaks; and what a program may put in
its directory leads nowhere."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from tests.unit.core.people import BOB, CAROL
from tests.unit.node.execution.gang_net import (
    Crewman,
    GangNet,
    gang_net,
    gang_of,
    is_open,
    place_of,
    receive_all,
)

CREW = {0: BOB, 1: CAROL}
NOISE = bytes(range(256)) * 4096


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[GangNet]:
    async with gang_net(tmp_path) as opened:
        yield opened


async def pair(net: GangNet) -> tuple[Crewman, Crewman]:
    return await net.join(BOB, gang_of(0, CREW)), await net.join(CAROL, gang_of(1, CREW))


async def connected(bob: Crewman, carol: Crewman) -> tuple[trio.SocketStream, trio.SocketStream]:
    """Have carol's program call bob's; return their ends."""
    async with await bob.listen() as listener:
        there = await carol.call(0)
        return await listener.accept(), there


async def test_bytes_and_ends_travel_both_ways(autojump_clock: MockClock, net: GangNet) -> None:
    bob, carol = await pair(net)
    here, there = await connected(bob, carol)
    async with here, there:
        await there.send_all(b"question")
        await there.send_eof()
        assert await receive_all(here) == b"question"
        await here.send_all(b"answer")
        await here.send_eof()
        assert await receive_all(there) == b"answer"


async def test_members_on_one_node_reach_each_other_too(autojump_clock: MockClock, net: GangNet) -> None:
    crew = {0: BOB, 1: BOB}
    here, there = await connected(
        await net.join(BOB, gang_of(0, crew)), await net.join(BOB, gang_of(1, crew))
    )
    async with here, there:
        await there.send_all(b"question")
        assert await here.receive_some(64) == b"question"
    assert net.links == [], "no session with oneself"


async def test_there_is_a_socket_for_each_other_member_and_for_nobody_else(
    autojump_clock: MockClock, net: GangNet
) -> None:  # EXE-33
    bob = await net.join(BOB, gang_of(3, {1: CAROL, 3: BOB, 6: BOB}))
    assert sorted(path.name for path in bob.folder.iterdir()) == ["1.sock", "6.sock"]


async def test_who_calls_before_the_other_program_listens_waits(
    autojump_clock: MockClock, net: GangNet
) -> None:
    carol = await net.join(CAROL, gang_of(1, CREW))
    there = await carol.call(0)
    async with there:
        await there.send_all(b"early")
        await trio.sleep(60)
        bob = await net.join(BOB, gang_of(0, CREW), listens=False)
        await trio.sleep(600)
        bob.begin()
        await trio.sleep(5)
        async with await bob.listen() as listener, await listener.accept() as here:
            assert await here.receive_some(64) == b"early"


async def test_nothing_is_lost_or_doubled_when_sessions_break(
    autojump_clock: MockClock, net: GangNet
) -> None:  # EXE-31
    bob, carol = await pair(net)
    here, there = await connected(bob, carol)

    async def disturb() -> None:
        while True:
            await trio.sleep(0.2)
            await net.cut()

    async def write() -> None:
        for start in range(0, len(NOISE), 50_000):
            await there.send_all(NOISE[start : start + 50_000])
            await trio.sleep(0.1)
        await there.send_eof()

    async with here, there, trio.open_nursery() as nursery:
        nursery.start_soon(disturb)
        nursery.start_soon(write)
        assert await receive_all(here) == NOISE
        nursery.cancel_scope.cancel()
    assert len(net.links) > 3, "it has not been disturbed"


async def test_line_stands_still_while_the_way_is_broken_and_goes_on_after(
    autojump_clock: MockClock, net: GangNet
) -> None:
    bob, carol = await pair(net)
    here, there = await connected(bob, carol)
    async with here, there:
        net.is_cut = True
        await net.cut()
        await there.send_all(b"later")
        with trio.move_on_after(limits.GANG_RESUME_S - 10) as waiting:
            await here.receive_some(64)
        assert waiting.cancelled_caught
        net.is_cut = False
        assert await here.receive_some(64) == b"later"


async def test_line_is_over_when_the_way_stays_broken(
    autojump_clock: MockClock, net: GangNet
) -> None:  # EXE-31
    bob, carol = await pair(net)
    here, there = await connected(bob, carol)
    async with here, there:
        net.is_cut = True
        began = trio.current_time()
        await net.cut()
        assert await receive_all(here) == await receive_all(there) == b""
        assert trio.current_time() - began == pytest.approx(limits.GANG_RESUME_S, abs=1)


async def test_program_that_does_not_read_makes_the_other_wait(
    autojump_clock: MockClock, net: GangNet
) -> None:
    bob, carol = await pair(net)
    here, there = await connected(bob, carol)
    sent = 0
    async with here, there:
        with trio.move_on_after(60):
            while True:
                await there.send_all(bytes(65_536))
                sent += 65_536
        most = 2 * limits.GANG_LINE_BYTES_MAX + 4 * 212_992  # and what two pairs of Unix sockets hold
        assert limits.GANG_LINE_BYTES_MAX < sent <= most


# --- ends -----------------------------------------------------------------------------------------------------------
async def test_others_learn_nothing_of_a_program_that_ended_badly(
    autojump_clock: MockClock, net: GangNet
) -> None:  # EXE-32
    bob, carol = await pair(net)
    here, there = await connected(bob, carol)
    await there.aclose()
    await carol.seat.program_ended(is_well=False)
    async with here:
        with trio.move_on_after(1000) as waiting:
            await here.receive_some(64)
        assert waiting.cancelled_caught, "as long as its worker has the run"
        carol.seat.close()
        began = trio.current_time()
        assert await receive_all(here) == b""
        assert trio.current_time() - began == pytest.approx(limits.GANG_RESUME_S, abs=6)


async def test_others_learn_nothing_of_a_program_that_is_asked_to_end(
    autojump_clock: MockClock, net: GangNet
) -> None:  # EXE-32
    bob, carol = await pair(net)
    here, there = await connected(bob, carol)
    carol.seat.hold()
    await there.aclose()
    async with here:
        with trio.move_on_after(1000) as waiting:
            await here.receive_some(64)
        assert waiting.cancelled_caught


async def test_what_a_program_sent_before_its_good_end_arrives_with_the_end(
    autojump_clock: MockClock, net: GangNet
) -> None:  # EXE-32
    bob, carol = await pair(net)
    here, there = await connected(bob, carol)
    await there.send_all(NOISE[:100_000])
    await there.aclose()
    async with here, trio.open_nursery() as nursery:

        async def leave() -> None:
            await carol.seat.program_ended(is_well=True)
            carol.seat.close()

        nursery.start_soon(leave)
        assert await receive_all(here) == NOISE[:100_000]


async def test_program_that_closes_while_it_runs_on_is_seen_to_have_closed(
    autojump_clock: MockClock, net: GangNet
) -> None:
    bob, carol = await pair(net)
    here, there = await connected(bob, carol)
    await there.aclose()
    async with here:
        with trio.fail_after(limits.GANG_CLOSE_WAIT_S + 1):
            assert await receive_all(here) == b""


async def test_seat_that_is_left_uses_nothing_of_its_directory(
    autojump_clock: MockClock, net: GangNet
) -> None:
    bob, carol = await pair(net)
    here, there = await connected(bob, carol)
    bob.seat.close()
    assert not is_open(bob.folder)
    with pytest.raises(OSError, match="refused"):
        await bob.call(1)
    await here.aclose()
    await there.aclose()


# --- what a program may put there -----------------------------------------------------------------------------------
async def test_link_in_the_place_of_the_programs_socket_is_not_followed(
    autojump_clock: MockClock, net: GangNet, tmp_path: Path
) -> None:  # EXE-33
    bob, carol = await pair(net)
    outside = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with place_of(tmp_path / "host.sock") as place:
        await outside.bind(place)
    outside.listen()
    (bob.folder / "listen.sock").symlink_to(tmp_path / "host.sock")
    async with trio.SocketListener(outside) as listener, await carol.call(0) as there:
        await there.send_all(b"let me out")
        with trio.move_on_after(60) as waiting:
            await listener.accept()
        assert waiting.cancelled_caught


async def test_socket_that_the_worker_made_is_not_the_programs_under_another_name(
    autojump_clock: MockClock,
    net: GangNet,
) -> None:  # EXE-33
    bob, carol = await pair(net)
    (bob.folder / "1.sock").rename(bob.folder / "listen.sock")
    async with await carol.call(0) as there, await carol.listen() as listener:
        await there.send_all(b"round and round")
        with trio.move_on_after(60) as waiting:
            await listener.accept()
        assert waiting.cancelled_caught


async def test_file_in_the_place_of_the_programs_socket_is_waited_out(
    autojump_clock: MockClock, net: GangNet
) -> None:
    bob, carol = await pair(net)
    (bob.folder / "listen.sock").write_text("not yet")
    async with await carol.call(0) as there:
        await there.send_all(b"patience")
        await trio.sleep(10)
        (bob.folder / "listen.sock").unlink()
        async with await bob.listen() as listener, await listener.accept() as here:
            assert await here.receive_some(64) == b"patience"
