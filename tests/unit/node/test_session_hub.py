"""Handshakes and sessions over streams: honest ones, and mallory at every step."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.binding import OwnBinding
from skyops_p2p.core.records import NodeRecordRules
from skyops_p2p.core.rules import HANDSHAKE_PROTOCOL, NetworkRules
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import ChainError, LocalProtocolError, NetworkError, RemoteProtocolError
from skyops_p2p.node.runtime import Node
from skyops_p2p.ports import FrameStream, PeerAddrs
from skyops_p2p.simulation.clock import EPOCH_UNIX_MS, SimClock
from skyops_p2p.types import Multiaddr, NetworkName, UnixMs, WalletAddress
from skyops_p2p.wire.messages.handshake import Hello, Refusal
from skyops_p2p.wire.model import decode_fields, decode_message, encode_message
from tests.unit.node.small_world import SmallWorld, all_in_state, identity, small_world

RULES = NetworkRules(NetworkName("testnet-small"), 31337, is_testnet=True)


@pytest.fixture
async def world() -> AsyncIterator[SmallWorld]:
    async with small_world() as world:
        yield world


async def test_bytes_travel_both_ways_and_both_ends_know_the_wallets(
    autojump_clock: MockClock, world: SmallWorld
) -> None:
    async with world.node("alice") as alice, world.node("bob", join="alice") as bob:
        await bob.wait_for(all_in_state("active", ["alice"]), timeout_s=30)
        session = await bob.open_session(alice.peer_id)
        await alice.wait_for(lambda node: bool(node.sessions), timeout_s=5)
        mirror = alice.sessions[0]
        assert session.session_id == mirror.session_id
        assert (session.wallet, mirror.wallet) == (alice.wallet, bob.wallet)
        for body in (b"", b"x", bytes(limits.SESSION_FRAME_BYTES_MAX)):
            await session.send(body)
            assert await mirror.receive() == body
            await mirror.send(body)
            assert await session.receive() == body
        with pytest.raises(LocalProtocolError):
            await session.send(bytes(limits.SESSION_FRAME_BYTES_MAX + 1))


async def test_closing_tells_the_other_end_why(autojump_clock: MockClock, world: SmallWorld) -> None:
    async with world.node("alice") as alice, world.node("bob", join="alice") as bob:
        session = await _session(bob, alice)
        mirror = alice.sessions[0]
        await session.send(b"last words")
        await session.aclose("done")
        assert await mirror.receive() == b"last words"
        with pytest.raises(NetworkError) as caught:
            await mirror.receive()
        assert caught.value.code == "session_closed"
        assert mirror.code == "done"
        with pytest.raises(NetworkError):
            await session.send(b"too late")


async def test_keys_are_renewed_and_the_session_expires(autojump_clock: MockClock, world: SmallWorld) -> None:
    async with world.node("alice", beat_s=600) as alice, world.node("bob", join="alice", beat_s=600) as bob:
        session = await _session(bob, alice)
        mirror = alice.sessions[0]
        await trio.sleep(2.5 * limits.SESSION_REKEY_S)
        await session.send(b"under a later key")
        assert await mirror.receive() == b"under a later key"
        await trio.sleep(limits.SESSION_LIFETIME_S)
        assert session.code == mirror.code == "session_expired"
        assert not alice.sessions


async def test_killed_peer_ends_the_session(autojump_clock: MockClock, world: SmallWorld) -> None:
    async with world.node("alice") as alice:
        async with world.node("bob", join="alice") as bob:
            await _session(bob, alice)
            mirror = alice.sessions[0]
        with pytest.raises(NetworkError):
            await mirror.receive()
        assert not mirror.is_open


async def test_insufficient_stake_is_a_coded_refusal(autojump_clock: MockClock, world: SmallWorld) -> None:
    async with world.node("alice") as alice:
        world.needs_stake, world.stake = True, _Stake(poor=identity("alice").wallet.address)
        async with world.node("bob", join="alice") as bob:
            await bob.wait_for(lambda node: bool(node.status().connections), timeout_s=30)
            with pytest.raises(RemoteProtocolError) as caught:
                await bob.open_session(alice.peer_id)
            assert caught.value.code == "insufficient_stake"
            assert bob.node(alice.peer_id).state == "pending"


async def test_who_only_buys_needs_no_stake(
    autojump_clock: MockClock, tmp_path: Path
) -> None:  # HSK-10, PER-21
    async with small_world(tmp_path) as world:
        world.needs_stake, world.stake = True, _Stake(poor=identity("alice").wallet.address)
        buyer = {"enabled": False}
        async with world.node("alice", worker=buyer) as alice, world.node("bob", join="alice") as bob:
            await bob.wait_for(all_in_state("active", ["alice"]), timeout_s=60)
            session = await bob.open_session(alice.peer_id)
            assert session.wallet == alice.wallet


async def test_unreachable_chain_refuses_rather_than_admits(
    autojump_clock: MockClock, world: SmallWorld
) -> None:
    async with world.node("alice") as alice:
        world.needs_stake, world.stake = True, _NoChain()
        async with world.node("bob", join="alice") as bob:
            await bob.wait_for(lambda node: bool(node.status().connections), timeout_s=30)
            with pytest.raises(RemoteProtocolError) as caught:
                await bob.open_session(alice.peer_id)
            assert caught.value.code == "insufficient_stake"


class _Stake:
    def __init__(self, poor: WalletAddress) -> None:
        self._poor = poor

    async def is_sufficient(self, wallet: WalletAddress) -> bool:
        return wallet != self._poor


class _NoChain:
    async def is_sufficient(self, wallet: WalletAddress) -> bool:
        raise ChainError(f"cannot ask about {wallet}")


# --- mallory opens the stream herself -------------------------------------------------------------------------
Attack = Callable[[FrameStream, Node], Awaitable[None]]


async def _silence(stream: FrameStream, _alice: Node) -> None:
    await _expect_refusal(stream, "timeout")


async def _garbage(stream: FrameStream, _alice: Node) -> None:
    await stream.send_frame(b"\xff" * 40)
    await _expect_refusal(stream, "malformed")


async def _oversized(stream: FrameStream, _alice: Node) -> None:
    await stream.send_frame(bytes(200_000))
    await _expect_refusal(stream, "malformed")


async def _close_at_once(stream: FrameStream, _alice: Node) -> None:
    await stream.aclose()


async def _stale(stream: FrameStream, alice: Node) -> None:
    await stream.send_frame(_hello(alice, issued=EPOCH_UNIX_MS - limits.CLOCK_SKEW_MS_MAX - 1000))
    await _expect_refusal(stream, "stale_nonce")


async def _wrong_peer(stream: FrameStream, _alice: Node) -> None:
    await stream.send_frame(_hello(None))
    await _expect_refusal(stream, "wrong_peer")


async def _future_version(stream: FrameStream, alice: Node) -> None:
    await stream.send_frame(_hello(alice, versions=(9,)))
    await _expect_refusal(stream, "no_common_version")


async def _silent_after_accept(stream: FrameStream, alice: Node) -> None:
    await stream.send_frame(_hello(alice))
    assert decode_fields(await stream.receive_frame(bytes_max=10_000))[0] == 21
    await _expect_refusal(stream, "timeout")


async def _hello_twice(stream: FrameStream, alice: Node) -> None:
    await stream.send_frame(_hello(alice))
    await stream.receive_frame(bytes_max=10_000)
    await stream.send_frame(_hello(alice))
    await _expect_refusal(stream, "unexpected_message")


@pytest.mark.parametrize(
    "attack",
    [
        _silence,
        _garbage,
        _oversized,
        _close_at_once,
        _stale,
        _wrong_peer,
        _future_version,
        _silent_after_accept,
        _hello_twice,
    ],
)
async def test_hostile_initiator_gets_a_code_and_alice_serves_on(
    autojump_clock: MockClock, world: SmallWorld, attack: Attack
) -> None:
    async with world.node("alice") as alice, _mallory(world, alice) as open_stream:
        await attack(await open_stream(), alice)
        async with world.node("bob", join="alice") as bob:
            await _session(bob, alice)


async def test_replayed_hello_is_refused(autojump_clock: MockClock, world: SmallWorld) -> None:
    async with world.node("alice") as alice, _mallory(world, alice) as open_stream:
        hello = _hello(alice)
        first = await open_stream()
        await first.send_frame(hello)
        await first.receive_frame(bytes_max=10_000)
        second = await open_stream()
        await second.send_frame(hello)
        await _expect_refusal(second, "replayed")


# HSK-15
async def test_third_handshake_of_one_peer_at_once_is_refused_as_busy(
    autojump_clock: MockClock, world: SmallWorld
) -> None:
    async with world.node("alice") as alice, _mallory(world, alice) as open_stream:
        for _ in range(limits.HANDSHAKES_PER_PEER_MAX):
            await open_stream()
        await _expect_refusal(await open_stream(), "busy")
        text = alice.metrics()
        assert 'skyops_handshakes_total{code="busy",role="responder"} 1.0' in text


async def test_more_handshakes_at_once_than_a_peer_answers_wait_for_their_turn(
    autojump_clock: MockClock, world: SmallWorld
) -> None:
    async with world.node("alice") as alice, world.node("bob", join="alice") as bob:
        await bob.wait_for(all_in_state("active", ["alice"]), timeout_s=30)
        async with trio.open_nursery() as nursery:
            for _ in range(4 * limits.HANDSHAKES_PER_PEER_MAX):
                nursery.start_soon(bob.open_session, alice.peer_id)
        assert len(bob.sessions) == 4 * limits.HANDSHAKES_PER_PEER_MAX
        assert 'code="busy"' not in alice.metrics()
        assert bob._hub._turns == {}


def _mallory(world: SmallWorld, alice: Node):  # type: ignore[no-untyped-def]
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def connected():  # type: ignore[no-untyped-def]
        async with world.network("mallory", NodeRecordRules(RULES, SimClock().now_ms)) as network:
            addr = Multiaddr(world.addr("alice").rpartition("/p2p/")[0])
            await network.dial(PeerAddrs(alice.peer_id, (addr,)), timeout_s=5)

            async def open_stream() -> FrameStream:
                protocol = RULES.protocol_id(HANDSHAKE_PROTOCOL)
                return await network.open_stream(alice.peer_id, protocol, timeout_s=5)

            yield open_stream

    return connected()


def _hello(
    alice: Node | None, *, versions: tuple[int, ...] = (1,), issued: int = EPOCH_UNIX_MS + 1000
) -> bytes:
    mallory = identity("mallory")
    peer = alice.peer_id if alice else mallory.node_key.peer_id
    binding = OwnBinding(mallory.node_key, mallory.wallet, RULES)(UnixMs(EPOCH_UNIX_MS))
    return encode_message(
        Hello(
            versions=versions,
            responder=peer_id_to_bytes(peer),
            nonce=bytes(range(32)),
            ephemeral=bytes([9] + [0] * 31),
            issued_unix_ms=issued,
            binding=binding,
        )
    )


async def _expect_refusal(stream: FrameStream, code: str) -> None:
    with trio.fail_after(2 * limits.HANDSHAKE_TIMEOUT_S):
        frame = await stream.receive_frame(bytes_max=10_000)
    assert decode_message(Refusal, frame).code == code


async def _session(bob: Node, alice: Node):  # type: ignore[no-untyped-def]
    await bob.wait_for(all_in_state("active", [_name(alice)]), timeout_s=30)
    session = await bob.open_session(alice.peer_id)
    await alice.wait_for(lambda node: any(s.is_open for s in node.sessions), timeout_s=5)
    return session


def _name(node: Node) -> str:
    return next(name for name in ("alice", "bob", "carol") if identity(name).node_key.peer_id == node.peer_id)
