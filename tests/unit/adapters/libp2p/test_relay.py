"""Circuits between three hosts, as far as loopback shows them."""

import hashlib

import pytest
import trio

from skyops_p2p.adapters.libp2p.dialling import parse_peer
from skyops_p2p.adapters.libp2p.network import Libp2pNetwork
from skyops_p2p.errors import NetworkError
from skyops_p2p.ports import PeerAddrs

pytestmark = pytest.mark.net

ECHO = "/skyops/relay/node/1.0.0"
PATIENCE_S = 60.0
"""For what takes some tenths of a second on a quiet machine: a test that hangs ends with its name."""


class NoRules:
    def validate(self, key, value):
        return None

    def select(self, key, values):
        return 0


def make(name, **options):
    return Libp2pNetwork(
        seed=hashlib.sha256(name.encode()).digest(),
        network="relay",
        listen=["/ip4/127.0.0.1/tcp/0"],
        dht_rules=NoRules(),
        **{"relay": True, **options},
    )


async def echo(peer, payload):
    return peer.encode() + b":" + payload


def here(network):
    return PeerAddrs(network.peer_id, network.listen_addrs())


def routes(network, peer):
    connections = network._swarm.get_connections(parse_peer(peer))
    return [str(connection.get_transport_addresses()[0]) for connection in connections]


async def reserve(network, relay):
    await network.dial(here(relay), timeout_s=PATIENCE_S)
    return await network.reserve_relay(here(relay), timeout_s=PATIENCE_S)


async def test_request_over_a_circuit_proves_both_ends():
    async with make("alice") as alice, make("relay") as relay, make("bob") as bob:
        bob.serve_requests(ECHO, echo, bytes_max=64)
        circuit = await reserve(bob, relay)
        await alice.dial(PeerAddrs(bob.peer_id, (circuit,)), timeout_s=PATIENCE_S)
        assert any("/p2p-circuit" in route for route in routes(alice, bob.peer_id))
        answer = await alice.request(bob.peer_id, ECHO, b"hi", timeout_s=PATIENCE_S)
        assert answer == alice.peer_id.encode() + b":hi"


async def test_circuit_is_joined_by_a_direct_connection_where_one_is_possible():
    async with make("alice") as alice, make("relay") as relay, make("bob") as bob:
        bob.serve_requests(ECHO, echo, bytes_max=64)
        circuit = await reserve(bob, relay)
        await alice.dial(PeerAddrs(bob.peer_id, (circuit,)), timeout_s=PATIENCE_S)
        with trio.fail_after(PATIENCE_S):
            while all("/p2p-circuit" in route for route in routes(alice, bob.peer_id)):  # noqa: ASYNC110
                await trio.sleep(0.02)
        assert await alice.request(bob.peer_id, ECHO, b"hi", timeout_s=PATIENCE_S)


async def test_another_peer_at_the_end_of_a_circuit_is_refused():
    async with make("alice") as alice, make("relay") as relay, make("bob") as bob, make("carol") as carol:
        circuit = await reserve(bob, relay)
        with pytest.raises(NetworkError):
            await alice.dial(PeerAddrs(carol.peer_id, (circuit,)), timeout_s=PATIENCE_S)
        assert carol.peer_id not in alice.connected_peers()


async def test_peer_without_a_reservation_is_not_reached():
    async with make("alice") as alice, make("relay") as relay, make("bob") as bob:
        await bob.dial(here(relay), timeout_s=PATIENCE_S)
        unreserved = f"{relay.listen_addrs()[0]}/p2p/{relay.peer_id}/p2p-circuit"
        with pytest.raises(NetworkError):
            await alice.dial(PeerAddrs(bob.peer_id, (unreserved,)), timeout_s=PATIENCE_S)


async def test_nobody_reserves_in_anothers_name():
    from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage
    from libp2p.relay.circuit_v2.protocol import PROTOCOL_ID
    from libp2p.relay.circuit_v2.utils import read_delimited_msg, write_delimited_msg

    async with make("relay") as relay, make("mallory") as mallory, make("bob") as bob:
        await mallory.dial(here(relay), timeout_s=PATIENCE_S)
        stream = await mallory._host.new_stream(parse_peer(relay.peer_id), [PROTOCOL_ID])
        message = HopMessage(type=HopMessage.RESERVE)
        message.peer.id = parse_peer(bob.peer_id).to_bytes()
        await write_delimited_msg(stream, message)
        with trio.fail_after(PATIENCE_S):
            await read_delimited_msg(stream, HopMessage)
        assert relay._relay is not None
        held = relay._relay._circuits.resource_manager
        assert held.has_reservation(parse_peer(mallory.peer_id))
        assert not held.has_reservation(parse_peer(bob.peer_id))


async def test_node_without_relaying_neither_relays_nor_dials_circuits():
    async with make("alice", relay=False) as alice, make("plain", relay=False) as plain, make("bob") as bob:
        await bob.dial(here(plain), timeout_s=PATIENCE_S)
        with pytest.raises(NetworkError) as caught:
            await bob.reserve_relay(here(plain), timeout_s=PATIENCE_S)
        assert caught.value.code == "relay_refused"
        with pytest.raises(NetworkError):
            await alice.reserve_relay(here(plain), timeout_s=PATIENCE_S)
        circuit = f"{plain.listen_addrs()[0]}/p2p/{plain.peer_id}/p2p-circuit"
        with pytest.raises(NetworkError) as caught:
            await alice.dial(PeerAddrs(bob.peer_id, (circuit,)), timeout_s=PATIENCE_S)
        assert caught.value.code == "dial_failed"
