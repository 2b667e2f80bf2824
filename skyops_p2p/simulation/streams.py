"""Framed streams in memory: in order, exactly once, with a window; they break when their connection does.

Loss delays a frame (TCP sends it again); a cut path holds frames back until it heals or the connection drops.
"""

from collections import deque
from typing import TYPE_CHECKING

import trio

from skyops_p2p.errors import LocalProtocolError, NetworkError, RemoteProtocolError
from skyops_p2p.limits import FRAME_BYTES_MAX
from skyops_p2p.simulation.connection import Connection
from skyops_p2p.types import PeerId

if TYPE_CHECKING:
    from skyops_p2p.simulation.fabric import SimFabric

WINDOW_BYTES = 4 * FRAME_BYTES_MAX
"""Unread bytes of one direction after which a sender waits."""
PATH_POLL_S = 0.5
"""How often a held-back frame looks for a path again."""


class SimFrameStream:
    """ports.FrameStream: one end of a simulated stream. Made in pairs by `stream_pair`.

    Args:
        fabric: Carries the frames.
        connection: What the stream runs over.
        own: Number of this end's node.
        peer: The authenticated peer at the other end.
    """

    def __init__(self, fabric: "SimFabric", connection: Connection, own: int, peer: PeerId) -> None:
        self._fabric = fabric
        self._connection = connection
        self._own = own
        self._peer = peer
        self._other: SimFrameStream = self
        self._inbox: deque[bytes] = deque()
        self._unread_bytes = 0
        self._changed = trio.Event()
        self._outbox: deque[bytes | None] = deque()
        self._is_ended = False
        self._is_broken = False
        self.is_closed = False
        """Whether this end was closed or broke."""
        connection.when_closed(self._break)

    @property
    def peer(self) -> PeerId:
        """The authenticated remote peer."""
        return self._peer

    async def send_frame(self, frame: bytes) -> None:
        """Send one frame; waits while the other end has WINDOW_BYTES to read.

        Raises:
            NetworkError: The stream is closed or broken (`stream_closed`).
            LocalProtocolError: The frame is longer than FRAME_BYTES_MAX.
        """
        if len(frame) > FRAME_BYTES_MAX:
            raise LocalProtocolError(f"a frame has at most {FRAME_BYTES_MAX} bytes, not {len(frame)}")
        await trio.lowlevel.checkpoint()
        while not self._cannot_send() and self._pending_bytes() + len(frame) > WINDOW_BYTES:
            await self._changed.wait()
        if self._cannot_send():
            raise NetworkError("the stream is closed", code="stream_closed")
        self._push(frame)

    async def receive_frame(self, *, bytes_max: int) -> bytes:
        """Wait for one frame.

        Raises:
            NetworkError: Code `stream_closed`: closed or broken before a whole frame.
            RemoteProtocolError: Code `oversized`: longer than `bytes_max`.
        """
        await trio.lowlevel.checkpoint()
        while not self._inbox:
            if self._is_dead() or self._is_ended:
                raise NetworkError("the stream is closed", code="stream_closed")
            await self._changed.wait()
        frame = self._inbox.popleft()
        self._unread_bytes -= len(frame)
        self._other._notify()
        if len(frame) > bytes_max:
            raise RemoteProtocolError(
                f"frame of {len(frame)} bytes, at most {bytes_max}",
                code="oversized",
                rule="CNV-6",
                peer=self._peer,
            )
        return frame

    async def aclose(self) -> None:
        """Close both directions; never raises."""
        if not self.is_closed:
            self.is_closed = True
            self._connection.forget(self._break)
            self._notify()
            if not self._is_broken:
                self._push(None)

    def _is_dead(self) -> bool:
        return self.is_closed or self._is_broken

    def _cannot_send(self) -> bool:
        return self._is_dead() or self._is_ended

    def _pending_bytes(self) -> int:
        queued = sum(len(frame) for frame in self._outbox if frame is not None)
        return queued + self._other._unread_bytes

    def _push(self, frame: bytes | None) -> None:
        """Queue a frame (None: the end) and send it, unless an earlier one is still on its way."""
        self._outbox.append(frame)
        if len(self._outbox) == 1:
            self._send_first()

    def _send_first(self) -> None:
        if not (self._connection.is_open and self._outbox):
            return
        delay_s = self._fabric.stream_delay_s(self._own, self._connection.other(self._own))
        if delay_s is None:
            self._fabric.queue.after(PATH_POLL_S, self._send_first)
        else:
            burst = len(self._outbox)
            self._fabric.queue.after(delay_s, self._deliver_first, burst)

    def _deliver_first(self, burst: int) -> None:
        """Hand over what was in the outbox when it was sent, in order; then send what came since."""
        for _ in range(min(burst, len(self._outbox))):
            self._other._take(self._outbox.popleft())
        self._send_first()

    def _take(self, frame: bytes | None) -> None:
        if self._is_dead():
            return
        if frame is None:
            self._is_ended = True
        else:
            self._inbox.append(frame)
            self._unread_bytes += len(frame)
            self._fabric.note("frame", self._connection.other(self._own), self._own, detail=len(frame))
        self._notify()

    def _break(self) -> None:
        self._is_broken = True
        self._outbox.clear()
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def stream_pair(
    fabric: "SimFabric", connection: Connection, *, opener: tuple[int, PeerId], server: tuple[int, PeerId]
) -> tuple[SimFrameStream, SimFrameStream]:
    """Make the two ends of a stream.

    Args:
        fabric: Carries the frames.
        connection: What the stream runs over.
        opener: Number and peer id of the node that opens it.
        server: Number and peer id of the node that serves it.

    Returns:
        The opener's end and the server's.
    """
    near = SimFrameStream(fabric, connection, opener[0], server[1])
    far = SimFrameStream(fabric, connection, server[0], opener[1])
    near._other, far._other = far, near
    return near, far
