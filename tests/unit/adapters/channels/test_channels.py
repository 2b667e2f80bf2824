"""Data channels: only who has the key is served, and nobody can hold the door."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.adapters.channels import (
    ChannelListener,
    TcpFrameStream,
    connect_channel,
    open_channel_listener,
)
from skyops_p2p.core.content import channel
from skyops_p2p.core.content.channel import Ticket
from skyops_p2p.errors import LocalProtocolError, NetworkError, RemoteProtocolError
from skyops_p2p.ports import FrameStream
from skyops_p2p.types import PeerId

BOB, MALLORY = PeerId("bob"), PeerId("mallory")
NONCE = bytes(32)

pytestmark = pytest.mark.net
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nobody cut off for saying nothing before a test has given up."""
    monkeypatch.setattr(limits, "CONTENT_OPEN_TIMEOUT_S", 10 * PATIENCE_S)


@dataclass
class Door:
    """A listener, and everything that was connected to it, which is closed at the end."""

    listener: ChannelListener
    stack: AsyncExitStack

    def offer(self, peer: PeerId) -> Ticket:
        return self.listener.offer(peer)

    async def raw(self) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self.listener.port)
        return await self.stack.enter_async_context(stream)

    async def connect(self, ticket: Ticket, hosts: Sequence[str] = ("127.0.0.1",)) -> TcpFrameStream:
        stream = await connect_channel(MALLORY, hosts, ticket, NONCE)
        self.stack.push_async_callback(stream.aclose)
        return stream


@asynccontextmanager
async def echo_door() -> AsyncIterator[Door]:
    """Say who it is, then send every frame back."""

    async def serve(stream: FrameStream) -> None:
        await stream.send_frame(stream.peer.encode())
        while True:
            await stream.send_frame(await stream.receive_frame(bytes_max=limits.FRAME_BYTES_MAX))

    async with (
        open_channel_listener(["127.0.0.1"], 0, serve, token=secrets.token_bytes) as listener,
        AsyncExitStack() as stack,
    ):
        yield Door(listener, stack)


async def code_of(call) -> str:
    with pytest.raises((NetworkError, RemoteProtocolError)) as caught:
        await call
    return caught.value.code


async def is_closed(stream: trio.SocketStream) -> bool:
    with trio.fail_after(PATIENCE_S):
        try:
            return await stream.receive_some(1) == b""
        except trio.BrokenResourceError:
            return True


async def test_who_has_the_offer_is_served_by_name() -> None:
    async with echo_door() as door:
        stream = await door.connect(door.offer(BOB))
        assert await stream.receive_frame(bytes_max=10) == b"bob"
        for frame in (b"", b"x", secrets.token_bytes(limits.FRAME_BYTES_MAX)):
            await stream.send_frame(frame)
            assert await stream.receive_frame(bytes_max=limits.FRAME_BYTES_MAX) == frame
        with pytest.raises(LocalProtocolError):
            await stream.send_frame(bytes(limits.FRAME_BYTES_MAX + 1))
        await stream.aclose()
        assert await code_of(stream.receive_frame(bytes_max=1)) == "stream_broken"


async def test_an_offer_serves_again_after_a_break() -> None:
    async with echo_door() as door:
        ticket = door.offer(BOB)
        for _ in range(2):
            stream = await door.connect(ticket)
            assert await stream.receive_frame(bytes_max=10) == b"bob"
            await stream.aclose()


async def test_what_is_sent_with_the_proof_is_not_lost() -> None:
    async with echo_door() as door:
        ticket = door.offer(BOB)
        stream = await door.raw()
        await stream.send_all(channel.hello(ticket.token, NONCE))
        reply = b""
        while len(reply) < channel.REPLY_BYTES:
            reply += await stream.receive_some(channel.REPLY_BYTES - len(reply))
        await stream.send_all(channel.check_reply(ticket, NONCE, reply) + b"\0\0\0\x05early")
        answer = b""
        while len(answer) < 16:
            answer += await stream.receive_some(100)
        assert answer == b"\0\0\0\x03bob\0\0\0\x05early"


async def test_another_key_is_found_out_by_both_sides() -> None:  # CON-17
    async with echo_door() as door:
        ticket = door.offer(BOB)
        wrong = Ticket(ticket.port, ticket.token, bytes(32))
        assert await code_of(door.connect(wrong)) == "bad_proof"
        stream = await door.raw()
        await stream.send_all(channel.hello(ticket.token, NONCE) + bytes(32))
        with trio.fail_after(PATIENCE_S):
            got = await stream.receive_some(1000)
            assert len(got) <= channel.REPLY_BYTES
            while got:
                got = await stream.receive_some(1000)


async def test_a_recorded_beginning_is_of_no_use() -> None:
    async with echo_door() as door:
        ticket = door.offer(BOB)
        first = await door.raw()
        await first.send_all(channel.hello(ticket.token, NONCE))
        reply = await first.receive_some(channel.REPLY_BYTES)
        proof = channel.check_reply(ticket, NONCE, reply)
        second = await door.raw()
        await second.send_all(channel.hello(ticket.token, NONCE))
        again = await second.receive_some(channel.REPLY_BYTES)
        assert again != reply
        await second.send_all(proof)
        assert await is_closed(second)


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".ljust(80),
        bytes(channel.HELLO_BYTES),
        channel.hello(bytes(16), NONCE),
    ],
    ids=["http", "zeros", "unknown offer"],
)
async def test_other_beginnings_are_closed_without_a_word(beginning: bytes) -> None:  # CON-16
    async with echo_door() as door:
        stream = await door.raw()
        await stream.send_all(beginning[: channel.HELLO_BYTES])
        assert await is_closed(stream)


async def test_those_that_say_nothing_make_room_for_others() -> None:
    async with echo_door() as door:
        silent = [await door.raw() for _ in range(limits.CONTENT_CHANNELS_HALF_OPEN_MAX + 4)]
        stream = await door.connect(door.offer(BOB))
        assert await stream.receive_frame(bytes_max=10) == b"bob"
        assert await is_closed(silent[0])


async def test_one_peer_has_few_channels_and_leaves_room_for_others() -> None:  # CON-13
    async with echo_door() as door:
        held = []
        for _ in range(limits.CONTENT_CHANNELS_PER_PEER_MAX):
            stream = await door.connect(door.offer(BOB))
            assert await stream.receive_frame(bytes_max=10) == b"bob"
            held.append(stream)
        extra = await door.connect(door.offer(BOB))
        assert await code_of(extra.receive_frame(bytes_max=10)) in ("stream_closed", "stream_broken")
        other = await door.connect(door.offer(MALLORY))
        assert await other.receive_frame(bytes_max=10) == b"mallory"


async def test_a_frame_that_is_too_long_is_refused_by_its_length() -> None:  # CON-15
    async with echo_door() as door:
        stream = await door.connect(door.offer(BOB))
        await stream.receive_frame(bytes_max=10)
        await stream.send_frame(bytes(11))
        assert await code_of(stream.receive_frame(bytes_max=10)) == "oversized"
        await stream.send_bytes((limits.FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
        await stream.receive_bytes(11)
        assert await code_of(stream.receive_bytes(1)) in ("stream_closed", "stream_broken")


async def test_an_unreachable_channel_says_so() -> None:
    async with echo_door() as door:
        ticket = door.offer(BOB)
    assert await code_of(connect_channel(BOB, ["127.0.0.1", "::1"], ticket, NONCE)) == "channel_unreachable"
    assert await code_of(connect_channel(BOB, [], ticket, NONCE)) == "channel_unreachable"


async def test_a_port_that_is_taken_is_told() -> None:
    async with echo_door() as door:

        async def serve(stream: FrameStream) -> None:
            await stream.aclose()

        with pytest.raises(NetworkError) as caught:
            ChannelListener(serve, secrets.token_bytes).bind(["127.0.0.1"], door.listener.port)
        assert caught.value.code == "port_taken"


async def test_old_offers_make_room_for_new_ones() -> None:
    async with echo_door() as door:
        first = door.offer(BOB)
        for _ in range(limits.CONTENT_OFFERS_MAX):
            last = door.offer(BOB)
        assert await code_of(door.connect(first)) == "channel_unreachable"
        assert await door.connect(last)
