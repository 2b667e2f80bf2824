"""A whole node for the benchmarks, run as a child process; it says "ready" and lives until stdin ends."""

import logging
import os
import tempfile
from pathlib import Path

import trio

from bench.network._py_peer import tell
from skyops_p2p.config import NodeConfig
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.node.identity import Identity
from skyops_p2p.node.runtime import Node


def make_node(directory: Path) -> Node:
    """Return a node with fresh keys, on a free port of the loopback."""
    config = NodeConfig.model_validate(
        {
            "data_dir": directory,
            "network": {"name": "testnet-bench", "listen": ["/ip4/127.0.0.1/tcp/0"]},
            "worker": {"enabled": True, "region": "eu"},
            "is_testnet": True,
        }
    )
    return Node(config, Identity(NodeKey.from_seed(os.urandom(32)), Wallet.from_secret(os.urandom(32))))


async def main() -> None:
    """Run one node."""
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as directory:
        async with make_node(Path(directory)) as node:
            tell({"event": "ready", "peer": node.peer_id, "addrs": list(node.status().listen)})
            async for _ in trio.lowlevel.FdStream(os.dup(0)):
                pass


if __name__ == "__main__":
    trio.run(main)
