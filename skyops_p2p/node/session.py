"""A live session: the pure session machine over a framed stream, with a bounded inbox."""

from collections.abc import Sequence

import trio

from skyops_p2p import limits
from skyops_p2p.core import session as machine
from skyops_p2p.core.handshake import FinishHandshake
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.errors import NetworkError, SkyopsError
from skyops_p2p.ports import FrameStream
from skyops_p2p.types import MonotonicS, PeerId, SessionId, WalletAddress
from skyops_p2p.wire.messages.handshake import Manifest

SEALED_BYTES_MAX = limits.SESSION_FRAME_BYTES_MAX + 256
CLOSE_TIMEOUT_S = 2.0


class LiveSession:
    """An authenticated, encrypted session with a peer. Made by `SessionHub`.

    Attributes:
        peer: The other end.
        wallet: Its proven wallet.
        manifest: What it said it can do.
        version: The agreed handshake version.
        is_initiator: Whether we opened it.
        took_s: How long the handshake took, seconds.
    """

    def __init__(
        self, outcome: FinishHandshake, stream: FrameStream, *, is_initiator: bool, started: float
    ) -> None:
        now = MonotonicS(trio.current_time())
        self.peer: PeerId = outcome.peer
        self.wallet: WalletAddress = outcome.binding.wallet
        self.manifest: Manifest = outcome.manifest
        self.version = outcome.version
        self.is_initiator = is_initiator
        self.took_s = now - started
        self._machine = machine.Session(outcome.keys, now, lifetime_s=outcome.lifetime_s)
        self._stream = stream
        self._send_lock = trio.Lock()
        self._ended = trio.Event()
        self._inbox_in, self._inbox_out = trio.open_memory_channel[bytes](limits.SESSION_INBOX_MAX)

    @property
    def session_id(self) -> SessionId:
        """16 bytes, the same on both ends."""
        return self._machine.session_id

    @property
    def expires_at(self) -> MonotonicS:
        """When the session ends by itself."""
        return self._machine.expires_at

    @property
    def is_open(self) -> bool:
        """Whether bytes can still be sent."""
        return self._machine.state is machine.SessionState.OPEN

    @property
    def code(self) -> str:
        """Why the session ended; empty while it is open."""
        return self._machine.code

    async def send(self, body: bytes) -> None:
        """Send bytes, at most SESSION_FRAME_BYTES_MAX.

        Raises:
            NetworkError: Code `session_closed`, or the stream broke.
            LocalProtocolError: Code `oversized`.
        """
        async with self._send_lock:
            if not self.is_open:
                raise self._closed()
            await self._perform(self._machine.handle(machine.SendRequested(body), self._now()))
            if not self.is_open:
                raise self._closed()

    async def receive(self) -> bytes:
        """Wait for the peer's next bytes.

        Raises:
            NetworkError: Code `session_closed`: it ended, and all that had come was read.
        """
        try:
            return await self._inbox_out.receive()
        except trio.EndOfChannel:
            raise self._closed() from None

    async def aclose(self, code: str = "done") -> None:
        """Tell the peer and close; a second call does nothing."""
        if self.is_open:
            with trio.move_on_after(CLOSE_TIMEOUT_S):
                await self._feed(machine.CloseRequested(code))
        self._ended.set()

    async def run(self) -> None:
        """Serve the session until it ends; called by its hub."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read)
                nursery.start_soon(self._keep_time)
                await self._ended.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._inbox_in.close()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_TIMEOUT_S):
                await self.aclose("stopped")
                await self._stream.aclose()

    async def _read(self) -> None:
        while self.is_open:
            try:
                frame = await self._stream.receive_frame(bytes_max=SEALED_BYTES_MAX)
            except SkyopsError:
                await self._feed(machine.TransportClosed())
                return
            for effect in self._machine.handle(machine.SealedFrameReceived(frame), self._now()):
                if isinstance(effect, machine.Deliver):
                    await self._inbox_in.send(effect.body)  # the stream is not read while the inbox is full
                else:  # only a last Close is sealed here, so frames leave in the order they were sealed
                    async with self._send_lock:
                        await self._perform([effect])

    async def _keep_time(self) -> None:
        while (deadline := self._machine.next_deadline()) is not None:
            await trio.sleep_until(deadline)
            await self._feed(DeadlineReached())

    async def _feed(self, event: Event) -> None:
        async with self._send_lock:
            await self._perform(self._machine.handle(event, self._now()))

    async def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case machine.SendSealedFrame(data):
                    await self._send_frame(data)
                case machine.EndSession():
                    self._ended.set()

    async def _send_frame(self, data: bytes) -> None:
        """Send a frame; a broken stream ends the session, which `send` reports."""
        try:
            await self._stream.send_frame(data)
        except NetworkError:
            self._machine.handle(machine.TransportClosed(), self._now())
            self._ended.set()

    def _closed(self) -> NetworkError:
        return NetworkError(
            f"the session with {self.peer} has ended: {self.code}",
            code="session_closed",
            hint="Open another one with a new handshake.",
        )

    @staticmethod
    def _now() -> MonotonicS:
        return MonotonicS(trio.current_time())
