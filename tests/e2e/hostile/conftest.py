"""A victim that must survive, and an attacker who speaks libp2p without any of our manners."""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p import patches
from skyops_p2p.adapters.libp2p.network import Libp2pNetwork
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.ports import PeerAddrs, Verdict

NETWORK_NAME = "hostile"
TOPIC = f"/skyops/{NETWORK_NAME}/presence/1"
REQUESTS = f"/skyops/{NETWORK_NAME}/node/1.0.0"
STREAMS = f"/skyops/{NETWORK_NAME}/session/1.0.0"
KAD = f"/skyops/{NETWORK_NAME}/kad/1.0.0"
PATIENCE_S = 60.0
"""For what takes some hundredths of a second on a quiet machine: a test that hangs ends with its name."""


class Rules:
    """Nothing may be stored but "good"."""

    def validate(self, key: str, value: bytes) -> None:
        if value != b"good":
            raise RemoteProtocolError("a bad record", code="bad_record")

    def select(self, key: str, values: Sequence[bytes]) -> int:
        return 0


def make_network(name: str, **options: Any) -> Libp2pNetwork:
    settings: dict[str, Any] = {
        "seed": hashlib.sha256(name.encode()).digest(),
        "network": NETWORK_NAME,
        "listen": ["/ip4/127.0.0.1/tcp/0"],
        "dht_rules": Rules(),
        "heartbeat_s": 0.2,
    }
    return Libp2pNetwork(**{**settings, **options})


class Victim:
    """A node with all its services on, and the proof that it still works."""

    topic, requests, streams, kad = TOPIC, REQUESTS, STREAMS, KAD

    def __init__(self, network: Libp2pNetwork) -> None:
        self.network = network

    @property
    def port(self) -> int:
        return int(self.network.listen_addrs()[0].rsplit("/", 1)[1])

    @staticmethod
    async def answer(peer: str, payload: bytes) -> bytes:
        return b"alive:" + payload

    @staticmethod
    async def converse(stream: Any) -> None:
        while True:
            await stream.send_frame(await stream.receive_frame(bytes_max=4096))

    async def prove_alive(self) -> None:
        """Let an honest stranger dial, ask and be answered."""
        async with make_network("honest") as honest:
            target = PeerAddrs(self.network.peer_id, self.network.listen_addrs())
            await honest.dial(target, timeout_s=PATIENCE_S)
            answer = await honest.request(self.network.peer_id, REQUESTS, b"?", timeout_s=PATIENCE_S)
            assert answer == b"alive:?"


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nobody dropped for silence before a test has given up."""
    monkeypatch.setattr(limits, "CONNECTION_SILENCE_MAX_S", 10 * PATIENCE_S)


@pytest.fixture
async def victim() -> AsyncIterator[Victim]:
    async with make_network("victim") as network:
        subject = Victim(network)
        network.serve_requests(REQUESTS, subject.answer, bytes_max=4096)
        network.serve_streams(STREAMS, subject.converse)
        await network.subscribe(TOPIC, lambda topic, author, payload: Verdict.ACCEPT)
        yield subject


class Mallory:
    """A bare libp2p host: opens any protocol and writes any bytes."""

    def __init__(self, host: Any, victim: Victim) -> None:
        self.host = host
        self._victim = victim

    async def connect(self) -> Any:
        from libp2p.peer.id import ID
        from libp2p.peer.peerinfo import PeerInfo
        from multiaddr import Multiaddr

        peer = ID.from_base58(self._victim.network.peer_id)
        with trio.fail_after(PATIENCE_S):
            await self.host.connect(PeerInfo(peer, [Multiaddr(self._victim.network.listen_addrs()[0])]))
        return peer

    async def open(self, protocol: str) -> Any:
        peer = await self.connect()
        with trio.fail_after(PATIENCE_S):
            return await self.host.new_stream(peer, [protocol])


@pytest.fixture
def mallory_for() -> Callable[..., Any]:
    """Return an opener of attackers: `async with mallory_for(victim) as mallory`."""
    patches.apply()

    @asynccontextmanager
    async def open_mallory(victim: Victim, *, psk: str | None = None) -> AsyncIterator[Mallory]:
        import secrets

        from libp2p import new_host
        from libp2p.crypto.ed25519 import create_new_key_pair
        from libp2p.crypto.x25519 import create_new_key_pair as new_noise_key
        from libp2p.network.config import ConnectionConfig
        from libp2p.security.noise.transport import PROTOCOL_ID, Transport
        from multiaddr import Multiaddr

        keys = create_new_key_pair(secrets.token_bytes(32))
        listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
        host = new_host(
            key_pair=keys,
            sec_opt={PROTOCOL_ID: Transport(keys, noise_privkey=new_noise_key().private_key)},
            listen_addrs=listen,
            psk=psk,
            connection_config=ConnectionConfig(
                min_connections=0,
                low_watermark=0,
                high_watermark=200,
                max_connections_per_peer=1,
                auto_connect_interval=1e6,
            ),
        )
        async with host.run(listen):
            yield Mallory(host, victim)
            with trio.move_on_after(3.0, shield=True):
                await host.close()

    return open_mallory


@pytest.fixture
def open_network() -> Callable[..., Libp2pNetwork]:
    """Return the maker of networks."""
    return make_network
