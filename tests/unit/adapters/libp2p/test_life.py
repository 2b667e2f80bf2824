"""Starting, stopping, failing to start: ports, tasks, threads and frozen peers."""

import contextlib
import hashlib
import socket
import threading

import pytest
import trio
from multiaddr import Multiaddr as RawMultiaddr

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.advertised import is_unspecified
from skyops_p2p.adapters.libp2p.dialling import parse_peer
from skyops_p2p.adapters.libp2p.network import Libp2pNetwork
from skyops_p2p.errors import ConfigError, NetworkError
from skyops_p2p.ports import PeerAddrs, PeerDiscovered
from skyops_p2p.testnet.port_numbers import reserve_ports
from skyops_p2p.types import Multiaddr

pytestmark = pytest.mark.net
PATIENCE_S = 60.0
"""For what takes some hundredths of a second on a quiet machine: a test that hangs ends with its name."""


class NoRules:
    def validate(self, key, value):
        return None

    def select(self, key, values):
        return 0


def make(name="alice", listen=("/ip4/127.0.0.1/tcp/0",), **options):
    seed = hashlib.sha256(name.encode()).digest()
    return Libp2pNetwork(seed=seed, network="life", listen=listen, dht_rules=NoRules(), **options)


@pytest.fixture
def no_hurry(monkeypatch):
    """Have no connection ended for silence or a stalled write before a test has given up."""
    for name in ("CONNECTION_SILENCE_MAX_S", "WRITE_STALL_MAX_S"):
        monkeypatch.setattr(limits, name, 10 * PATIENCE_S)


@pytest.fixture
def taken_port():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


@pytest.fixture
def quiet_port(tmp_path):
    """Return a port that is free, and that the kernel gives to nobody."""
    (port,) = reserve_ports(1, tmp_path)
    return port


@pytest.mark.parametrize("relay", [False, True])
async def test_taken_port_is_told(taken_port, relay):
    with pytest.raises(NetworkError) as caught:
        async with make(listen=[f"/ip4/127.0.0.1/tcp/{taken_port}"], relay=relay):
            pass
    assert caught.value.code == "port_taken"
    assert str(taken_port) in str(caught.value)


@pytest.mark.parametrize("relay", [False, True])
async def test_two_networks_cannot_share_a_port(relay):
    async with make("alice", relay=relay) as alice:
        with pytest.raises(NetworkError) as caught:
            async with make("bob", listen=alice.listen_addrs(), relay=relay):
                pass
        assert caught.value.code == "port_taken"


@pytest.mark.parametrize(
    "addr",
    ["", "127.0.0.1:80", "/ip4/127.0.0.1/udp/0/quic-v1", "/dns4/localhost/tcp/0", "/ip4/192.0.2.1/tcp/0"],
)
async def test_address_that_cannot_be_listened_on_is_told(addr):
    with pytest.raises(NetworkError) as caught:
        async with make(listen=[addr]):
            pass
    assert caught.value.code == "listen_failed"


@pytest.mark.parametrize("psk", ["", "11" * 31, "11" * 33, "zz" * 32])
async def test_malformed_network_key_is_refused(psk):
    with pytest.raises(ConfigError):
        make(psk_hex=psk)


async def test_port_is_free_again_after_the_stop(quiet_port):
    addr = Multiaddr(f"/ip4/127.0.0.1/tcp/{quiet_port}")
    async with make(listen=[addr]) as alice:
        assert alice.listen_addrs() == (addr,)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", quiet_port))
    async with make(listen=[addr]) as again:
        assert again.listen_addrs() == (addr,)


async def test_several_addresses_are_listened_on():
    async with make(listen=["/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0"]) as alice, make("bob") as bob:
        assert len(alice.listen_addrs()) == 2
        over_ip6 = next(addr for addr in alice.listen_addrs() if addr.startswith("/ip6/"))
        await bob.dial(PeerAddrs(alice.peer_id, (over_ip6,)), timeout_s=PATIENCE_S)
        assert bob.connected_peers() == {alice.peer_id}


async def next_discovery(network):
    with trio.fail_after(PATIENCE_S):
        while True:
            event = await network.events().receive()
            if isinstance(event, PeerDiscovered):
                return event


async def test_unspecified_address_is_neither_told_nor_believed():
    async with make("alice", listen=["/ip4/0.0.0.0/tcp/0"]) as alice, make("bob") as bob:
        port = alice.listen_addrs()[0].rsplit("/", 1)[1]
        await bob.dial(
            PeerAddrs(alice.peer_id, (Multiaddr(f"/ip4/127.0.0.1/tcp/{port}"),)), timeout_s=PATIENCE_S
        )
        event = await next_discovery(bob)
        assert event.peer == alice.peer_id
        assert any(addr.endswith(f"/tcp/{port}") for addr in event.addrs)
        assert not any("/0.0.0.0/" in addr for addr in event.addrs)
        store = bob._host.get_peerstore()
        junk = [RawMultiaddr("/ip4/0.0.0.0/tcp/1"), RawMultiaddr("/ip6/::/tcp/1")]
        store.add_addrs(parse_peer(alice.peer_id), junk, 60)
        assert not [addr for addr in store.addrs(parse_peer(alice.peer_id)) if is_unspecified(addr)]


async def test_announced_addresses_are_told_instead():
    told = "/ip4/192.0.2.7/tcp/4711"
    async with make("alice", announce=[told]) as alice, make("bob") as bob:
        await bob.dial(PeerAddrs(alice.peer_id, alice.listen_addrs()), timeout_s=PATIENCE_S)
        assert told in (await next_discovery(bob)).addrs


async def test_nothing_is_left_running_after_the_stop():
    # Counted before and after: tasks of the system nursery, and threads.
    def running():
        tasks = trio.lowlevel.current_root_task().child_nurseries[0].child_tasks
        return len(tasks), sorted(
            thread.name for thread in threading.enumerate() if "trio" not in thread.name.lower()
        )

    async with make("warm"):
        pass
    before = running()
    for _ in range(3):
        async with make("alice") as alice, make("bob") as bob:
            await alice.dial(PeerAddrs(bob.peer_id, bob.listen_addrs()), timeout_s=PATIENCE_S)
    with trio.fail_after(PATIENCE_S):
        while running() != before:  # noqa: ASYNC110 - tasks of the system nursery end on their own
            await trio.sleep(0.01)


@pytest.mark.parametrize("steps", range(0, 40, 3))
async def test_start_cancelled_at_any_step_frees_everything(steps, quiet_port):
    listen = [f"/ip4/127.0.0.1/tcp/{quiet_port}"]

    async def live():
        async with make(listen=listen):
            await trio.sleep_forever()

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        async with make(listen=listen) as again:
            assert again.listen_addrs() == (Multiaddr(listen[0]),)


@pytest.mark.usefixtures("no_hurry")
@pytest.mark.parametrize("broken", ["muxer", "connection"])
async def test_failing_task_of_a_connection_ends_only_that_connection(monkeypatch, broken):
    from libp2p.network.connection.swarm_connection import SwarmConn
    from libp2p.stream_muxer.yamux.yamux import Yamux

    async def fail(self):
        raise ZeroDivisionError

    owner, name = (Yamux, "handle_incoming") if broken == "muxer" else (SwarmConn, "_handle_new_streams")
    async with make("alice") as alice, make("bob") as bob:
        with monkeypatch.context() as broken_world:
            broken_world.setattr(owner, name, fail)
            with trio.move_on_after(2.0):
                with contextlib.suppress(NetworkError):
                    await alice.dial(PeerAddrs(bob.peer_id, bob.listen_addrs()), timeout_s=1.0)
        with trio.fail_after(PATIENCE_S):
            while alice.connected_peers() or bob.connected_peers():  # noqa: ASYNC110 - the set has no event
                await trio.sleep(0.01)
            await alice.dial(PeerAddrs(bob.peer_id, bob.listen_addrs()), timeout_s=PATIENCE_S)
        assert alice.connected_peers() == {bob.peer_id}


async def test_error_of_the_body_comes_out_bare():
    with pytest.raises(ZeroDivisionError):
        async with make():
            raise ZeroDivisionError


async def test_events_end_with_the_network():
    async with make() as alice:
        events = alice.events()
    with pytest.raises(trio.EndOfChannel):
        events.receive_nowait()


class FreezingProxy:
    """Forwards bytes between one client and a server until it is frozen; then it only holds the sockets."""

    def __init__(self, port):
        self._port = port
        self._forwarding = trio.CancelScope()

    async def run(self, task_status):
        async with (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] as listener:
            task_status.started(listener.socket.getsockname()[1])
            async with (
                await listener.accept() as client,
                await trio.open_tcp_stream("127.0.0.1", self._port) as server,
            ):
                with self._forwarding:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._forward, client, server)
                        nursery.start_soon(self._forward, server, client)
                await trio.sleep_forever()

    def freeze(self):
        self._forwarding.cancel()

    async def _forward(self, source, sink):
        async for chunk in source:
            await sink.send_all(chunk)


async def test_silent_peer_is_pinged_and_a_frozen_one_dropped(monkeypatch):
    # A busy machine may hold this process up for a second: that is no silence of bob's.
    monkeypatch.setattr(limits, "HEALTH_INTERVAL_S", 0.2)
    monkeypatch.setattr(limits, "CONNECTION_SILENCE_MAX_S", 3.0)
    async with make("bob") as bob, trio.open_nursery() as nursery:
        proxy = FreezingProxy(int(bob.listen_addrs()[0].rsplit("/", 1)[1]))
        port = await nursery.start(proxy.run)
        async with make("alice") as alice:
            await alice.dial(
                PeerAddrs(bob.peer_id, (Multiaddr(f"/ip4/127.0.0.1/tcp/{port}"),)), timeout_s=PATIENCE_S
            )
            dialled_at = trio.current_time()
            (link,) = alice._meter.sockets.values()
            with trio.fail_after(PATIENCE_S):
                # Bytes that arrive after the longest permitted silence can only be answers to pings.
                while link.received_at < dialled_at + 2 * limits.CONNECTION_SILENCE_MAX_S:
                    assert alice.connected_peers() == {bob.peer_id}
                    await trio.sleep(0.01)
                proxy.freeze()
                while alice.connected_peers():  # noqa: ASYNC110 - the set has no event
                    await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("no_hurry")
async def test_stop_does_not_wait_for_a_frozen_peer():
    async with make("bob") as bob, trio.open_nursery() as nursery:
        proxy = FreezingProxy(int(bob.listen_addrs()[0].rsplit("/", 1)[1]))
        port = await nursery.start(proxy.run)
        with trio.CancelScope() as scope:
            async with make("alice") as alice:
                target = PeerAddrs(bob.peer_id, (Multiaddr(f"/ip4/127.0.0.1/tcp/{port}"),))
                await alice.dial(target, timeout_s=PATIENCE_S)
                proxy.freeze()
                scope.deadline = trio.current_time() + limits.NETWORK_STOP_TIMEOUT_S + PATIENCE_S
        assert not scope.cancelled_caught
        nursery.cancel_scope.cancel()
