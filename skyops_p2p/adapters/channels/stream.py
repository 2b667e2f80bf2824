"""Frames over a TCP socket, and the caller's half of a data channel's beginning.

A frame is a length of 4 bytes, big-endian, and that many bytes. Received bytes go into one buffer that is kept, and a
frame is cut out of it once, so a block costs one copy.
"""

import socket
from collections.abc import Sequence

import trio

from skyops_p2p import limits
from skyops_p2p.core.content import channel
from skyops_p2p.core.content.channel import Ticket
from skyops_p2p.errors import LocalProtocolError, NetworkError, RemoteProtocolError
from skyops_p2p.types import PeerId

LENGTH_BYTES = 4
BUFFER_BYTES = limits.FRAME_BYTES_MAX + 64 * 1024
"""Room for one whole frame and the beginning of the next."""


class TcpFrameStream:
    """A `ports.FrameStream` over a connected socket.

    Args:
        sock: Connected.
        peer: Who proved to be at the other end.
    """

    def __init__(self, sock: trio.socket.SocketType, peer: PeerId) -> None:
        self._socket = sock
        self._peer = peer
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def peer(self) -> PeerId:
        """The remote peer."""
        return self._peer

    def belongs_to(self, peer: PeerId) -> None:
        """Note who proved to be at the other end; what was read ahead stays."""
        self._peer = peer

    async def send_frame(self, frame: bytes) -> None:
        """See ports.FrameStream; a peer that takes nothing for CONTENT_STALL_S is cut off."""
        if len(frame) > limits.FRAME_BYTES_MAX:
            raise LocalProtocolError(f"a frame of {len(frame)} bytes; the limit is {limits.FRAME_BYTES_MAX}")
        await self.send_bytes(len(frame).to_bytes(LENGTH_BYTES, "big") + frame)

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are.

        Raises:
            NetworkError: `stream_broken`.
        """
        rest = memoryview(data)
        try:
            with trio.fail_after(limits.CONTENT_STALL_S):
                while rest:
                    rest = rest[await self._socket.send(rest) :]
        except (OSError, trio.ClosedResourceError, trio.TooSlowError) as error:
            raise self._broken(error) from error

    async def receive_frame(self, *, bytes_max: int) -> bytes:
        """See ports.FrameStream."""
        length = int.from_bytes(await self.receive_bytes(LENGTH_BYTES), "big")
        if length > min(bytes_max, limits.FRAME_BYTES_MAX):
            raise RemoteProtocolError(
                f"a frame of {length} bytes", code="oversized", rule="CON-15", peer=self._peer
            )
        return await self.receive_bytes(length)

    async def receive_bytes(self, size: int) -> bytes:
        """Wait for exactly `size` bytes, at most a frame.

        Raises:
            NetworkError: `stream_closed` or `stream_broken`.
        """
        while self._end - self._start < size:
            if self._start + size > BUFFER_BYTES:
                kept = self._end - self._start
                self._buffer[:kept] = self._buffer[self._start : self._end]
                self._start, self._end = 0, kept
            try:
                count = await self._socket.recv_into(self._view[self._end :])
            except (OSError, trio.ClosedResourceError) as error:
                raise self._broken(error) from error
            if not count:
                raise NetworkError(f"{self._peer} closed the data channel", code="stream_closed")
            self._end += count
        data = bytes(self._view[self._start : self._start + size])
        self._start += size
        if self._start == self._end:
            self._start = self._end = 0
        return data

    async def aclose(self) -> None:
        """Close; never raises, never blocks."""
        self._socket.close()
        await trio.lowlevel.cancel_shielded_checkpoint()

    def _broken(self, error: BaseException) -> NetworkError:
        return NetworkError(
            f"the data channel to {self._peer} broke ({type(error).__name__})", code="stream_broken"
        )


async def connect_channel(peer: PeerId, hosts: Sequence[str], ticket: Ticket, nonce: bytes) -> TcpFrameStream:
    """Connect to a peer's data channel; the first host that answers and knows the key is taken.

    Args:
        peer: Whose offer it is.
        hosts: IP addresses under which the peer is known.
        ticket: From its offer.
        nonce: 32 random bytes.

    Raises:
        NetworkError: `channel_unreachable`: no host answered within CONTENT_OPEN_TIMEOUT_S.
        RemoteProtocolError: `bad_proof`: who answered is not the peer.
    """
    refused: RemoteProtocolError | None = None
    with trio.move_on_after(limits.CONTENT_OPEN_TIMEOUT_S):
        for host in hosts[: limits.ADDRS_PER_PEER_MAX]:
            try:
                return await _connect(peer, host, ticket, nonce)
            except NetworkError:
                continue
            except RemoteProtocolError as error:
                refused = error
    if refused is not None:
        raise refused
    raise NetworkError(f"no data channel to {peer}", code="channel_unreachable")


async def _connect(peer: PeerId, host: str, ticket: Ticket, nonce: bytes) -> TcpFrameStream:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    stream = TcpFrameStream(sock, peer)
    is_ready = False
    try:
        with trio.fail_after(limits.CONTENT_OPEN_TIMEOUT_S / 2):
            await sock.connect((host, ticket.port))
            await stream.send_bytes(channel.hello(ticket.token, nonce))
            reply = await stream.receive_bytes(channel.REPLY_BYTES)
            await stream.send_bytes(channel.check_reply(ticket, nonce, reply))
        is_ready = True
        return stream
    except (OSError, trio.TooSlowError) as error:
        raise NetworkError(f"no data channel to {peer} at {host}", code="channel_unreachable") from error
    finally:
        if not is_ready:
            await stream.aclose()
