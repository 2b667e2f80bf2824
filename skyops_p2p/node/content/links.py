"""A way to one holder's blocks: requests out, blocks back in the order asked, over any framed stream.

The same frames go over a libp2p stream and over a data channel. A request is one BlocksRequest; the answer is one frame
for each block: a status byte, and the block. Spec: protocol/05b-content.md, "Transfer".
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.limits import CONTENT_BLOCK_BYTES_MAX
from skyops_p2p.ports import FrameStream
from skyops_p2p.types import Multiaddr, PeerId
from skyops_p2p.wire.cid import Cid
from skyops_p2p.wire.messages.content import BlocksRequest
from skyops_p2p.wire.model import encode_message

REQUEST_BYTES_MAX = 4096
"""One BlocksRequest of the most CIDs."""


class Status(IntEnum):
    """What became of a block that was asked for."""

    BLOCK = 0
    ABSENT = 1


@dataclass(frozen=True, slots=True)
class Holder:
    """A peer that should have a bundle."""

    peer: PeerId
    addrs: tuple[Multiaddr, ...] = ()
    """Where it can be dialled, besides what this node knows."""


class BlockLink:
    """One open way to a holder; asked by one task and read by one.

    Args:
        stream: Framed, its peer known.
        is_authentic: Whether nobody on the way can change bytes: true for libp2p, false for a data channel, where a
            wrong block need not be the holder's fault.
    """

    def __init__(self, stream: FrameStream, *, is_authentic: bool) -> None:
        self._stream = stream
        self.is_authentic = is_authentic
        self.when_closed: Callable[[], None] | None = None
        """Called once, as soon as it is closed."""

    async def ask(self, cids: Sequence[Cid]) -> None:
        """Ask for at most CONTENT_WINDOW_BLOCKS blocks.

        Raises:
            NetworkError: The stream broke.
        """
        await self._stream.send_frame(encode_message(BlocksRequest(cids=tuple(map(bytes, cids)))))

    async def receive(self) -> bytes | None:
        """Wait for the next answer: a block, unchecked, or None if the holder lacks it.

        Raises:
            NetworkError: The stream broke.
            RemoteProtocolError: The answer is malformed or too long.

        Rules: CON-14.
        """
        frame = await self._stream.receive_frame(bytes_max=CONTENT_BLOCK_BYTES_MAX + 1)
        status = frame[:1]
        if status == bytes([Status.BLOCK]):
            return frame[1:]
        if frame != bytes([Status.ABSENT]):
            raise RemoteProtocolError(
                "not an answer to a request for blocks", code="malformed", rule="CON-14"
            )
        return None

    async def aclose(self) -> None:
        """Close; never raises."""
        try:
            await self._stream.aclose()
        finally:
            told, self.when_closed = self.when_closed, None
            if told is not None:
                told()


OpenLink = Callable[[Holder], Awaitable[BlockLink]]
"""Connects to a holder within CONTENT_OPEN_TIMEOUT_S; raises NetworkError or RemoteProtocolError."""
