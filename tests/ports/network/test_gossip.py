"""Gossip: it reaches everybody once, and what is refused goes no further."""

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.errors import NetworkError
from skyops_p2p.ports import GossipReceived, Verdict

pytestmark = pytest.mark.net


async def line_up(talk, alice, bob, carol):
    """Connect three networks in a line and wait for their meshes."""
    await talk.connect(alice, bob)
    await talk.connect(bob, carol)
    await talk.wait(lambda: bob.statistics().mesh_peers.get(talk.topic) == 2)
    await talk.wait_mesh(alice, carol)


async def test_gossip_crosses_a_line_of_three_and_names_its_author(world, talk, accept_all):
    async with world.open("alice") as alice, world.open("bob") as bob, world.open("carol") as carol:
        for network in (alice, bob, carol):
            await network.subscribe(talk.topic, accept_all)
        await line_up(talk, alice, bob, carol)
        await alice.publish(talk.topic, b"hello")
        for network in (bob, carol):
            event = await talk.next_event(network, GossipReceived)
            assert event == GossipReceived(talk.topic, alice.peer_id, b"hello")
        assert alice.statistics().gossip_published == 1
        assert alice.statistics().gossip_delivered == 0


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.IGNORE])
async def test_refused_gossip_is_neither_delivered_nor_forwarded(world, talk, accept_all, verdict):
    def refuse_bad(topic, author, payload):
        return verdict if payload == b"bad" else Verdict.ACCEPT

    async with world.open("alice") as alice, world.open("bob") as bob, world.open("carol") as carol:
        await alice.subscribe(talk.topic, accept_all)
        await bob.subscribe(talk.topic, refuse_bad)
        await carol.subscribe(talk.topic, accept_all)
        await line_up(talk, alice, bob, carol)
        await alice.publish(talk.topic, b"bad")
        await alice.publish(talk.topic, b"good")
        assert (await talk.next_event(carol, GossipReceived)).payload == b"good"
        assert (await talk.next_event(bob, GossipReceived)).payload == b"good"
        assert bob.statistics().gossip_rejected == (1 if verdict is Verdict.REJECT else 0)


async def test_validator_that_raises_is_contained(world, talk, accept_all):
    def stumble(topic, author, payload):
        if payload == b"trap":
            raise ZeroDivisionError
        return Verdict.ACCEPT

    async with world.open("alice") as alice, world.open("bob") as bob:
        await alice.subscribe(talk.topic, accept_all)
        await bob.subscribe(talk.topic, stumble)
        await talk.connect(alice, bob)
        await talk.wait_mesh(alice, bob)
        await alice.publish(talk.topic, b"trap")
        await alice.publish(talk.topic, b"fine")
        assert (await talk.next_event(bob, GossipReceived)).payload == b"fine"
        assert bob.statistics().contained_errors == 1


async def test_restarted_node_is_heard_again(world, talk, accept_all):
    async with world.open("bob") as bob:
        await bob.subscribe(talk.topic, accept_all)
        for number in range(3):
            async with world.open("alice") as alice:
                await alice.subscribe(talk.topic, accept_all)
                await talk.connect(alice, bob)
                await talk.wait_mesh(alice)
                await alice.publish(talk.topic, f"life {number}".encode())
                assert (await talk.next_event(bob, GossipReceived)).payload == f"life {number}".encode()
            await talk.wait(lambda: not bob.connected_peers())


async def test_burst_of_gossip_arrives_completely_and_once(world, talk, accept_all):
    async with world.open("alice") as alice, world.open("bob") as bob, trio.open_nursery() as nursery:
        for network in (alice, bob):
            await network.subscribe(talk.topic, accept_all)
        await talk.connect(alice, bob)
        await talk.wait_mesh(alice, bob)

        async def burst():
            for number in range(200):
                await alice.publish(talk.topic, number.to_bytes(2, "big") + bytes(200))

        nursery.start_soon(burst)
        got = [(await talk.next_event(bob, GossipReceived)).payload[:2] for _ in range(200)]
        assert sorted(got) == [number.to_bytes(2, "big") for number in range(200)]


async def test_topics_do_not_mix_and_can_be_left(world, talk, accept_all):
    other = talk.topic.replace("presence", "proofs")
    async with world.open("alice") as alice, world.open("bob") as bob:
        for topic in (talk.topic, other):
            await alice.subscribe(topic, accept_all)
            await bob.subscribe(topic, accept_all)
        await talk.connect(alice, bob)
        await talk.wait_mesh(alice, bob, topic=talk.topic)
        await talk.wait_mesh(alice, bob, topic=other)
        await bob.unsubscribe(talk.topic)
        await alice.publish(talk.topic, b"not for bob")
        await alice.publish(other, b"for bob")
        assert (await talk.next_event(bob, GossipReceived)).topic == other


async def test_payload_at_the_bound_passes_and_above_it_does_not_leave(world, talk, accept_all):
    async with world.open("alice") as alice, world.open("bob") as bob:
        for network in (alice, bob):
            await network.subscribe(talk.topic, accept_all)
        await talk.connect(alice, bob)
        await talk.wait_mesh(alice, bob)
        with pytest.raises(NetworkError) as caught:
            await alice.publish(talk.topic, bytes(limits.GOSSIP_BYTES_MAX + 1))
        assert caught.value.code == "payload_too_large"
        await alice.publish(talk.topic, bytes(limits.GOSSIP_BYTES_MAX))
        assert len((await talk.next_event(bob, GossipReceived)).payload) == limits.GOSSIP_BYTES_MAX


async def test_worst_application_score_silences_a_peer(world, talk, accept_all):
    async with world.open("alice") as alice, world.open("bob") as bob, world.open("carol") as carol:
        for network in (alice, bob, carol):
            await network.subscribe(talk.topic, accept_all)
        await talk.connect(alice, bob)
        await talk.connect(carol, bob)
        await talk.wait_mesh(alice, bob, carol)
        bob.set_peer_score(alice.peer_id, -100.0)
        await alice.publish(talk.topic, b"from the disliked")
        await carol.publish(talk.topic, b"from the liked")
        assert (await talk.next_event(bob, GossipReceived)).author == carol.peer_id
        assert bob.statistics().gossip_delivered == 1
