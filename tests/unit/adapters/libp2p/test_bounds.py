"""The small bounded things: half-open sockets, seen ids, rates, events, lingering streams."""

import pytest

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.events import GOSSIP_FILL_MAX, EventFeed
from skyops_p2p.adapters.libp2p.pubsub import SeenCache, TokenBucket
from skyops_p2p.adapters.libp2p.requests import Lingering
from skyops_p2p.adapters.libp2p.swarm import HalfOpen
from skyops_p2p.types import Multiaddr, PeerId


class FakeSocket:
    """Remembers that it was aborted."""

    def __init__(self):
        self.is_aborted = False

    def abort(self):
        self.is_aborted = True


def test_newcomer_pushes_out_the_oldest_of_its_source():
    half_open = HalfOpen()
    sockets = [FakeSocket() for _ in range(limits.HALF_OPEN_PER_SOURCE_MAX + 1)]
    other = FakeSocket()
    half_open.add("10.0.0.2", other)
    for socket in sockets[:-1]:
        half_open.add("10.0.0.1", socket)
    assert not any(socket.is_aborted for socket in sockets)
    half_open.add("10.0.0.1", sockets[-1])
    assert [socket.is_aborted for socket in sockets] == [True] + [False] * limits.HALF_OPEN_PER_SOURCE_MAX
    assert not other.is_aborted


def test_full_house_pushes_out_the_worst_source():
    half_open = HalfOpen()
    sockets = {}
    for number in range(limits.HALF_OPEN_MAX):
        source = f"10.0.{number // 16}.1"
        sockets[number] = FakeSocket()
        half_open.add(source, sockets[number])
    assert len(half_open) == limits.HALF_OPEN_MAX
    half_open.discard("10.0.3.1", sockets[3 * 16])
    half_open.add("192.0.2.1", FakeSocket())
    half_open.add("192.0.2.2", FakeSocket())
    assert len(half_open) == limits.HALF_OPEN_MAX
    assert sum(socket.is_aborted for socket in sockets.values()) == 1


def test_finished_handshakes_make_room():
    half_open = HalfOpen()
    for _ in range(limits.HALF_OPEN_PER_SOURCE_MAX * 3):
        socket = FakeSocket()
        half_open.add("10.0.0.1", socket)
        half_open.discard("10.0.0.1", socket)
        assert not socket.is_aborted
    assert len(half_open) == 0


async def test_seen_ids_are_forgotten_after_their_time(mock_clock):
    seen = SeenCache()
    assert seen.add(b"a")
    assert not seen.add(b"a")
    mock_clock.jump(limits.GOSSIP_SEEN_S + 1)
    seen.add(b"b")
    assert not seen.has(b"a")
    assert seen.has(b"b")


async def test_seen_ids_are_bounded(mock_clock, monkeypatch):
    monkeypatch.setattr(limits, "GOSSIP_SEEN_MAX", 10)
    seen = SeenCache()
    for number in range(25):
        seen.add(bytes([number]))
    assert [number for number in range(25) if seen.has(bytes([number]))] == list(range(15, 25))


def test_rate_allows_a_burst_and_then_its_pace():
    bucket = TokenBucket(0.0)
    assert (
        sum(bucket.take(0.0) for _ in range(limits.GOSSIP_PER_PEER_BURST * 2)) == limits.GOSSIP_PER_PEER_BURST
    )
    assert sum(bucket.take(1.0) for _ in range(limits.GOSSIP_PER_PEER_BURST)) == int(
        limits.GOSSIP_PER_PEER_RATE
    )


async def test_gossip_leaves_room_for_other_events():
    feed = EventFeed()
    alice = PeerId("alice")
    for _ in range(GOSSIP_FILL_MAX + 5):
        feed.gossip("/t", alice, b"x")
    assert feed.gossip_dropped == 5
    feed.discovered(alice, (Multiaddr("/ip4/127.0.0.1/tcp/1"),), "dht")
    assert feed.events_lost == 0
    assert feed.receive.statistics().current_buffer_used == GOSSIP_FILL_MAX + 1


async def test_discovery_without_addresses_is_no_event():
    feed = EventFeed()
    feed.discovered(PeerId("alice"), (), "dht")
    assert feed.receive.statistics().current_buffer_used == 0


@pytest.mark.parametrize("count", [1, limits.STREAMS_LINGERING_MAX])
async def test_lingering_streams_are_overdue_after_their_time(mock_clock, count):
    lingering = Lingering()
    for number in range(count):
        lingering.add(number)
    assert lingering.take_overdue() == []
    mock_clock.jump(limits.STREAM_LINGER_S + 0.1)
    assert lingering.take_overdue() == list(range(count))


async def test_too_many_lingering_streams_are_overdue_at_once(mock_clock):
    lingering = Lingering()
    for number in range(limits.STREAMS_LINGERING_MAX + 3):
        lingering.add(number)
    assert lingering.take_overdue() == [0, 1, 2]
