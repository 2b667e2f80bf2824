"""Two nodes inside one program: alice finds bob, measures the way to him, and opens a session.

    python examples/embed_in_app.py

Needs no network but loopback, and leaves nothing behind.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from skyops_p2p import Node, NodeConfig
from skyops_p2p.adapters.system import SystemEntropy
from skyops_p2p.config import NetworkSection, PresenceSection, WorkerSection
from skyops_p2p.node.identity import create_identity
from skyops_p2p.node.views import MapQuery
from skyops_p2p.types import Multiaddr


async def make_node(data_dir: Path, worker: WorkerSection) -> Node:
    """Make a node of a test network with fresh keys; nothing on it is worth money."""
    identity = await create_identity(data_dir, passphrase="", entropy=SystemEntropy(), kdf_work=1024)
    config = NodeConfig(
        data_dir=data_dir,
        is_testnet=True,
        network=NetworkSection(name="testnet-embed", listen=("/ip4/127.0.0.1/tcp/0",)),
        presence=PresenceSection(beat_s=1.0),
        worker=worker,
    )
    return Node(config, identity)


async def main() -> None:
    """Run both nodes, and stop them by leaving their block."""
    with TemporaryDirectory() as folder:
        alice = await make_node(Path(folder, "alice"), WorkerSection())
        seller = WorkerSection(enabled=True, declared_gpus=("A100:80",), region="eu")
        bob = await make_node(Path(folder, "bob"), seller)
        async with alice, bob:
            await alice.join(Multiaddr(bob.status().listen[0]))
            wanted = MapQuery(gpu="a100", vram_gib=40, states=("active",))
            await alice.wait_for(lambda node: len(node.map(wanted)) == 1, timeout_s=60)
            (found,) = alice.map(wanted)
            print(f"alice found {found.gpus[0].model} in {found.region}, wallet {found.wallet}")
            print(f"round trip {await alice.ping(bob.peer_id) * 1000:.1f} ms")
            session = await alice.handshake(bob.peer_id)
            print(f"session {session.session_id} in {session.took_ms:.1f} ms, wallet {session.wallet} proven")


if __name__ == "__main__":
    trio.run(main)
