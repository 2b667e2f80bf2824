"""Worlds in which the suite for `ports.Network` runs: each can start named networks that reach each other.

Another adapter joins by adding its world to WORLDS; `world` is then parametrised over it as well.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest
import trio

from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.ports import Network, PeerAddrs, PeerConnected, PeerDisconnected, Verdict
from skyops_p2p.types import PeerId
from tests.simulation.port_world import SimulatedWorld

NETWORK_NAME = "suite"
PATIENCE_S = 60.0
"""For what takes some hundredths of a second on a quiet machine: a test that hangs ends with its name."""


class PrefixRules:
    """Values are a version of 8 bytes and "good" or more; the highest version wins."""

    def validate(self, key: str, value: bytes) -> None:
        if not key.startswith("/skyops/n/") or not value[8:].startswith(b"good"):
            raise RemoteProtocolError("a bad record", code="bad_record")

    def select(self, key: str, values: Sequence[bytes]) -> int:
        return max(range(len(values)), key=lambda index: values[index][:8])


class World(Protocol):
    """Where networks of the suite live."""

    def open(self, name: str, **options: Any) -> AbstractAsyncContextManager[Network]:
        """Return a network to be entered; the same name means the same key."""


class Libp2pWorld:
    """Real sockets on loopback."""

    def open(self, name: str, **options: Any) -> AbstractAsyncContextManager[Network]:
        from skyops_p2p.adapters.libp2p.network import Libp2pNetwork

        settings: dict[str, Any] = {
            "seed": hashlib.sha256(name.encode()).digest(),
            "network": NETWORK_NAME,
            "listen": ["/ip4/127.0.0.1/tcp/0"],
            "dht_rules": PrefixRules(),
            "heartbeat_s": 0.2,
        }
        return Libp2pNetwork(**{**settings, **options})


WORLDS: dict[str, Callable[[], World]] = {"libp2p": Libp2pWorld, "simulation": SimulatedWorld}


@pytest.fixture(params=sorted(WORLDS))
def world(request: pytest.FixtureRequest) -> World:
    return WORLDS[request.param]()


class Talk:
    """Small steps that the suite's tests share."""

    topic = f"/skyops/{NETWORK_NAME}/presence/1"
    requests = f"/skyops/{NETWORK_NAME}/node/1.0.0"
    streams = f"/skyops/{NETWORK_NAME}/session/1.0.0"

    @staticmethod
    async def connect(dialler: Network, listener: Network) -> None:
        """Dial, and wait until both ends know; once more if what counted as a connection was about to end."""
        target = PeerAddrs(listener.peer_id, listener.listen_addrs())
        with trio.fail_after(PATIENCE_S):
            await dialler.dial(target, timeout_s=PATIENCE_S)
            while dialler.peer_id not in listener.connected_peers():
                await trio.sleep(0.01)
                await dialler.dial(target, timeout_s=PATIENCE_S)

    @staticmethod
    async def wait(is_so: Callable[[], bool], *, timeout_s: float = PATIENCE_S) -> None:
        """Wait for a condition."""
        with trio.fail_after(timeout_s):
            while not is_so():  # noqa: ASYNC110 - conditions of foreign objects have no event
                await trio.sleep(0.01)

    @staticmethod
    async def next_event(network: Network, kind: type, *, timeout_s: float = PATIENCE_S) -> Any:
        """Return the next event of one kind; others are passed over."""
        with trio.fail_after(timeout_s):
            while True:
                event = await network.events().receive()
                if isinstance(event, kind):
                    return event

    @staticmethod
    async def wait_event(network: Network, kind: type[PeerConnected | PeerDisconnected], peer: PeerId) -> Any:
        """Return the next event of one kind about one peer."""
        while True:
            event = await Talk.next_event(network, kind)
            if event.peer == peer:
                return event

    @staticmethod
    async def wait_mesh(*networks: Network, topic: str | None = None) -> None:
        """Wait until each network has a peer in its mesh of the topic."""
        wanted = topic or Talk.topic
        await Talk.wait(lambda: all(n.statistics().mesh_peers.get(wanted, 0) > 0 for n in networks))


@pytest.fixture
def talk() -> type[Talk]:
    return Talk


@pytest.fixture
def accept_all() -> Callable[[str, PeerId, bytes], Verdict]:
    return lambda topic, author, payload: Verdict.ACCEPT
