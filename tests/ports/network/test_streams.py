"""Streams of frames, both directions, closed at every point."""

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.errors import NetworkError, RemoteProtocolError
from tests.ports.network.conftest import PATIENCE_S

pytestmark = pytest.mark.net


async def echo_frames(stream):
    while True:
        await stream.send_frame(await stream.receive_frame(bytes_max=limits.FRAME_BYTES_MAX))


async def test_frames_flow_in_both_directions(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_streams(talk.streams, echo_frames)
        await talk.connect(alice, bob)
        stream = await alice.open_stream(bob.peer_id, talk.streams, timeout_s=PATIENCE_S)
        assert stream.peer == bob.peer_id
        for size in (0, 1, 127, 128, 16_383, 16_384, 300_000):
            frame = bytes([size % 251]) * size
            await stream.send_frame(frame)
            with trio.fail_after(PATIENCE_S):
                assert await stream.receive_frame(bytes_max=limits.FRAME_BYTES_MAX) == frame
        await stream.aclose()


async def test_longest_frames_flow_one_after_the_other(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_streams(talk.streams, echo_frames)
        await talk.connect(alice, bob)
        stream = await alice.open_stream(bob.peer_id, talk.streams, timeout_s=PATIENCE_S)
        with trio.fail_after(PATIENCE_S):
            for number in range(6):
                frame = bytes([number]) * limits.FRAME_BYTES_MAX
                await stream.send_frame(frame)
                assert await stream.receive_frame(bytes_max=limits.FRAME_BYTES_MAX) == frame
        await stream.aclose()


async def test_many_frames_can_be_sent_before_the_first_is_read(world, talk):
    got = []

    async def collect(stream):
        while True:
            got.append(await stream.receive_frame(bytes_max=10_000))

    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_streams(talk.streams, collect)
        await talk.connect(alice, bob)
        stream = await alice.open_stream(bob.peer_id, talk.streams, timeout_s=PATIENCE_S)
        for number in range(500):
            await stream.send_frame(number.to_bytes(2, "big") * 100)
        await talk.wait(lambda: len(got) == 500)
        assert [frame[:2] for frame in got] == [number.to_bytes(2, "big") for number in range(500)]
        await stream.aclose()


async def test_frame_above_the_receivers_bound_is_the_senders_fault(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_streams(talk.streams, echo_frames)
        await talk.connect(alice, bob)
        stream = await alice.open_stream(bob.peer_id, talk.streams, timeout_s=PATIENCE_S)
        await stream.send_frame(b"x" * 101)
        with trio.fail_after(PATIENCE_S), pytest.raises(RemoteProtocolError) as caught:
            await stream.receive_frame(bytes_max=100)
        assert caught.value.code == "oversized"
        await stream.aclose()


async def test_close_by_the_peer_is_told_after_its_last_frame(world, talk):
    async def say_and_go(stream):
        await stream.send_frame(b"last words")

    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_streams(talk.streams, say_and_go)
        await talk.connect(alice, bob)
        stream = await alice.open_stream(bob.peer_id, talk.streams, timeout_s=PATIENCE_S)
        with trio.fail_after(PATIENCE_S):
            assert await stream.receive_frame(bytes_max=100) == b"last words"
            with pytest.raises(NetworkError):
                await stream.receive_frame(bytes_max=100)
        await stream.aclose()


async def test_own_close_ends_the_servers_stream(world, talk):
    ended = []

    async def serve(stream):
        try:
            await stream.receive_frame(bytes_max=100)
        except NetworkError as error:
            ended.append(error.code)
            raise

    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_streams(talk.streams, serve)
        await talk.connect(alice, bob)
        stream = await alice.open_stream(bob.peer_id, talk.streams, timeout_s=PATIENCE_S)
        await stream.aclose()
        await stream.aclose()
        with pytest.raises(NetworkError):
            await stream.send_frame(b"too late")
        await talk.wait(lambda: bool(ended))
        assert ended == ["stream_closed"]


async def test_lost_connection_ends_a_waiting_receive(world, talk):
    async def stay(stream):
        await trio.sleep_forever()

    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_streams(talk.streams, stay)
        await talk.connect(alice, bob)
        stream = await alice.open_stream(bob.peer_id, talk.streams, timeout_s=PATIENCE_S)
        async with trio.open_nursery() as nursery:

            async def receive():
                with pytest.raises(NetworkError):
                    await stream.receive_frame(bytes_max=100)

            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked(0.02)
            with trio.fail_after(PATIENCE_S):
                await bob.disconnect(alice.peer_id)
        await stream.aclose()


async def test_failing_stream_server_is_contained(world, talk):
    async def fail(stream):
        await stream.receive_frame(bytes_max=100)
        raise ZeroDivisionError

    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_streams(talk.streams, fail)
        await talk.connect(alice, bob)
        stream = await alice.open_stream(bob.peer_id, talk.streams, timeout_s=PATIENCE_S)
        await stream.send_frame(b"x")
        with trio.fail_after(PATIENCE_S), pytest.raises(NetworkError):
            await stream.receive_frame(bytes_max=100)
        await talk.wait(lambda: bob.statistics().contained_errors == 1)
        assert bob.connected_peers() == {alice.peer_id}
        await stream.aclose()


async def test_stream_to_a_stranger_or_of_an_unknown_protocol_fails(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        with pytest.raises(NetworkError) as caught:
            await alice.open_stream(bob.peer_id, talk.streams, timeout_s=1.0)
        assert caught.value.code == "not_connected"
        await talk.connect(alice, bob)
        with pytest.raises(NetworkError) as caught:
            await alice.open_stream(bob.peer_id, talk.streams, timeout_s=PATIENCE_S)
        assert caught.value.code == "protocol_unsupported"


async def test_streams_of_one_peer_are_bounded(world, talk):
    serving = []

    async def stay(stream):
        serving.append(stream)
        await trio.sleep_forever()

    async with world.open("alice") as alice, world.open("bob") as bob, trio.open_nursery() as nursery:
        bob.serve_streams(talk.streams, stay)
        await talk.connect(alice, bob)
        opened, refused = [], []

        async def open_one():
            try:
                opened.append(await alice.open_stream(bob.peer_id, talk.streams, timeout_s=PATIENCE_S))
            except NetworkError as error:
                refused.append(error.code)

        for _ in range(limits.STREAMS_PER_PEER_MAX + 10):
            nursery.start_soon(open_one)
        await talk.wait(lambda: len(opened) + len(refused) == limits.STREAMS_PER_PEER_MAX + 10)
        assert len(serving) <= limits.STREAMS_PER_PEER_MAX
        assert len(refused) >= 10
        for stream in opened:
            await stream.aclose()
        nursery.cancel_scope.cancel()
