"""Connections: identity, dialling, events."""

import pytest
import trio

from skyops_p2p.errors import NetworkError
from skyops_p2p.ports import PeerAddrs, PeerConnected, PeerDisconnected
from skyops_p2p.types import Multiaddr, PeerId
from tests.ports.network.conftest import PATIENCE_S

pytestmark = pytest.mark.net


async def test_dial_proves_the_identity_of_both_ends(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        await talk.connect(alice, bob)
        assert alice.connected_peers() == {bob.peer_id}
        assert bob.connected_peers() == {alice.peer_id}
        seen_by_alice = await talk.next_event(alice, PeerConnected)
        seen_by_bob = await talk.next_event(bob, PeerConnected)
        assert (seen_by_alice.peer, seen_by_alice.is_outbound) == (bob.peer_id, True)
        assert (seen_by_bob.peer, seen_by_bob.is_outbound) == (alice.peer_id, False)


async def test_same_key_has_same_peer_id(world):
    async with world.open("alice") as first:
        peer = first.peer_id
    async with world.open("alice") as second:
        assert second.peer_id == peer


async def test_another_peer_at_the_address_is_refused(world):
    async with world.open("alice") as alice, world.open("bob") as bob, world.open("carol") as carol:
        with pytest.raises(NetworkError) as caught:
            await alice.dial(PeerAddrs(carol.peer_id, bob.listen_addrs()), timeout_s=PATIENCE_S)
        assert caught.value.code == "wrong_peer"
        assert alice.connected_peers() == frozenset()


async def test_dial_of_a_connected_peer_is_a_no_op(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        await talk.connect(alice, bob)
        await alice.dial(PeerAddrs(bob.peer_id, ()), timeout_s=1.0)
        assert alice.statistics().connections == 1


async def test_dial_without_an_answering_address_fails(world):
    async with world.open("alice") as alice:
        async with world.open("bob") as bob:
            gone = PeerAddrs(bob.peer_id, bob.listen_addrs())
        with pytest.raises(NetworkError) as caught:
            await alice.dial(gone, timeout_s=3.0)
        assert caught.value.code == "dial_failed"


async def test_second_address_is_tried_when_the_first_is_dead(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        dead = Multiaddr("/ip4/127.0.0.1/tcp/1")
        await alice.dial(PeerAddrs(bob.peer_id, (dead, *bob.listen_addrs())), timeout_s=PATIENCE_S)
        assert alice.connected_peers() == {bob.peer_id}


async def test_concurrent_dials_make_one_connection(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(talk.connect, alice, bob)
        assert alice.statistics().connections == 1


async def test_dialling_oneself_is_refused(world):
    async with world.open("alice") as alice:
        with pytest.raises(NetworkError):
            await alice.dial(PeerAddrs(alice.peer_id, alice.listen_addrs()), timeout_s=2.0)


async def test_disconnect_is_told_to_both_ends(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        await talk.connect(alice, bob)
        await alice.disconnect(bob.peer_id)
        await talk.wait_event(alice, PeerDisconnected, bob.peer_id)
        await talk.wait_event(bob, PeerDisconnected, alice.peer_id)
        assert alice.connected_peers() == frozenset()
        assert bob.connected_peers() == frozenset()


async def test_disconnect_of_a_stranger_does_nothing(world):
    async with world.open("alice") as alice, world.open("bob") as bob:
        await alice.disconnect(bob.peer_id)
        assert alice.connected_peers() == frozenset()


async def test_stopped_peer_is_told_as_disconnected(world, talk):
    async with world.open("alice") as alice:
        async with world.open("bob") as bob:
            await talk.connect(alice, bob)
            peer = bob.peer_id
        await talk.wait_event(alice, PeerDisconnected, peer)
        assert alice.connected_peers() == frozenset()


async def test_peer_can_come_back(world, talk):
    async with world.open("alice") as alice:
        for _ in range(3):
            async with world.open("bob") as bob:
                await talk.connect(alice, bob)
                peer = bob.peer_id
            await talk.wait_event(alice, PeerDisconnected, peer)


async def test_malformed_peer_id_is_an_error_of_the_port(world):
    async with world.open("alice") as alice:
        with pytest.raises(NetworkError):
            await alice.dial(PeerAddrs(PeerId("not a peer"), ()), timeout_s=1.0)


async def test_cancelled_dial_leaves_a_working_network(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        for steps in range(8):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(talk.connect, alice, bob)
                    for _ in range(steps * 5):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
        await talk.connect(alice, bob)
        assert bob.peer_id in alice.connected_peers()


async def test_peers_that_dial_each_other_at_once_meet_and_part_once(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk.connect, alice, bob)
            nursery.start_soon(talk.connect, bob, alice)
        assert alice.connected_peers() == {bob.peer_id}
        await alice.disconnect(bob.peer_id)
        await talk.wait_event(alice, PeerDisconnected, bob.peer_id)
        await talk.wait_event(bob, PeerDisconnected, alice.peer_id)
        for network in (alice, bob):
            assert not [
                event for event in drain(network) if isinstance(event, PeerConnected | PeerDisconnected)
            ]


def drain(network):
    """Return the events that wait now."""
    waiting = network.events().statistics().current_buffer_used
    return [network.events().receive_nowait() for _ in range(waiting)]
