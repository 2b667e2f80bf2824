"""All sessions of a node: runs handshakes over streams, keeps what they establish, counts how they end.

Bounds: HANDSHAKES_INBOUND_MAX at once, HANDSHAKES_PER_PEER_MAX of one peer, SESSIONS_MAX sessions; past them a
handshake is refused with the code `busy`. This node has HANDSHAKES_PER_PEER_MAX of its own under way with one peer at
most: more wait for their turn instead of being refused there.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from skyops_p2p import limits
from skyops_p2p.core import handshake as hs
from skyops_p2p.core.binding import BindingSource
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.nonces import NonceCache
from skyops_p2p.core.rules import HANDSHAKE_PROTOCOL, NetworkRules
from skyops_p2p.core.transcript import Role
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.errors import ChainError, NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.node.ports_bundle import NodePorts
from skyops_p2p.node.session import LiveSession
from skyops_p2p.ports import FrameStream, Network
from skyops_p2p.types import MonotonicS, PeerId, SessionId, WalletAddress
from skyops_p2p.wire.messages.handshake import Manifest, Refusal
from skyops_p2p.wire.model import encode_message

log = logging.getLogger(__name__)

HANDSHAKE_FRAME_BYTES_MAX = 16 * 1024
REFUSAL_TIMEOUT_S = 1.0

Tell = Callable[[str, PeerId, str], None]
Adopt = Callable[[LiveSession], Awaitable[None]]
"""Speaks a protocol in a session that a peer opened for it; the session ends when it returns."""


class SessionHub:
    """Opens and accepts sessions.

    Args:
        network: Streams to peers.
        node_key: Our node key.
        wallet: Our wallet; signs each handshake's transcript.
        rules: The network.
        binding: Gives our enveloped Binding.
        manifest: Returns what we can do at present.
        ports: Clock, entropy and stake.
        tell: Reports to the node's feed.
    """

    def __init__(
        self,
        network: Network,
        node_key: NodeKey,
        wallet: Wallet,
        rules: NetworkRules,
        *,
        binding: BindingSource,
        manifest: Callable[[], Manifest],
        ports: NodePorts,
        tell: Tell,
    ) -> None:
        self._network = network
        self._node_key = node_key
        self._wallet = wallet
        self._rules = rules
        self._binding = binding
        self._manifest = manifest
        self.offers_work: Callable[[PeerId], bool] = lambda _peer: True
        """Whether a peer is a worker, for only of workers stake is asked: of everybody, until somebody can tell."""
        self._ports = ports
        self._tell = tell
        self._nonces = NonceCache()
        self._inbound: Counter[PeerId] = Counter()
        self._turns: dict[PeerId, trio.CapacityLimiter] = {}
        """Of handshakes that this node begins; of peers with which one is under way."""
        self._sessions: dict[SessionId, LiveSession] = {}
        self._nursery: trio.Nursery | None = None
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Handshakes by (our role, code); the code of a success is `established`."""

    @property
    def sessions(self) -> tuple[LiveSession, ...]:
        """The open sessions."""
        return tuple(self._sessions.values())

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept handshakes and serve sessions until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.serve(HANDSHAKE_PROTOCOL, None)
            task_status.started()
            await trio.sleep_forever()

    def serve(self, protocol: str, adopt: Adopt | None) -> None:
        """Accept handshakes on a stream protocol of its own, whose sessions belong to `adopt` from the first byte.

        Without `adopt` a session is open to whoever of this node reads it.
        """

        async def accept(stream: FrameStream) -> None:
            await self._accept(stream, adopt)

        self._network.serve_streams(self._rules.protocol_id(protocol), accept)

    async def initiate(self, peer: PeerId, *, protocol: str = HANDSHAKE_PROTOCOL) -> LiveSession:
        """Open a session with a connected peer, on the stream protocol that says what will be spoken in it.

        Raises:
            NetworkError: Not connected, no answer in time (`timeout`), or closed on us.
            RemoteProtocolError: We refused the peer, or the peer refused us; the code says why.
        """
        if len(self._sessions) >= limits.SESSIONS_MAX:
            raise NetworkError(
                f"{limits.SESSIONS_MAX} sessions are open", code="busy", hint="Close some first."
            )
        async with self._turn(peer):
            stream = await self._network.open_stream(
                peer, self._rules.protocol_id(protocol), timeout_s=limits.HANDSHAKE_TIMEOUT_S
            )
            try:
                session = await self._shake(stream, Role.INITIATOR)
            except BaseException:
                await _close_quietly(stream)
                raise
        self._adopt(session)
        return session

    @asynccontextmanager
    async def _turn(self, peer: PeerId) -> AsyncIterator[None]:
        """Wait until the peer can be expected to answer another handshake of ours."""
        limiter = self._turns.setdefault(peer, trio.CapacityLimiter(limits.HANDSHAKES_PER_PEER_MAX))
        try:
            async with limiter:
                yield
        finally:
            if not limiter.borrowed_tokens and not limiter.statistics().tasks_waiting:
                self._turns.pop(peer, None)

    async def _accept(self, stream: FrameStream, adopt: Adopt | None) -> None:
        """Serve one inbound handshake and then its session. The network bounds streams, this bounds handshakes."""
        peer = stream.peer
        is_busy = (
            sum(self._inbound.values()) >= limits.HANDSHAKES_INBOUND_MAX
            or self._inbound[peer] >= limits.HANDSHAKES_PER_PEER_MAX
            or len(self._sessions) >= limits.SESSIONS_MAX
        )
        if is_busy:  # HSK-15
            self.outcomes["responder", "busy"] += 1
            await _refuse(stream, "busy")
            return
        self._inbound[peer] += 1
        try:
            session = await self._shake(stream, Role.RESPONDER)
        except SkyopsError as error:
            log.info("handshake_failed peer=%s role=responder code=%s", peer[-8:], error.code)
            return
        finally:
            self._inbound[peer] -= 1
            if not self._inbound[peer]:
                del self._inbound[peer]
        if adopt is None:
            await self._serve(session)
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve, session)
            await adopt(session)
            await session.aclose()

    def _adopt(self, session: LiveSession) -> None:
        if self._nursery is None:
            raise NetworkError("the node is not running", code="node_not_running")
        self._sessions[session.session_id] = session
        self._nursery.start_soon(self._serve, session)

    async def _serve(self, session: LiveSession) -> None:
        self._sessions[session.session_id] = session
        try:
            await session.run()
        finally:
            del self._sessions[session.session_id]
            self._tell("session", session.peer, f"session ended: {session.code}")

    async def _shake(self, stream: FrameStream, role: Role) -> LiveSession:
        """Drive the handshake machine over a stream until it is established or fails."""
        started = trio.current_time()
        unix = self._ports.wall_clock.now_ms()
        context = hs.HandshakeContext(
            node_key=self._node_key,
            wallet=self._wallet,
            rules=self._rules,
            binding=self._binding(unix),
            manifest=self._manifest(),
            nonces=self._nonces,
            ephemeral_secret=self._ports.entropy.token(32),
            nonce=self._ports.entropy.token(32),
        )
        machine = hs.Handshake(context, stream.peer)
        effects = machine.handle(hs.HandshakeBegun(role, unix), _now())
        while True:
            outcome = await self._perform(effects, machine, stream, role)
            if isinstance(outcome, hs.FinishHandshake):
                self.outcomes[role.value, "established"] += 1
                self._tell("session", stream.peer, f"session opened as {role.value}")
                return LiveSession(outcome, stream, is_initiator=role is Role.INITIATOR, started=started)
            event = outcome if outcome is not None else await self._next_event(machine, stream)
            effects = machine.handle(event, _now())

    async def _perform(
        self, effects: Sequence[Effect], machine: hs.Handshake, stream: FrameStream, role: Role
    ) -> Event | hs.FinishHandshake | None:
        """Perform effects; return the outcome, an answering event, or None to wait for a frame."""
        for effect in effects:
            match effect:
                case hs.SendFrame(data):
                    if not await self._send(stream, data, machine):
                        return hs.StreamClosed()
                case hs.AskStake(wallet):
                    return await self._ask_stake(stream.peer, wallet)
                case hs.FinishHandshake():
                    return effect
                case hs.FailHandshake(code, is_remote):
                    self.outcomes[role.value, code] += 1
                    await _close_quietly(stream)
                    raise _failure(code, stream.peer, is_remote=is_remote)
        return None

    async def _send(self, stream: FrameStream, data: bytes, machine: hs.Handshake) -> bool:
        """Send a frame; whether it went out before the handshake's deadline. A last refusal may fail silently."""
        is_over = machine.state is hs.HandshakeState.FAILED
        deadline = trio.current_time() + REFUSAL_TIMEOUT_S if is_over else machine.next_deadline()
        with trio.move_on_at(deadline if deadline is not None else trio.current_time() + REFUSAL_TIMEOUT_S):
            try:
                await stream.send_frame(data)
            except NetworkError as error:
                log.debug("frame_not_sent peer=%s code=%s", stream.peer[-8:], error.code)
                return is_over
            return True
        return is_over

    async def _ask_stake(self, peer: PeerId, wallet: WalletAddress) -> Event:
        """Ask about a worker; who only buys needs no stake. Rules: HSK-10."""
        if not self._ports.needs_stake or not self.offers_work(peer):
            return hs.StakeAnswered(is_sufficient=True)
        try:
            return hs.StakeAnswered(await self._ports.stake.is_sufficient(wallet))
        except ChainError as error:
            log.warning("stake_unknown wallet=%s code=%s", wallet, error.code)
            return hs.StakeAnswered(is_sufficient=False)

    async def _next_event(self, machine: hs.Handshake, stream: FrameStream) -> Event:
        deadline = machine.next_deadline()
        with trio.move_on_at(deadline if deadline is not None else float("inf")):
            try:
                data = await stream.receive_frame(bytes_max=HANDSHAKE_FRAME_BYTES_MAX)
            except NetworkError:
                return hs.StreamClosed()
            except RemoteProtocolError:
                return hs.FrameReceived(b"", self._ports.wall_clock.now_ms())  # refused as malformed
            return hs.FrameReceived(data, self._ports.wall_clock.now_ms())
        return DeadlineReached()


async def _refuse(stream: FrameStream, code: str) -> None:
    with trio.move_on_after(REFUSAL_TIMEOUT_S):
        try:
            await stream.send_frame(encode_message(Refusal(code=code)))
        except NetworkError as error:
            log.debug("refusal_not_sent peer=%s code=%s", stream.peer[-8:], error.code)
    await _close_quietly(stream)


async def _close_quietly(stream: FrameStream) -> None:
    with trio.CancelScope(shield=True, deadline=trio.current_time() + REFUSAL_TIMEOUT_S):
        await stream.aclose()


def _failure(code: str, peer: PeerId, *, is_remote: bool) -> SkyopsError:
    if code in ("timeout", "stream_closed"):
        return NetworkError(f"the handshake with {peer} ended: {code}", code=code)
    who = "the peer refused us" if is_remote else "we refused the peer"
    return RemoteProtocolError(f"handshake: {who}: {code}", code=code, rule="HSK-13", peer=peer)


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
