"""Two of our nodes on loopback, and what a foreign peer needs."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from skyops_p2p.config import NodeConfig
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.node.identity import Identity
from skyops_p2p.node.runtime import Node
from tests.interop.js_peer import JsRuntime, install_js, start_js_peer
from tests.interop.line_peer import ForeignPeerMissingError, LinePeer

NETWORK = "testnet-interop"
CONVERGE_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class Pair:
    """Alice and Bob, who know each other."""

    alice: Node
    bob: Node

    def both(self) -> tuple[Node, Node]:
        return self.alice, self.bob


@pytest.fixture(scope="session")
def js_runtime() -> JsRuntime:
    """Node.js with js-libp2p. Session scope: it is installed with the caller's HOME, not with the test's."""
    try:
        return install_js()
    except ForeignPeerMissingError as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"in CI the foreign peer must be there: {missing}")
        pytest.skip(str(missing))


def make_node(directory: Path, number: int, *, bootstrap: tuple[str, ...] = ()) -> Node:
    directory.mkdir()
    config = NodeConfig.model_validate(
        {
            "data_dir": directory,
            "network": {"name": NETWORK, "listen": ["/ip4/127.0.0.1/tcp/0"], "bootstrap": bootstrap},
            "presence": {"beat_s": 1.0, "probe_timeout_s": 10.0},
            "worker": {"enabled": True, "region": "eu", "declared_gpus": ["A100:80"]},
            "is_testnet": True,
        }
    )
    identity = Identity(NodeKey.from_seed(bytes([number]) * 32), Wallet.from_secret(bytes([number]) * 32))
    return Node(config, identity)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with make_node(tmp_path / "alice", 1) as alice:
        addr = alice.status().listen
        async with make_node(tmp_path / "bob", 2, bootstrap=addr) as bob:
            for node in (alice, bob):
                await node.wait_for(
                    lambda n: n.status().map_counts["active"] == 2, timeout_s=CONVERGE_TIMEOUT_S
                )
            yield Pair(alice, bob)


@pytest.fixture
async def foreigner(js_runtime: JsRuntime) -> AsyncIterator[LinePeer]:
    """A js-libp2p node that knows nobody yet."""
    async with start_js_peer(js_runtime, {"network": NETWORK, "chainId": 31337}) as peer:
        yield peer


@pytest.fixture
async def joined(pair: Pair, foreigner: LinePeer) -> LinePeer:
    """A js-libp2p node connected to both of ours, with both in its gossip topic."""
    for node in pair.both():
        await foreigner.call("dial", addr=node.status().listen[0])
    peers = {str(node.peer_id) for node in pair.both()}
    await foreigner.poll("mesh", lambda answer: peers <= set(answer["subscribers"]))
    return foreigner
