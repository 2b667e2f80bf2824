"""The in-memory network on its own: connections, requests, streams, gossip and DHT on a calm day."""

import pytest
import trio

from skyops_p2p.errors import LocalProtocolError, NetworkError, RemoteProtocolError
from skyops_p2p.limits import REQUESTS_INBOUND_PER_PEER_MAX
from skyops_p2p.ports import (
    FrameStream,
    GossipReceived,
    PeerAddrs,
    PeerConnected,
    PeerDisconnected,
    Verdict,
)
from skyops_p2p.simulation.fabric import SimFabric
from skyops_p2p.simulation.network import SimNetwork
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


@pytest.fixture
def fabric() -> SimFabric:
    return SimFabric(1)


async def test_dial_proves_identity_and_tells_both_ends(autojump_clock: object, fabric: SimFabric) -> None:
    async with toy_world(2, fabric) as (alice, bob):
        await alice.dial(addrs(bob), timeout_s=5)
        at_alice = await next_event(alice, PeerConnected)
        at_bob = await next_event(bob, PeerConnected)
        assert at_alice == PeerConnected(bob.peer_id, bob.listen_addrs(), is_outbound=True)
        assert at_bob == PeerConnected(alice.peer_id, alice.listen_addrs(), is_outbound=False)
        assert alice.connected_peers() == {bob.peer_id}
        await alice.dial(addrs(bob), timeout_s=5)
        assert drain(alice) == []


async def test_another_peer_at_the_address_is_refused(autojump_clock: object, fabric: SimFabric) -> None:
    async with toy_world(3, fabric) as (alice, bob, mallory):
        with pytest.raises(NetworkError) as caught:
            await alice.dial(PeerAddrs(bob.peer_id, mallory.listen_addrs()), timeout_s=5)
        assert caught.value.code == "wrong_peer"
        assert alice.connected_peers() == frozenset()


async def test_nobody_at_the_address_is_a_failed_dial(autojump_clock: object, fabric: SimFabric) -> None:
    ghost = toy_network(fabric, 9)
    async with toy_world(1, fabric) as (alice,):
        with pytest.raises(NetworkError) as caught:
            await alice.dial(addrs(ghost), timeout_s=5)
        assert caught.value.code == "dial_failed"


async def test_full_listener_refuses_one_more(autojump_clock: object) -> None:
    fabric = SimFabric(1)
    async with toy_world(4, fabric) as networks:
        networks[0].connections_max = 2
        for network in networks[1:3]:
            await network.dial(addrs(networks[0]), timeout_s=5)
        with pytest.raises(NetworkError, match="no more connections"):
            await networks[3].dial(addrs(networks[0]), timeout_s=5)


async def test_two_nodes_cannot_listen_on_one_address(autojump_clock: object, fabric: SimFabric) -> None:
    async with toy_world(1, fabric):
        with pytest.raises(NetworkError) as caught:
            async with toy_network(fabric, 0):
                pass
        assert caught.value.code == "port_taken"


async def test_request_round_trip_takes_the_latency(autojump_clock: object, fabric: SimFabric) -> None:
    async with toy_world(2, fabric) as (alice, bob):
        bob.serve_requests(PROTOCOL, echo, bytes_max=100)
        await alice.dial(addrs(bob), timeout_s=5)
        before = trio.current_time()
        assert await alice.request(bob.peer_id, PROTOCOL, b"ping", timeout_s=5) == b"ping"
        round_trip_s = fabric.latency.round_trip_s(alice.number, bob.number)
        assert trio.current_time() - before == pytest.approx(round_trip_s, abs=0.005)
        assert alice.statistics().requests_sent == bob.statistics().requests_served == 1


@pytest.mark.parametrize(
    ("protocol", "payload", "code"),
    [
        (PROTOCOL, b"x" * 101, "oversized"),
        (PROTOCOL, b"bad", "malformed"),
    ],
)
async def test_refusals_carry_their_code(
    autojump_clock: object, fabric: SimFabric, protocol: str, payload: bytes, code: str
) -> None:
    async def picky(_peer: object, request: bytes) -> bytes:
        raise RemoteProtocolError(request.decode(), code="malformed")

    async with toy_world(2, fabric) as (alice, bob):
        bob.serve_requests(PROTOCOL, picky, bytes_max=100)
        await alice.dial(addrs(bob), timeout_s=5)
        with pytest.raises(RemoteProtocolError) as caught:
            await alice.request(bob.peer_id, protocol, payload, timeout_s=5)
        assert caught.value.code == code
        assert bob.statistics().requests_refused == 1


async def test_broken_server_is_contained_and_shown(autojump_clock: object, fabric: SimFabric) -> None:
    async def broken(_peer: object, _request: bytes) -> bytes:
        raise ZeroDivisionError

    async with toy_world(2, fabric) as (alice, bob):
        bob.serve_requests(PROTOCOL, broken, bytes_max=100)
        await alice.dial(addrs(bob), timeout_s=5)
        with pytest.raises(RemoteProtocolError, match="internal"):
            await alice.request(bob.peer_id, PROTOCOL, b"x", timeout_s=5)
        assert bob.statistics().contained_errors == 1
        assert isinstance(fabric.contained[0], ZeroDivisionError)


async def test_silent_server_costs_the_deadline_and_no_more(
    autojump_clock: object, fabric: SimFabric
) -> None:
    async def silent(_peer: object, _request: bytes) -> bytes:
        await trio.sleep_forever()

    outcomes: list[str] = []

    async def ask(alice: SimNetwork, bob: SimNetwork) -> None:
        try:
            await alice.request(bob.peer_id, PROTOCOL, b"x", timeout_s=3)
        except (NetworkError, RemoteProtocolError) as error:
            outcomes.append(error.code)

    async with toy_world(2, fabric) as (alice, bob):
        bob.serve_requests(PROTOCOL, silent, bytes_max=100)
        await alice.dial(addrs(bob), timeout_s=5)
        async with trio.open_nursery() as nursery:
            for _ in range(REQUESTS_INBOUND_PER_PEER_MAX + 1):
                nursery.start_soon(ask, alice, bob)
    assert outcomes == ["request_timeout"] * (REQUESTS_INBOUND_PER_PEER_MAX + 1)


async def test_disconnect_breaks_requests_and_streams_and_tells_both(
    autojump_clock: object, fabric: SimFabric
) -> None:
    async def silent(_peer: object, _request: bytes) -> bytes:
        await trio.sleep_forever()

    async def wait_for_frame(stream: FrameStream) -> None:
        await stream.receive_frame(bytes_max=100)

    async with toy_world(2, fabric) as (alice, bob):
        bob.serve_requests(PROTOCOL, silent, bytes_max=100)
        bob.serve_streams(PROTOCOL, wait_for_frame)
        await alice.dial(addrs(bob), timeout_s=5)
        stream = await alice.open_stream(bob.peer_id, PROTOCOL, timeout_s=5)

        async def drop() -> None:
            await trio.sleep(1)
            await bob.disconnect(alice.peer_id)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drop)
            with pytest.raises(NetworkError) as caught:
                await alice.request(bob.peer_id, PROTOCOL, b"x", timeout_s=9)
        assert caught.value.code == "stream_closed"
        with pytest.raises(NetworkError):
            await stream.send_frame(b"x")
        assert await next_event(alice, PeerDisconnected) == PeerDisconnected(bob.peer_id)
        assert await next_event(bob, PeerDisconnected) == PeerDisconnected(alice.peer_id)
        with pytest.raises(NetworkError) as caught:
            await alice.request(bob.peer_id, PROTOCOL, b"x", timeout_s=9)
        assert caught.value.code == "not_connected"


async def test_stream_frames_arrive_in_order_both_ways_and_end(
    autojump_clock: object, fabric: SimFabric
) -> None:
    async def echo_frames(stream: FrameStream) -> None:
        for _ in range(50):
            await stream.send_frame(await stream.receive_frame(bytes_max=100))

    async with toy_world(2, fabric) as (alice, bob):
        bob.serve_streams(PROTOCOL, echo_frames)
        await alice.dial(addrs(bob), timeout_s=5)
        stream = await alice.open_stream(bob.peer_id, PROTOCOL, timeout_s=5)
        assert stream.peer == bob.peer_id
        for number in range(50):
            await stream.send_frame(b"%d" % number)
        received = [await stream.receive_frame(bytes_max=100) for _ in range(50)]
        assert received == [b"%d" % number for number in range(50)]
        with pytest.raises(NetworkError) as caught:
            await stream.receive_frame(bytes_max=100)
        assert caught.value.code == "stream_closed"
        await stream.aclose()


async def test_oversized_frame_is_the_peers_fault_and_long_one_is_ours(
    autojump_clock: object, fabric: SimFabric
) -> None:
    async def shout(stream: FrameStream) -> None:
        await stream.send_frame(b"x" * 101)

    async with toy_world(2, fabric) as (alice, bob):
        bob.serve_streams(PROTOCOL, shout)
        await alice.dial(addrs(bob), timeout_s=5)
        stream = await alice.open_stream(bob.peer_id, PROTOCOL, timeout_s=5)
        with pytest.raises(RemoteProtocolError) as caught:
            await stream.receive_frame(bytes_max=100)
        assert caught.value.code == "oversized"
        with pytest.raises(LocalProtocolError):
            await stream.send_frame(bytes((1 << 20) + 1))


async def test_sender_waits_for_a_slow_reader(autojump_clock: object, fabric: SimFabric) -> None:
    release = trio.Event()

    async def slow(stream: FrameStream) -> None:
        await release.wait()
        for _ in range(6):
            await stream.receive_frame(bytes_max=1 << 20)

    async with toy_world(2, fabric) as (alice, bob):
        bob.serve_streams(PROTOCOL, slow)
        await alice.dial(addrs(bob), timeout_s=5)
        stream = await alice.open_stream(bob.peer_id, PROTOCOL, timeout_s=5)
        sent = 0
        with trio.move_on_after(5):
            for _ in range(6):
                await stream.send_frame(bytes(1 << 20))
                sent += 1
        assert sent == 4
        release.set()
        with trio.fail_after(30):
            for _ in range(2):
                await stream.send_frame(bytes(1 << 20))


async def test_gossip_reaches_everybody_exactly_once(autojump_clock: object, fabric: SimFabric) -> None:
    async with toy_world(40, fabric) as networks:
        for network in networks:
            await network.subscribe(TOPIC, accept)
        await ring(networks)
        await trio.sleep(1)
        await networks[0].publish(TOPIC, b"hello")
        await trio.sleep(5)
        expected = GossipReceived(TOPIC, networks[0].peer_id, b"hello")
        for network in networks[1:]:
            assert [event for event in drain(network) if isinstance(event, GossipReceived)] == [expected]
        assert not any(isinstance(event, GossipReceived) for event in drain(networks[0]))
        assert fabric.gossip.duplicates > 0


@pytest.mark.parametrize("verdict", [Verdict.IGNORE, Verdict.REJECT])
async def test_gossip_that_is_not_accepted_goes_no_further(
    autojump_clock: object, fabric: SimFabric, verdict: Verdict
) -> None:
    async with toy_world(3, fabric) as (alice, bob, carol):
        await alice.subscribe(TOPIC, accept)
        await bob.subscribe(TOPIC, lambda _topic, _author, _payload: verdict)
        await carol.subscribe(TOPIC, accept)
        await alice.dial(addrs(bob), timeout_s=5)
        await bob.dial(addrs(carol), timeout_s=5)
        await alice.publish(TOPIC, b"hello")
        await trio.sleep(10)
        assert not any(isinstance(event, GossipReceived) for event in drain(bob) + drain(carol))
        assert bob.statistics().gossip_rejected == (verdict is Verdict.REJECT)


async def test_forwarder_of_rubbish_is_shut_out_of_the_mesh(
    autojump_clock: object, fabric: SimFabric
) -> None:
    async with toy_world(2, fabric) as (alice, mallory):
        judged: list[bytes] = []

        def reject(_topic: str, _author: object, payload: bytes) -> Verdict:
            judged.append(payload)
            return Verdict.REJECT

        await alice.subscribe(TOPIC, reject)
        await mallory.subscribe(TOPIC, accept)
        await mallory.dial(addrs(alice), timeout_s=5)
        for number in range(30):
            await mallory.publish(TOPIC, b"rubbish %d" % number)
            await trio.sleep(1)
        assert len(judged) == 8
        assert alice.statistics().mesh_peers == {TOPIC: 0}


async def test_application_score_shuts_out_and_lets_back_in(
    autojump_clock: object, fabric: SimFabric
) -> None:
    async with toy_world(2, fabric) as (alice, mallory):
        for network in (alice, mallory):
            await network.subscribe(TOPIC, accept)
        await mallory.dial(addrs(alice), timeout_s=5)
        alice.set_peer_score(mallory.peer_id, -100.0)
        await mallory.publish(TOPIC, b"one")
        await trio.sleep(5)
        assert not any(isinstance(event, GossipReceived) for event in drain(alice))
        alice.set_peer_score(mallory.peer_id, 0.0)
        await mallory.publish(TOPIC, b"two")
        await trio.sleep(5)
        assert GossipReceived(TOPIC, mallory.peer_id, b"two") in drain(alice)


async def test_oversized_gossip_is_refused_at_the_source(autojump_clock: object, fabric: SimFabric) -> None:
    async with toy_world(1, fabric) as (alice,):
        with pytest.raises(NetworkError):
            await alice.publish(TOPIC, bytes(4097))


async def test_dht_keeps_the_best_value_and_refuses_invalid_ones(
    autojump_clock: object, fabric: SimFabric
) -> None:
    async with toy_world(12, fabric) as networks:
        await ring(networks)
        key = "/skyops/n/" + "a" * 32
        await networks[0].put_record(key, b"7", timeout_s=5)
        await trio.sleep(5)
        await networks[1].put_record(key, b"5", timeout_s=5)
        await trio.sleep(5)
        assert await networks[5].get_record(key, timeout_s=5) == b"7"
        assert await networks[5].get_record("/skyops/n/" + "b" * 32, timeout_s=5) is None
        with pytest.raises(LocalProtocolError):
            await networks[0].put_record(key, b"seven", timeout_s=5)
        with pytest.raises(LocalProtocolError):
            await networks[0].put_record("/skyops/n/" + "c" * 41, b"7", timeout_s=5)


async def test_dht_needs_a_connection(autojump_clock: object, fabric: SimFabric) -> None:
    async with toy_world(2, fabric) as (alice, _bob):
        with pytest.raises(NetworkError) as caught:
            await alice.put_record("/skyops/n/x", b"1", timeout_s=5)
        assert caught.value.code == "dht_not_stored"


async def test_stale_reads_come_from_the_local_copy(autojump_clock: object, fabric: SimFabric) -> None:
    async with toy_world(12, fabric) as networks:
        await ring(networks)
        key = "/skyops/n/k"
        await networks[0].put_record(key, b"1", timeout_s=5)
        await trio.sleep(5)
        assert await networks[3].get_record(key, timeout_s=5) == b"1"
        await networks[0].put_record(key, b"2", timeout_s=5)
        await trio.sleep(5)
        fabric.dht.stale_reads = 1.0
        assert await networks[3].get_record(key, timeout_s=5) == b"1"
        fabric.dht.stale_reads = 0.0
        assert await networks[3].get_record(key, timeout_s=5) == b"2"


async def test_providers_are_found(autojump_clock: object, fabric: SimFabric) -> None:
    async with toy_world(12, fabric) as networks:
        await ring(networks)
        for network in networks[:3]:
            await network.provide("gpu:a100", timeout_s=5)
        await trio.sleep(1)
        found = await networks[9].find_providers("gpu:a100", count_max=10, timeout_s=5)
        assert set(found) == {addrs(network) for network in networks[:3]}
        assert len(await networks[9].find_providers("gpu:a100", count_max=2, timeout_s=5)) == 2
        assert await networks[9].find_providers("gpu:h100", count_max=2, timeout_s=5) == ()
