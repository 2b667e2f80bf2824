"""The fault box over a network that only remembers what it was asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from skyops_p2p.errors import NetworkError, RemoteProtocolError, TestnetError
from skyops_p2p.ports import (
    GossipReceived,
    NetworkEvent,
    PeerAddrs,
    PeerConnected,
    PeerDisconnected,
    Verdict,
)
from skyops_p2p.testnet.faults import FaultBox
from skyops_p2p.types import PeerId

ALICE, BOB, CAROL = PeerId("alice"), PeerId("bob"), PeerId("carol")


class Chance:
    """An Entropy that always draws the same number."""

    def __init__(self, drawn: float) -> None:
        self.drawn = drawn

    def token(self, size_bytes: int) -> bytes:
        return bytes(size_bytes)

    def uniform(self) -> float:
        return self.drawn


class RecordingStream:
    peer = BOB

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def send_frame(self, frame: bytes) -> None:
        self.sent.append(frame)

    async def receive_frame(self, *, bytes_max: int) -> bytes:
        return b"x" * min(3, bytes_max)

    async def aclose(self) -> None:
        self.sent.append(b"closed")


class RecordingNetwork:
    """Alice's network, connected to bob and carol."""

    peer_id = ALICE

    def __init__(self) -> None:
        self.peers = {BOB, CAROL}
        self.done: list[tuple[Any, ...]] = []
        self.feed, self._events = trio.open_memory_channel[NetworkEvent](64)
        self.servers: dict[str, Any] = {}
        self.stream = RecordingStream()

    def events(self) -> trio.MemoryReceiveChannel[NetworkEvent]:
        return self._events

    def connected_peers(self) -> frozenset[PeerId]:
        return frozenset(self.peers)

    async def disconnect(self, peer: PeerId) -> None:
        self.peers.discard(peer)
        self.done.append(("disconnect", peer))
        await self.feed.send(PeerDisconnected(peer))

    async def dial(self, target: PeerAddrs, *, timeout_s: float) -> None:
        self.done.append(("dial", target.peer))

    async def subscribe(self, topic: str, validator: Any) -> None:
        self.servers[topic] = validator

    async def publish(self, topic: str, payload: bytes) -> None:
        self.done.append(("publish", topic, payload))

    def serve_requests(self, protocol: str, server: Any, *, bytes_max: int) -> None:
        self.servers[protocol] = server

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float) -> bytes:
        self.done.append(("request", peer))
        return b"answer"

    def serve_streams(self, protocol: str, server: Any) -> None:
        self.servers[protocol] = server

    async def open_stream(self, peer: PeerId, protocol: str, *, timeout_s: float) -> RecordingStream:
        return self.stream

    def listen_addrs(self) -> tuple[str, ...]:
        return ("/ip4/127.0.0.1/tcp/1",)


class Bench:
    """A faulty network in front of a recording one."""

    def __init__(self, *, drawn: float = 0.5) -> None:
        self.inner = RecordingNetwork()
        self.box = FaultBox(Chance(drawn))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Any]:
        @asynccontextmanager
        async def open_inner(_rules: Any) -> AsyncIterator[Any]:
            yield self.inner

        async with self.box.wrap(open_inner)(None) as network:  # type: ignore[arg-type]
            yield network


async def test_without_faults_everything_passes(autojump_clock: Any) -> None:
    bench = Bench()
    async with bench.open() as network:
        assert network.peer_id == ALICE
        assert network.listen_addrs() == ("/ip4/127.0.0.1/tcp/1",)
        await network.dial(PeerAddrs(BOB, ()), timeout_s=1)
        await network.publish("t", b"p")
        assert await network.request(BOB, "node", b"", timeout_s=1) == b"answer"
        await bench.inner.feed.send(PeerConnected(BOB, (), is_outbound=True))
        assert (await network.events().receive()).peer == BOB
    assert [step[0] for step in bench.inner.done] == ["dial", "publish", "request"]


async def test_blocked_peer_is_cut_and_its_end_is_told(autojump_clock: Any) -> None:
    bench = Bench()
    async with bench.open() as network:
        with trio.fail_after(5):
            await bench.box.apply({"blocked": [BOB]})
            assert await network.events().receive() == PeerDisconnected(BOB)
        assert network.connected_peers() == {CAROL}
        with pytest.raises(NetworkError) as dialled:
            await network.dial(PeerAddrs(BOB, ()), timeout_s=1)
        assert dialled.value.code == "dial_failed"
        with pytest.raises(NetworkError):
            await network.request(BOB, "node", b"", timeout_s=1)
        with pytest.raises(NetworkError):
            await network.open_stream(BOB, "session", timeout_s=1)
        assert bench.inner.done == [("disconnect", BOB)]


async def test_blocked_peer_that_dials_is_cut_again_unseen(autojump_clock: Any) -> None:
    bench = Bench()
    async with bench.open() as network:
        with trio.fail_after(5):
            await bench.box.apply({"blocked": [BOB]})
            assert await network.events().receive() == PeerDisconnected(BOB)
            bench.inner.peers.add(BOB)
            await bench.inner.feed.send(PeerConnected(BOB, (), is_outbound=False))
            assert await network.events().receive() == PeerDisconnected(BOB)
        assert bench.inner.done.count(("disconnect", BOB)) == 2


async def test_blocked_peer_is_neither_believed_nor_served(autojump_clock: Any) -> None:
    bench = Bench()
    async with bench.open() as network:
        await network.subscribe("t", lambda *_: Verdict.ACCEPT)

        async def serve(_peer: PeerId, request: bytes) -> bytes:
            return request

        network.serve_requests("node", serve, bytes_max=10)
        judge, answer = bench.inner.servers["t"], bench.inner.servers["node"]
        assert judge("t", BOB, b"") is Verdict.ACCEPT
        assert await answer(BOB, b"hello") == b"hello"
        await bench.box.apply({"blocked": [BOB]})
        assert judge("t", BOB, b"") is Verdict.IGNORE
        assert judge("t", CAROL, b"") is Verdict.ACCEPT
        with pytest.raises(RemoteProtocolError):
            await answer(BOB, b"hello")
        assert await answer(CAROL, b"hello") == b"hello"


async def test_healed_peer_may_come_back(autojump_clock: Any) -> None:
    bench = Bench()
    async with bench.open() as network:
        await bench.box.apply({"blocked": [BOB]})
        await bench.box.apply({})
        await network.dial(PeerAddrs(BOB, ()), timeout_s=1)
        assert ("dial", BOB) in bench.inner.done


async def test_delay_holds_back_what_is_sent(autojump_clock: Any) -> None:
    bench = Bench()
    async with bench.open() as network:
        await bench.box.apply({"delay_ms": 200})
        started = trio.current_time()
        await network.request(BOB, "node", b"", timeout_s=10)
        await network.publish("t", b"")
        stream = await network.open_stream(BOB, "session", timeout_s=10)
        await stream.send_frame(b"frame")
        assert trio.current_time() - started == pytest.approx(0.6)
        assert await stream.receive_frame(bytes_max=2) == b"xx"
        await stream.aclose()
        assert bench.inner.stream.sent == [b"frame", b"closed"]
        assert trio.current_time() - started == pytest.approx(0.6)


async def test_delay_longer_than_the_deadline_is_a_timeout(autojump_clock: Any) -> None:
    bench = Bench()
    async with bench.open() as network:
        await bench.box.apply({"delay_ms": 5000})
        started = trio.current_time()
        with pytest.raises(NetworkError) as error:
            await network.request(BOB, "node", b"", timeout_s=2)
        assert error.value.code == "request_timeout"
        assert trio.current_time() - started == pytest.approx(2)


@pytest.mark.parametrize(("drawn", "is_lost"), [(0.0, True), (0.099, True), (0.1, False), (0.9, False)])
async def test_loss_drops_messages_by_chance(autojump_clock: Any, drawn: float, is_lost: bool) -> None:
    bench = Bench(drawn=drawn)
    async with bench.open() as network:
        await bench.box.apply({"loss_permille": 100})
        await network.publish("t", b"")
        assert (bench.inner.done == []) is is_lost
        if is_lost:
            with pytest.raises(NetworkError) as error:
                await network.request(BOB, "node", b"", timeout_s=2)
            assert error.value.code == "request_timeout"


@pytest.mark.parametrize(
    "faults",
    [
        {"blocked": "bob"},
        {"blocked": [1]},
        {"delay_ms": -1},
        {"delay_ms": 60_001},
        {"delay_ms": 0.5},
        {"loss_permille": 1001},
        {"loss_permille": "10"},
        {"color": 1},
    ],
)
async def test_wrong_faults_are_refused_and_change_nothing(faults: dict[str, object]) -> None:
    box = FaultBox(Chance(0.5))
    await box.apply({"blocked": [BOB], "delay_ms": 60_000, "loss_permille": 1000})
    before = box.describe()
    with pytest.raises(TestnetError) as error:
        await box.apply(faults)
    assert error.value.code == "faults_invalid"
    assert box.describe() == before == {"blocked": [BOB], "delay_ms": 60_000, "loss_permille": 1000}


async def test_gossip_is_dropped_when_the_node_does_not_read(autojump_clock: Any) -> None:
    from skyops_p2p.limits import EVENT_QUEUE_MAX

    bench = Bench()
    async with bench.open() as network:
        with trio.fail_after(60):
            for _ in range(EVENT_QUEUE_MAX + 10):
                await bench.inner.feed.send(GossipReceived("t", BOB, b""))
            await trio.testing.wait_all_tasks_blocked()
        assert network.events().statistics().current_buffer_used == EVENT_QUEUE_MAX
