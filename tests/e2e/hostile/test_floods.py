"""Floods, silence and strangers at the socket."""

import socket
import struct

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p import dht
from skyops_p2p.errors import NetworkError
from skyops_p2p.ports import PeerAddrs, PeerConnected
from tests.e2e.hostile.conftest import PATIENCE_S

pytestmark = pytest.mark.net


async def raw(victim):
    return await trio.open_tcp_stream("127.0.0.1", victim.port)


async def test_half_open_flood_does_not_block_honest_dials(victim):
    sockets = [await raw(victim) for _ in range(300)]
    await victim.prove_alive()
    swarm = victim.network._swarm
    assert len(swarm.half_open) <= limits.HALF_OPEN_PER_SOURCE_MAX
    for stream in sockets:
        await stream.aclose()


async def test_silent_stranger_is_cut_off(victim):
    stream = await raw(victim)
    with trio.fail_after(limits.INBOUND_UPGRADE_TIMEOUT_S + PATIENCE_S):
        while await stream.receive_some():
            pass
    await stream.aclose()
    await victim.prove_alive()


@pytest.mark.parametrize(
    "first_bytes",
    [
        b"",
        b"\xff" * 200,
        b"\x13/multistream/1.0.0\n\x05junk\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\xff\xff\xff\x7f" * 9,
    ],
    ids=["nothing", "ones", "unknown security", "http", "huge line"],
)
async def test_strange_first_bytes_end_only_their_connection(victim, first_bytes):
    stream = await raw(victim)
    if first_bytes:
        await stream.send_all(first_bytes)
    await stream.aclose()
    await victim.prove_alive()


@pytest.mark.parametrize("offer", ["/plaintext/2.0.0", "/secio/1.0.0", "/tls/1.0.0"])
async def test_no_other_security_than_noise_is_taken(victim, offer):
    stream = await raw(victim)
    line = offer.encode() + b"\n"
    await stream.send_all(b"\x13/multistream/1.0.0\n" + bytes([len(line)]) + line)
    heard = b""
    with trio.move_on_after(PATIENCE_S):
        while b"na\n" not in heard and (chunk := await stream.receive_some()):
            heard += chunk
    await stream.aclose()
    assert b"na\n" in heard
    assert offer.encode() not in heard


@pytest.fixture
def slow_handshakes(monkeypatch):
    """Have handshakes take longer than any test waits."""
    monkeypatch.setattr(limits, "INBOUND_UPGRADE_TIMEOUT_S", 10 * PATIENCE_S)


@pytest.mark.usefixtures("slow_handshakes")
async def test_huge_negotiation_line_is_not_buffered(victim):
    stream = await raw(victim)
    # One GiB announced.
    await stream.send_all(b"\x13/multistream/1.0.0\n" + b"\x80\x80\x80\x80\x04")

    async def push():
        while True:
            await stream.send_all(bytes(65536))

    # Long before the handshake's own deadline would end it.
    with trio.fail_after(PATIENCE_S), pytest.raises(trio.BrokenResourceError):
        await push()
    await stream.aclose()
    await victim.prove_alive()


async def test_stream_flood_of_one_peer_leaves_room_for_others(victim, mallory_for):
    async with mallory_for(victim) as mallory, trio.open_nursery() as nursery:
        peer = await mallory.connect()
        opened = []

        async def open_bare():
            stream = await mallory.host.get_network().new_stream(peer)
            opened.append(stream)

        for _ in range(200):
            nursery.start_soon(open_bare)
        with trio.fail_after(PATIENCE_S):
            while len(opened) < 200:  # noqa: ASYNC110 - a list has no event
                await trio.sleep(0.01)
        await victim.prove_alive()
        assert victim.network._host.streams_refused > 0
        nursery.cancel_scope.cancel()


async def test_slow_loris_of_a_request_is_cut_off(victim, mallory_for, monkeypatch):
    async with mallory_for(victim) as mallory:
        with monkeypatch.context() as hasty:  # whoever is honest has time
            hasty.setattr(limits, "REQUEST_TIMEOUT_S", 0.5)
            stream = await mallory.open(victim.requests)
            await stream.write(b"\x64a")
            with trio.fail_after(PATIENCE_S):
                ended = await ends(stream)
    assert ended
    await victim.prove_alive()


async def test_idle_dht_streams_do_not_take_all_places(victim, mallory_for, monkeypatch):
    monkeypatch.setattr(dht, "STREAM_TIMEOUT_S", 10 * PATIENCE_S)
    async with mallory_for(victim) as mallory:
        for _ in range(12):
            await mallory.open(victim.kad)
        async with mallory_for(victim) as carol:
            stream = await carol.open(victim.kad)
            with trio.fail_after(PATIENCE_S):
                await stream.write(find_node_request(b"\x00\x01"))
                assert await stream.read(10)
    await victim.prove_alive()


def find_node_request(key):
    from libp2p.kad_dht.pb.kademlia_pb2 import Message
    from libp2p.utils.varint import encode_varint_prefixed

    message = Message()
    message.type = Message.MessageType.GET_PROVIDERS
    message.key = key
    return encode_varint_prefixed(message.SerializeToString())


async def ends(stream):
    """Tell whether a libp2p stream ends (it hangs otherwise)."""
    from libp2p.exceptions import BaseLibp2pError

    try:
        while await stream.read(100):
            pass
    except BaseLibp2pError:
        return True
    return True


async def test_peer_that_ignores_its_window_is_cut_off(victim, mallory_for, monkeypatch):
    from libp2p.io.exceptions import IOException
    from libp2p.network.connection.exceptions import RawConnError
    from libp2p.stream_muxer.yamux.yamux import TYPE_DATA, YAMUX_HEADER_FORMAT

    async def never_read(stream):
        await trio.sleep_forever()

    monkeypatch.setattr(limits, "YAMUX_BUFFER_BYTES_MAX", 1 << 20)
    victim.network.serve_streams("/skyops/hostile/deaf/1.0.0", never_read)
    async with mallory_for(victim) as mallory:
        peer = await mallory.connect()
        stream = await mallory.open("/skyops/hostile/deaf/1.0.0")
        connection = mallory.host.get_network().get_connections(peer)[0].muxed_conn
        body = bytes(60_000)
        header = struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_DATA, 0, stream.muxed_stream.stream_id, len(body))
        sent = 0
        with trio.fail_after(PATIENCE_S):
            try:
                while not connection.event_shutting_down.is_set():
                    await connection._write_frame(header + body)
                    sent += len(body)
            except (IOException, RawConnError):
                assert sent >= (1 << 20) - len(body)
        with trio.fail_after(PATIENCE_S):
            while victim.network.connected_peers():  # noqa: ASYNC110 - the set has no event
                await trio.sleep(0.01)
    assert sent >= (1 << 20) - len(body)
    await victim.prove_alive()


@pytest.mark.parametrize("steps", range(0, 60, 6))
async def test_peer_that_vanishes_at_any_step_leaves_nothing_behind(victim, mallory_for, steps):
    async with mallory_for(victim) as mallory:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(mallory.open, victim.requests)
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
    with trio.fail_after(PATIENCE_S):
        while victim.network.connected_peers() or victim.network.statistics().connections:  # noqa: ASYNC110
            await trio.sleep(0.01)
    await victim.prove_alive()


async def test_departed_visitors_give_their_places_back(open_network):
    """libp2p keeps one place for each inbound connection that it ever had."""
    async with open_network("bob", connections_max=4) as bob:
        for number in range(12):
            async with open_network(f"visitor{number}") as visitor:
                await visitor.dial(PeerAddrs(bob.peer_id, bob.listen_addrs()), timeout_s=PATIENCE_S)
            with trio.fail_after(PATIENCE_S):
                while bob.connected_peers():  # noqa: ASYNC110 - the set has no event
                    await trio.sleep(0.01)


async def test_vanishing_sockets_do_not_use_up_the_places(victim):
    for _ in range(limits.CONNECTIONS_MAX + 20):
        stream = await raw(victim)
        await stream.send_all(b"\x13/multistream/1.0.0\n")
        await stream.aclose()
    await victim.prove_alive()


async def test_other_network_key_cannot_even_speak(open_network):
    target = PeerAddrs
    async with (
        open_network("bob", psk_hex="11" * 32) as bob,
        open_network("mallory", psk_hex="22" * 32) as mallory,
    ):
        with pytest.raises(NetworkError):
            await mallory.dial(target(bob.peer_id, bob.listen_addrs()), timeout_s=2.0)
        async with open_network("alice", psk_hex="11" * 32) as alice:
            await alice.dial(target(bob.peer_id, bob.listen_addrs()), timeout_s=PATIENCE_S)
            assert alice.connected_peers() == {bob.peer_id}
        async with open_network("eve") as eve:
            with pytest.raises(NetworkError):
                await eve.dial(target(bob.peer_id, bob.listen_addrs()), timeout_s=2.0)


@pytest.mark.usefixtures("slow_handshakes")
async def test_dial_to_a_silent_port_ends_in_time(open_network):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(8)
    addr = f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}"
    async with open_network("alice") as alice, open_network("bob") as bob:
        with trio.fail_after(PATIENCE_S), pytest.raises(NetworkError) as caught:
            await alice.dial(PeerAddrs(bob.peer_id, (addr,)), timeout_s=1.0)
        assert caught.value.code == "dial_failed"
        await alice.dial(PeerAddrs(bob.peer_id, (addr, *bob.listen_addrs())), timeout_s=10.0)
        assert isinstance(await bob.events().receive(), PeerConnected)
    listener.close()


async def test_connections_are_bounded(open_network):
    async with open_network("bob", connections_max=4) as bob, trio.open_nursery() as nursery:
        outcomes = []

        async def visit(number):
            async with open_network(f"visitor{number}") as visitor:
                try:
                    await visitor.dial(PeerAddrs(bob.peer_id, bob.listen_addrs()), timeout_s=PATIENCE_S)
                    answer = "in"
                except NetworkError:
                    answer = "out"
                outcomes.append(answer)
                await trio.sleep_forever()

        for number in range(8):
            nursery.start_soon(visit, number)
        with trio.fail_after(PATIENCE_S):
            while len(outcomes) < 8:  # noqa: ASYNC110 - a list has no event
                await trio.sleep(0.01)
        with trio.fail_after(PATIENCE_S):
            while bob.statistics().connections > 4:  # noqa: ASYNC110 - a counter has no event
                await trio.sleep(0.01)
        assert len(bob.connected_peers()) <= 4
        nursery.cancel_scope.cancel()
