"""Whole nodes over a simulated network in virtual time: what they show, survive and clean up."""

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.adapters.memory.store import MemoryDisk
from skyops_p2p.core.node_events import RecordsArrived
from skyops_p2p.errors import NetworkError, SkyopsError
from skyops_p2p.node.runtime import Node
from skyops_p2p.node.views import MapQuery
from skyops_p2p.simulation.clock import EPOCH_UNIX_MS
from skyops_p2p.types import Multiaddr
from skyops_p2p.wire.envelope import seal
from tests.unit.node.small_world import all_in_state, identity, small_world

ALL = ("alice", "bob", "carol")


async def until(node: Node, state: str, *names: str, timeout_s: float = 60.0) -> None:
    await node.wait_for(all_in_state(state, names), timeout_s=timeout_s)


async def test_three_nodes_meet_through_one_and_see_each_other(autojump_clock: MockClock) -> None:
    async with (
        small_world() as world,
        world.node("alice") as alice,
        world.node("bob", join="alice") as bob,
        world.node("carol", join="alice") as carol,
    ):
        for node in (alice, bob, carol):
            await until(node, "active", *ALL)
        assert bob.status().map_counts["active"] == 3
        assert {view.region for view in carol.map()} == {"eu"}


async def test_killed_node_is_suspected_then_inactive_and_active_again_after_restart(
    autojump_clock: MockClock,
) -> None:
    async with small_world() as world, world.node("alice") as alice, world.node("bob", join="alice") as bob:
        with trio.CancelScope() as life:
            async with trio.open_nursery() as nursery:

                async def carol() -> None:
                    async with world.node("carol", join="alice") as node:
                        await until(node, "active", *ALL)
                        up.set()
                        await trio.sleep_forever()

                up = trio.Event()
                nursery.start_soon(carol)
                await up.wait()
                await until(alice, "active", *ALL)
                world.fabric.member(2).kill()  # type: ignore[union-attr]
                await until(alice, "inactive", "carol")
                await until(bob, "inactive", "carol")
                story = " ".join(alice.node(identity("carol").node_key.peer_id).history)
                assert "active -> suspect" in story
                life.cancel()
        async with world.node("carol", join="alice") as again:
            await until(alice, "active", "carol")
            await until(again, "active", *ALL)


async def test_restarted_node_has_its_map_from_the_store_before_anybody_answers(
    autojump_clock: MockClock,
) -> None:
    async with small_world() as world:
        async with world.node("alice") as alice:
            async with world.node("bob", join="alice") as bob:
                await until(bob, "active", "alice", "bob")
                await trio.sleep(2 * limits.FLUSH_INTERVAL_S)
            await until(alice, "inactive", "bob")
        async with world.node("bob") as alone:
            await alone.wait_for(lambda node: len(node.map()) == 2, timeout_s=0.9)
            assert alone.node(identity("alice").node_key.peer_id).state == "pending"


async def test_leaving_node_is_inactive_at_once_with_its_reason(autojump_clock: MockClock) -> None:
    async with small_world() as world, world.node("alice") as alice:
        async with world.node("bob", join="alice"):
            await until(alice, "active", "bob")
        await until(alice, "inactive", "bob", timeout_s=2.0)
        assert alice.node(identity("bob").node_key.peer_id).reason == "it said goodbye"


async def test_nodes_of_another_network_never_appear(autojump_clock: MockClock) -> None:
    async with (
        small_world() as world,
        world.node("alice") as alice,
        world.node("bob", join="alice", name="testnet-other") as bob,
    ):
        await trio.sleep(60)
        assert len(alice.map(MapQuery(states=("active",)))) == 1
        assert len(bob.map(MapQuery(states=("active",)))) == 1


async def test_full_disk_is_told_and_the_node_stays_up(autojump_clock: MockClock) -> None:
    async with small_world() as world:
        world.disks["bob"] = MemoryDisk(free_bytes=0)
        async with world.node("alice") as alice, world.node("bob", join="alice") as bob:
            await bob.wait_for(lambda node: bool(node.status().warnings), timeout_s=10)
            assert "store_full" in bob.status().warnings[0]
            await alice.wait_for(lambda node: node.status().connections == 1, timeout_s=30)
            await alice.ping(bob.peer_id)
            world.disks["bob"].free_bytes = None
            await bob.wait_for(lambda node: not node.status().warnings, timeout_s=60)
            await until(alice, "active", "bob")


async def test_one_data_directory_has_one_node(autojump_clock: MockClock) -> None:
    async with small_world() as world, world.node("alice"):
        with pytest.raises(SkyopsError) as caught:
            async with world.node("alice"):
                pytest.fail("the second node must not start")
        assert caught.value.code == "store_locked"


async def test_error_of_the_body_comes_out_unwrapped(autojump_clock: MockClock) -> None:
    async with small_world() as world:
        with pytest.raises(ValueError, match="mine"):
            async with world.node("alice"):
                raise ValueError("mine")


async def test_cancelling_the_owner_stops_the_node_and_says_goodbye(autojump_clock: MockClock) -> None:
    async with small_world() as world, world.node("alice") as alice:
        with trio.move_on_after(30) as scope:
            async with world.node("bob", join="alice") as bob:
                await until(bob, "active", "alice")
                await trio.sleep_forever()
        assert scope.cancelled_caught
        await until(alice, "inactive", "bob", timeout_s=2.0)


async def test_node_is_entered_once(autojump_clock: MockClock) -> None:
    async with small_world() as world:
        node = world.node("alice")
        async with node:
            pass
        with pytest.raises(SkyopsError) as caught:
            async with node:
                pytest.fail("a used node must not start")
        assert caught.value.code == "node_used"


async def test_peers_are_named_by_a_unique_end(autojump_clock: MockClock) -> None:
    async with small_world() as world, world.node("alice") as alice, world.node("bob", join="alice") as bob:
        await until(alice, "active", "bob")
        assert alice.node(bob.peer_id[-8:]).peer_id == bob.peer_id
        assert alice.find_peer("self") == alice.peer_id
        with pytest.raises(NetworkError) as caught:
            alice.node("12D3KooW")
        assert caught.value.code == "ambiguous_peer"
        with pytest.raises(NetworkError) as caught:
            alice.node("nobody")
        assert caught.value.code == "unknown_peer"


async def test_joining_by_address_and_by_a_wrong_one(autojump_clock: MockClock) -> None:
    async with small_world() as world, world.node("alice") as alice, world.node("bob") as bob:
        assert await bob.join(Multiaddr(world.addr("alice"))) == alice.peer_id
        await until(bob, "active", "alice")
        with pytest.raises(SkyopsError) as caught:
            await bob.join(Multiaddr("/ip4/10.0.0.1/tcp/4711"))
        assert caught.value.code == "bad_address"


async def test_forgotten_node_is_found_again_through_the_dht(autojump_clock: MockClock) -> None:
    async with (
        small_world() as world,
        world.node("alice") as alice,
        world.node("bob", join="alice") as bob,
        world.node("carol", join="alice") as carol,
    ):
        for node in (alice, bob, carol):
            await until(node, "active", *ALL)
        await trio.sleep(limits.DHT_ANNOUNCE_DELAY_S + limits.PROVIDE_KEYS_MAX * limits.DHT_KEY_PAUSE_S)
        await bob._network.disconnect(carol.peer_id)
        bob._core.nodes.remove(carol.peer_id)
        bob._core.book.link(carol.peer_id).addrs = ()  # type: ignore[union-attr]
        assert await bob.search(MapQuery(region="eu")) == 1
        await bob.wait_for(lambda node: len(node.map()) == 3, timeout_s=5)
        assert bob.node(carol.peer_id).region == "eu"


async def test_feed_tells_and_a_slow_watcher_loses_events_instead_of_slowing_the_node(
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "EVENT_FEED_MAX", 1)
    async with small_world() as world, world.node("alice") as alice, alice.events() as events:
        async with world.node("bob", join="alice"):
            await until(alice, "active", "bob")
        await until(alice, "inactive", "bob")
        first = await events.receive()
        assert first.peer_id
        assert alice._dispatcher.feed.dropped > 0


async def test_metrics_name_what_operators_watch(autojump_clock: MockClock) -> None:
    async with small_world() as world, world.node("alice") as alice, world.node("bob", join="alice") as bob:
        await until(alice, "active", "bob")
        await bob.handshake(alice.peer_id)
        text = alice.metrics()
        assert 'skyops_map_nodes{state="active"} 2.0' in text
        assert 'skyops_handshakes_total{code="established",role="responder"} 1.0' in text
        assert "skyops_connections 1.0" in text


async def test_slashed_node_is_known_again_after_a_restart(autojump_clock: MockClock) -> None:
    async with small_world() as world:
        async with world.node("alice") as alice, world.node("bob", join="alice") as bob:
            await until(alice, "active", "bob")
            await until(bob, "active", "alice")
            alice._dispatcher.post(RecordsArrived(None, (_other_record_of(bob),), (), EPOCH_UNIX_MS))
            await until(alice, "slashed", "bob")
            await trio.sleep(2 * limits.FLUSH_INTERVAL_S)
        async with world.node("alice") as again:
            await until(again, "slashed", "bob", timeout_s=0.9)


def _other_record_of(node: Node) -> bytes:
    """Sign a second, different record under the sequence number of a node's own."""
    record = node._core.nodes.get(node.peer_id).record  # type: ignore[union-attr]
    other = record.model_copy(update={"region": "us"})  # type: ignore[union-attr]
    return seal(other, identity("bob").node_key, "testnet-small")
