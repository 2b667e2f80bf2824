"""Register this machine as a worker: make keys if there are none, join a network, and show up on its map.

    python examples/register_node.py DATA_DIR NETWORK BOOTSTRAP_ADDRESS [MODEL:GIB]

For example, with the address that `skyops status` prints on a node of a test network:

    python examples/register_node.py /tmp/worker testnet-4f2a /ip4/127.0.0.1/tcp/27680/p2p/12D3KooW… A100:80

It registers, prints what others see, and stops. `skyops run --worker` does the same and stays.
"""

import os
import sys
from pathlib import Path

import trio

from skyops_p2p import Node, SkyopsError
from skyops_p2p.adapters.system import SystemEntropy
from skyops_p2p.config import load_config
from skyops_p2p.node.identity import NODE_KEY_FILE, Identity, create_identity, load_identity

PASSPHRASE = os.environ.get("SKYOPS_WALLET_PASSPHRASE", "")


async def open_or_make_identity(data_dir: Path) -> Identity:
    """Return the keys of a data directory, making them the first time."""
    if (data_dir / NODE_KEY_FILE).exists():
        return await load_identity(data_dir, PASSPHRASE)
    return await create_identity(data_dir, passphrase=PASSPHRASE, entropy=SystemEntropy())


async def register(data_dir: Path, network: str, bootstrap: str, gpus: list[str]) -> None:
    """Join and wait until a neighbour knows our record."""
    flags: dict[str, object] = {
        "network.name": network,
        "network.listen": ["/ip4/0.0.0.0/tcp/0"],
        "network.bootstrap": [bootstrap],
        "worker.enabled": True,
        "worker.declared_gpus": gpus,
        "is_testnet": network.startswith("testnet"),
    }
    config, _ = load_config(data_dir, file=None, environment={}, flags=flags)
    identity = await open_or_make_identity(data_dir)
    async with Node(config, identity) as node:
        await node.wait_for(lambda node: node.status().connections > 0, timeout_s=60)
        await node.wait_for(lambda node: node.status().map_counts.get("active", 0) > 1, timeout_s=60)
        record = node.node("self")
        print(f"peer id   {record.peer_id}")
        print(f"wallet    {record.wallet}")
        print(f"hardware  {[gpu.model for gpu in record.gpus] or 'no GPU'} ({record.hardware_source})")
        print(f"runtimes  {', '.join(record.runtimes) or 'none'}")
        print(f"the map has {len(node.map())} nodes, this one included")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    try:
        trio.run(register, Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
    except SkyopsError as error:
        sys.exit(f"error[{error.code}]: {error}")
