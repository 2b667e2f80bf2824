"""What carries a line: a session with another node, or, between two members on one node, memory.

Both are used alike; either may end at any time, and the line goes on over the next.
"""

from collections.abc import Mapping
from typing import Protocol

import trio

from skyops_p2p.errors import NetworkError, RemoteProtocolError
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.gang import GangConnect, GangData, GangReady, GangTaken
from skyops_p2p.wire.model import Message, decode_fields, decode_message, encode_message

LOCAL_BODIES_MAX = 8
"""Messages on their way between two members on one node."""
FIRST: Mapping[int, type[Message]] = {GangConnect.number: GangConnect}
ANSWER: Mapping[int, type[Message]] = {GangReady.number: GangReady}
LINE: Mapping[int, type[Message]] = {kind.number: kind for kind in (GangData, GangTaken)}


class Link(Protocol):
    """One session; see LiveSession."""

    peer: PeerId

    @property
    def code(self) -> str:
        """Why it ended; empty while it is open."""

    async def send(self, body: bytes) -> None:
        """Send bytes; raises NetworkError once it has ended."""

    async def receive(self) -> bytes:
        """Wait for bytes; raises NetworkError once it has ended."""

    async def aclose(self, code: str = "done") -> None:
        """Tell the other side why, and end it."""


async def send(link: Link, message: Message) -> None:
    """Send one message.

    Raises:
        NetworkError: The link has ended.
    """
    await link.send(encode_message(message))


async def receive(link: Link, kinds: Mapping[int, type[Message]]) -> Message:
    """Wait for one message of the kinds that have their place here.

    Raises:
        NetworkError: The link has ended.
        RemoteProtocolError: `wrong_type`, or what decoding raises.

    Rules: EXE-29.
    """
    data = await link.receive()
    number = decode_fields(data)[0]
    kind = kinds.get(number)
    if kind is None:
        raise RemoteProtocolError(
            f"message {number} has no place here", code="wrong_type", rule="EXE-29", peer=link.peer
        )
    return decode_message(kind, data)


class _Ending:
    """What both ends of a local link know: whether it has ended, and why."""

    def __init__(self) -> None:
        self.code = ""


class LocalLink:
    """One end of a link in memory; made in pairs by `link_pair`."""

    def __init__(
        self,
        peer: PeerId,
        ending: _Ending,
        out: trio.MemorySendChannel[bytes],
        inbox: trio.MemoryReceiveChannel[bytes],
    ) -> None:
        self.peer = peer
        self._ending = ending
        self._out = out
        self._inbox = inbox

    @property
    def code(self) -> str:
        """See Link."""
        return self._ending.code

    async def send(self, body: bytes) -> None:
        """See Link."""
        try:
            await self._out.send(body)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _ended() from error

    async def receive(self) -> bytes:
        """See Link."""
        try:
            return await self._inbox.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError) as error:
            raise _ended() from error

    async def aclose(self, code: str = "done") -> None:
        """See Link."""
        self._ending.code = self._ending.code or code
        self._out.close()
        self._inbox.close()
        await trio.lowlevel.cancel_shielded_checkpoint()


def link_pair(near: PeerId, far: PeerId) -> tuple[LocalLink, LocalLink]:
    """Return both ends of a link in memory, the first the near peer's."""
    ending = _Ending()
    near_out, far_in = trio.open_memory_channel[bytes](LOCAL_BODIES_MAX)
    far_out, near_in = trio.open_memory_channel[bytes](LOCAL_BODIES_MAX)
    return LocalLink(far, ending, near_out, near_in), LocalLink(near, ending, far_out, far_in)


def _ended() -> NetworkError:
    return NetworkError("the link between two members on this node has ended", code="session_closed")
