"""Each fault kind demonstrably happens, and the limits of each: on bare networks, without nodes."""

from random import Random

import pytest
import trio

from skyops_p2p.errors import NetworkError, StoreError
from skyops_p2p.ports import FrameStream, GossipReceived, PeerDisconnected
from skyops_p2p.simulation.clock import EPOCH_UNIX_MS, SimClock
from skyops_p2p.simulation.fabric import KEEPALIVE_S, SimFabric
from skyops_p2p.simulation.faults import FaultBoard, LinkFaults
from skyops_p2p.simulation.network import SimNetwork
from skyops_p2p.simulation.store import SimDisk
from tests.simulation.toy import (
    PROTOCOL,
    TOPIC,
    accept,
    addrs,
    drain,
    echo,
    next_event,
    ring,
    toy_network,
    toy_world,
)


def board(**faults: float) -> FaultBoard:
    return FaultBoard(Random(1), links=LinkFaults(**faults))


def fates(faulty: FaultBoard, count: int = 2000) -> list[tuple[float, ...]]:
    return [faulty.fate(0, 1, now=0.0) for _ in range(count)]


def test_a_calm_board_changes_nothing_and_draws_nothing() -> None:
    random = Random(1)
    before = random.getstate()
    calm = FaultBoard(random)
    assert calm.is_calm
    assert set(fates(calm)) == {(0.0,)}
    assert random.getstate() == before


def test_loss_happens_as_often_as_asked() -> None:
    faulty = board(loss=0.25)
    lost = sum(1 for fate in fates(faulty) if not fate)
    assert 400 < lost < 600
    assert faulty.statistics.lost == lost


def test_duplicates_come_twice() -> None:
    faulty = board(duplication=0.5, delay_mean_s=0.1)
    twice = [fate for fate in fates(faulty) if len(fate) == 2]
    assert 900 < len(twice) == faulty.statistics.duplicated < 1100
    assert all(first <= second for first, second in twice)


def test_delay_has_a_minimum_and_a_mean() -> None:
    delays = [fate[0] for fate in fates(board(delay_min_s=0.05, delay_mean_s=0.1))]
    assert min(delays) >= 0.05
    assert 0.13 < sum(delays) / len(delays) < 0.17


def test_reordered_packets_are_overtaken() -> None:
    faulty = board(reordering=0.1)
    delays = [fate[0] for fate in fates(faulty)]
    assert set(delays) == {0.0, 0.5}
    assert faulty.statistics.reordered == delays.count(0.5)


def test_clogged_path_holds_back_all_behind_and_only_that_path() -> None:
    faulty = board(clog=1.0)
    first = faulty.fate(0, 1, now=0.0)[0]
    faulty.links = LinkFaults(loss=1e-12)
    assert faulty.fate(0, 1, now=first / 2)[0] == pytest.approx(first / 2)
    assert faulty.fate(1, 0, now=0.0) == (0.0,)
    assert faulty.fate(0, 1, now=first) == (0.0,)
    assert faulty.statistics.clogged == 2


def test_stream_packets_are_neither_doubled_nor_overtaken() -> None:
    faulty = board(duplication=1.0, reordering=1.0)
    assert {faulty.fate(0, 1, now=0.0, is_stream=True) for _ in range(100)} == {(0.0,)}


def test_partitions_one_way_both_ways_and_their_minimum() -> None:
    faulty = board()
    one_way = faulty.partition([0], [1], is_symmetric=False)
    assert faulty.is_blocked(0, 1)
    assert not faulty.is_blocked(1, 0)
    both = faulty.partition([2], [3], until=10.0)
    assert faulty.is_blocked(3, 2)
    assert faulty.heal(one_way, now=0.0)
    assert not faulty.heal(both, now=9.9)
    assert faulty.is_blocked(2, 3)
    assert faulty.heal(both, now=10.0)
    assert faulty.is_calm


def test_probability_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="probability"):
        LinkFaults(loss=1.5)


async def test_lost_requests_time_out_and_doubled_ones_are_served_twice(autojump_clock: object) -> None:
    fabric = SimFabric(1, links=LinkFaults(loss=0.2, duplication=0.2))
    served = answered = timed_out = 0

    async def count(_peer: object, payload: bytes) -> bytes:
        nonlocal served
        served += 1
        return payload

    async with toy_world(2, fabric) as (alice, bob):
        bob.serve_requests(PROTOCOL, count, bytes_max=100)
        await alice.dial(addrs(bob), timeout_s=60)
        for _ in range(200):
            try:
                assert await alice.request(bob.peer_id, PROTOCOL, b"x", timeout_s=2) == b"x"
                answered += 1
            except NetworkError as error:
                timed_out += error.code == "request_timeout"
    assert answered + timed_out == 200
    assert 40 < timed_out < 110
    assert served > answered


async def test_streams_stay_whole_and_in_order_under_faults(autojump_clock: object) -> None:
    fabric = SimFabric(1, links=LinkFaults(loss=0.3, delay_mean_s=0.5, duplication=0.3, reordering=0.3))
    received: list[bytes] = []
    done = trio.Event()

    async def collect(stream: FrameStream) -> None:
        received.extend([await stream.receive_frame(bytes_max=10) for _ in range(100)])
        done.set()

    async with toy_world(2, fabric) as (alice, bob):
        bob.serve_streams(PROTOCOL, collect)
        await alice.dial(addrs(bob), timeout_s=120)
        stream = await alice.open_stream(bob.peer_id, PROTOCOL, timeout_s=120)
        for number in range(100):
            await stream.send_frame(b"%d" % number)
            await trio.sleep(0.1)
        with trio.fail_after(600):
            await done.wait()
    assert received == [b"%d" % number for number in range(100)]


async def test_gossip_survives_loss_by_repair_and_duplicates_are_absorbed(autojump_clock: object) -> None:
    fabric = SimFabric(1, links=LinkFaults(loss=0.3, duplication=0.3))
    async with toy_world(30, fabric) as networks:
        for network in networks:
            await network.subscribe(TOPIC, accept)
        await ring(networks)
        for number in range(20):
            await networks[0].publish(TOPIC, b"%d" % number)
        await trio.sleep(20)
        for network in networks[1:]:
            payloads = [event.payload for event in drain(network) if isinstance(event, GossipReceived)]
            assert sorted(payloads) == sorted(b"%d" % number for number in range(20))
    statistics = fabric.faults.statistics
    assert fabric.gossip.repairs > 0
    assert statistics.lost > 100
    assert statistics.duplicated > 100


async def test_partition_drops_the_connection_after_the_keepalive(autojump_clock: object) -> None:
    fabric = SimFabric(1)
    async with toy_world(2, fabric) as (alice, bob):
        await alice.dial(addrs(bob), timeout_s=5)
        started = trio.current_time()
        fabric.partition([0], [1], is_symmetric=False)
        assert await next_event(alice, PeerDisconnected) == PeerDisconnected(bob.peer_id)
        assert await next_event(bob, PeerDisconnected) == PeerDisconnected(alice.peer_id)
        assert trio.current_time() - started == pytest.approx(KEEPALIVE_S, abs=0.01)
        with pytest.raises(NetworkError) as caught:
            await bob.dial(addrs(alice), timeout_s=5)
        assert caught.value.code == "dial_failed"


async def test_short_partition_keeps_the_connection(autojump_clock: object) -> None:
    fabric = SimFabric(1)
    async with toy_world(2, fabric) as (alice, bob):
        bob.serve_requests(PROTOCOL, echo, bytes_max=100)
        await alice.dial(addrs(bob), timeout_s=5)
        cut = fabric.partition([0], [1], minimum_s=2)
        assert not fabric.heal(cut)
        with pytest.raises(NetworkError):
            await alice.request(bob.peer_id, PROTOCOL, b"x", timeout_s=2)
        assert fabric.heal(cut)
        await trio.sleep(KEEPALIVE_S)
        assert await alice.request(bob.peer_id, PROTOCOL, b"x", timeout_s=2) == b"x"


async def test_slow_node_answers_late_and_frozen_node_not_at_all(autojump_clock: object) -> None:
    fabric = SimFabric(1)
    async with toy_world(2, fabric) as (alice, bob):
        bob.serve_requests(PROTOCOL, echo, bytes_max=100)
        await alice.dial(addrs(bob), timeout_s=5)
        fabric.faults.slow(bob.number, 2.0)
        started = trio.current_time()
        await alice.request(bob.peer_id, PROTOCOL, b"x", timeout_s=10)
        assert trio.current_time() - started > 4.0
        fabric.faults.slow(bob.number, 0.0)
        fabric.freeze(bob.number)
        with pytest.raises(NetworkError):
            await alice.request(bob.peer_id, PROTOCOL, b"x", timeout_s=20)
        assert alice.connected_peers() == frozenset()
        fabric.faults.thaw(bob.number)
        await alice.dial(addrs(bob), timeout_s=5)


@pytest.mark.parametrize("is_silent", [False, True])
async def test_crash_is_noticed_at_once_and_a_power_cut_after_the_keepalive(
    autojump_clock: object, is_silent: bool
) -> None:
    fabric = SimFabric(1)
    async with toy_world(2, fabric) as (alice, bob):
        await alice.dial(addrs(bob), timeout_s=5)
        started = trio.current_time()
        bob.kill(is_silent=is_silent)
        assert await next_event(alice, PeerDisconnected) == PeerDisconnected(bob.peer_id)
        took_s = trio.current_time() - started
        assert took_s == pytest.approx(KEEPALIVE_S if is_silent else 0.08, abs=0.08)


async def test_restarted_peer_replaces_its_stale_connection(autojump_clock: object) -> None:
    fabric = SimFabric(1)
    async with toy_world(2, fabric) as (alice, bob):
        await alice.dial(addrs(bob), timeout_s=5)
        bob.kill(is_silent=True)
        async with toy_network(fabric, bob.number) as reborn:
            await reborn.dial(addrs(alice), timeout_s=5)
            drain(alice)
            await trio.sleep(2 * KEEPALIVE_S)
            assert alice.connected_peers() == {bob.peer_id}
            assert drain(alice) == []


async def test_a_dead_network_sends_nothing(autojump_clock: object) -> None:
    fabric = SimFabric(1)
    async with toy_world(3, fabric) as networks:
        for network in networks:
            await network.subscribe(TOPIC, accept)
        await ring(networks, reach=1)
        mallory: SimNetwork = networks[0]
        mallory.kill()
        await mallory.publish(TOPIC, b"from beyond")
        with pytest.raises(NetworkError):
            await mallory.request(networks[1].peer_id, PROTOCOL, b"x", timeout_s=1)
        await trio.sleep(10)
        assert not any(isinstance(event, GossipReceived) for event in drain(networks[1]))


async def test_clock_has_offset_drift_and_steps(autojump_clock: object) -> None:
    clock = SimClock(offset_ms=500, drift_ppm=100.0)
    assert clock.now_ms() == EPOCH_UNIX_MS + 500
    await trio.sleep(1000)
    assert clock.error_ms() == 600
    clock.step(-1600)
    assert clock.error_ms() == -1000
    assert clock.now_ms() == EPOCH_UNIX_MS + 999_000


async def test_full_disk_refuses_and_crash_loses_what_is_not_synced(autojump_clock: object) -> None:
    disk = SimDisk(sync_s=1.0)
    async with disk.open() as store:
        await store.set_value("kept", b"1")
        disk.fill()
        with pytest.raises(StoreError) as caught:
            await store.set_value("refused", b"2")
        assert caught.value.code == "store_full"
        disk.empty()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cut_power_soon, disk)
            with pytest.raises(StoreError):
                await store.append("peering", "key", b"unsynced")
    async with disk.open() as store:
        assert await store.value("kept") == b"1"
        assert await store.value("refused") is None
        assert await store.entries("peering") == ()


async def _cut_power_soon(disk: SimDisk) -> None:
    await trio.sleep(0.5)
    disk.cut_power()
