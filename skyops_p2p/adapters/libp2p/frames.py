"""Length-prefixed frames over a libp2p stream, and what libp2p's errors mean.

A frame is an unsigned LEB128 length in its shortest form, then that many bytes (protocol/00, Frames).
"""

import logging
from collections.abc import Callable
from typing import Any

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.stream.exceptions import StreamEOF

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.host import reset_stream
from skyops_p2p.adapters.libp2p.transport import shielded
from skyops_p2p.errors import LocalProtocolError, NetworkError, RemoteProtocolError
from skyops_p2p.types import PeerId

logger = logging.getLogger(__name__)

READ_BYTES = 64 * 1024
PREFIX_BYTES_MAX = 5
"""Longest length prefix that is looked at: 2^35 is far above any bound."""

FOREIGN_ERRORS = (
    BaseLibp2pError,
    OSError,
    ValueError,
    AssertionError,
    KeyError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)
"""What libp2p raises for a broken connection, by reading it."""


class Libp2pFrameStream:
    """A `ports.FrameStream` over one libp2p stream.

    Args:
        stream: The libp2p stream, its protocol agreed.
        linger: Takes the stream after our close, to reset it if the peer never closes; None resets at once.
        offer: Protocol that is still to be agreed on, see `agreement.protocol_offer`: it goes out with the first frame,
            and the answer to both is waited for together, which saves two round trips. Empty: it is agreed.
    """

    def __init__(
        self, stream: Any, linger: Callable[[Any], None] | None = None, *, offer: bytes = b""
    ) -> None:
        self._stream = stream
        self._linger = linger
        self._unsent_offer = self._unheard_answer = offer
        self._buffer = bytearray()
        self._is_closed = False
        self._has_seen_end = False
        self._peer = PeerId(stream.muxed_conn.peer_id.to_base58())

    @property
    def peer(self) -> PeerId:
        """The authenticated remote peer."""
        return self._peer

    async def send_frame(self, frame: bytes) -> None:
        """Send one frame of at most FRAME_BYTES_MAX bytes.

        Raises:
            NetworkError: The stream is closed (`stream_closed`) or the peer stopped reading (`stream_broken`).
            LocalProtocolError: The frame is too long.
        """
        if len(frame) > limits.FRAME_BYTES_MAX:
            raise LocalProtocolError(f"a frame of {len(frame)} bytes; the limit is {limits.FRAME_BYTES_MAX}")
        if self._is_closed:
            raise self._closed_error("was closed by us")
        try:
            offer, self._unsent_offer = self._unsent_offer, b""
            await self._stream.write(offer + encode_length(len(frame)) + frame)
        except FOREIGN_ERRORS as error:
            raise self._broken_error(error) from error

    async def receive_frame(self, *, bytes_max: int) -> bytes:
        """Wait for one frame.

        Raises:
            NetworkError: Closed before a whole frame (`stream_closed`), broken (`stream_broken`), or the peer does not
                take the offered protocol (`protocol_unsupported`).
            RemoteProtocolError: Longer than `bytes_max` (`oversized`), or a malformed length (`malformed`).
        """
        if self._unheard_answer:
            await self._hear_answer()
        while (prefix := parse_length(self._buffer, bytes_max, self._peer)) is None:
            await self._fill()
        start, length = prefix
        while len(self._buffer) < start + length:
            await self._fill()
        frame = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        return frame

    async def wait_readable(self) -> None:
        """Return once at least one byte of the next frame is here.

        Raises:
            NetworkError: Closed (`stream_closed`) or broken (`stream_broken`).
        """
        if not self._buffer:
            await self._fill()

    async def aclose(self) -> None:
        """Close both directions; never raises, never blocks for long."""
        if self._is_closed:
            return
        self._is_closed = True
        with shielded(limits.STREAM_CLOSE_TIMEOUT_S) as scope:
            try:
                await self._stream.close()
            except FOREIGN_ERRORS as error:
                logger.debug("stream_close_failed peer=%s error=%r", self._peer[-8:], error)
        if scope.cancelled_caught or self._linger is None:
            await reset_stream(self._stream)
        elif not self._has_seen_end:
            self._linger(self._stream)

    async def abort(self) -> None:
        """Reset the stream: the peer loses what it has not read yet. Never raises."""
        self._is_closed = True
        await reset_stream(self._stream)

    async def _hear_answer(self) -> None:
        """Wait until the peer has agreed to the offered protocol."""
        expected = self._unheard_answer
        while len(self._buffer) < len(expected) and expected.startswith(self._buffer):
            await self._fill()
        if not self._buffer.startswith(expected):
            raise NetworkError(
                f"{self._peer} does not serve the offered protocol", code="protocol_unsupported"
            )
        del self._buffer[: len(expected)]
        self._unheard_answer = b""

    async def _fill(self) -> None:
        if self._is_closed:
            raise self._closed_error("was closed by us")
        try:
            chunk = await self._stream.read(READ_BYTES)
        except StreamEOF as error:
            self._has_seen_end = True
            raise self._closed_error("was closed by the peer") from error
        except FOREIGN_ERRORS as error:
            raise self._broken_error(error) from error
        if not chunk:
            self._has_seen_end = True
            raise self._closed_error("was closed by the peer")
        self._buffer += chunk

    def _closed_error(self, how: str) -> NetworkError:
        return NetworkError(f"the stream to {self._peer} {how}", code="stream_closed")

    def _broken_error(self, error: BaseException) -> NetworkError:
        return NetworkError(
            f"the stream to {self._peer} broke ({type(error).__name__})", code="stream_broken"
        )


def encode_length(length: int) -> bytes:
    """Return a length as a shortest unsigned LEB128 number."""
    out = bytearray()
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out)


def parse_length(buffer: bytes | bytearray, bytes_max: int, peer: PeerId) -> tuple[int, int] | None:
    """Read a frame's length from the start of a buffer.

    Returns:
        (bytes of the prefix, bytes of the frame), or None if the prefix is not complete yet.

    Raises:
        RemoteProtocolError: The length is not in its shortest form (`malformed`) or too large (`oversized`).

    Rules: CNV-6
    """
    value = 0
    for index in range(min(len(buffer), PREFIX_BYTES_MAX)):
        byte = buffer[index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index:
                raise _malformed("a frame length is not in its shortest form", peer)
            if value > bytes_max:
                raise RemoteProtocolError(
                    f"a frame of {value} bytes; at most {bytes_max} are taken",
                    code="oversized",
                    rule="CNV-6",
                    peer=peer,
                )
            return index + 1, value
    if len(buffer) >= PREFIX_BYTES_MAX:
        raise _malformed("a frame length has no end", peer)
    return None


def _malformed(message: str, peer: PeerId) -> RemoteProtocolError:
    return RemoteProtocolError(message, code="malformed", rule="CNV-6", peer=peer)
