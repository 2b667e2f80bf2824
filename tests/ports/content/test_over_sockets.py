"""Two nodes' shelves over real sockets: libp2p, data channels, and what happens when one is cut off."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.adapters.blobs import open_disk_blocks
from skyops_p2p.adapters.libp2p.network import Libp2pNetwork
from skyops_p2p.adapters.system import SystemClock, SystemEntropy
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.errors import NetworkError
from skyops_p2p.node.content.shelf import ContentShelf, Holder, no_progress
from skyops_p2p.node.content.ways import Ways
from skyops_p2p.types import Multiaddr, NetworkName, PeerId
from tests.ports.network.conftest import NETWORK_NAME, PrefixRules

pytestmark = pytest.mark.net
RULES = NetworkRules(NetworkName(NETWORK_NAME), 31337, is_testnet=True)
KEY = bytes(range(32))
MIB = 1 << 20


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine take its time: else it may take another way than is meant."""
    monkeypatch.setattr(limits, "CONTENT_OPEN_TIMEOUT_S", 60.0)


@dataclass
class SocketNode:
    network: Libp2pNetwork
    shelf: ContentShelf

    @property
    def holder(self) -> Holder:
        return Holder(self.network.peer_id, self.network.listen_addrs())


@asynccontextmanager
async def node(name: str, directory: Path, *, channel_port: int | None) -> AsyncIterator[SocketNode]:
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(
            Libp2pNetwork(
                seed=hashlib.sha256(name.encode()).digest(),
                network=NETWORK_NAME,
                listen=["/ip4/127.0.0.1/tcp/0"],
                dht_rules=PrefixRules(),
            )
        )
        store = await stack.enter_async_context(open_disk_blocks(directory / name, quota_bytes=256 * MIB))

        async def reach(peer: PeerId) -> None:
            raise NetworkError(f"{peer} is nowhere", code="unknown_address")

        def addrs_of(_peer: PeerId) -> tuple[Multiaddr, ...]:
            return ()

        ways = Ways(
            network, RULES, entropy=SystemEntropy(), reach=reach, addrs_of=addrs_of, channel_port=channel_port
        )
        shelf = ContentShelf(store, ways, wall_clock=SystemClock())
        nursery = await stack.enter_async_context(trio.open_nursery())
        await nursery.start(shelf.run)
        yield SocketNode(network, shelf)
        nursery.cancel_scope.cancel()


def write_input(directory: Path, size: int) -> Path:
    directory.mkdir()
    (directory / "big.bin").write_bytes(hashlib.shake_128(b"big").digest(size))
    (directory / "small.txt").write_bytes(b"small")
    return directory


@pytest.mark.parametrize("channel_port", [0, None], ids=["data channel", "libp2p stream"])
async def test_a_bundle_goes_from_one_node_to_another(tmp_path, channel_port) -> None:
    root = write_input(tmp_path / "in", 8 * MIB)
    async with (
        node("alice", tmp_path, channel_port=channel_port) as alice,
        node("bob", tmp_path, channel_port=None) as bob,
    ):
        ref = await alice.shelf.seal_tree(
            root, key=KEY, owner="job", bytes_max=64 * MIB, progress=no_progress
        )
        before = alice.network.statistics().bytes_sent
        with trio.fail_after(60):
            await bob.shelf.fetch(ref, [alice.holder], owner="job", progress=no_progress)
        over_libp2p = alice.network.statistics().bytes_sent - before
        assert (over_libp2p > 8 * MIB) is (channel_port is None)
        await bob.shelf.open_tree(ref, tmp_path / "out", key=KEY, progress=no_progress)
    assert (tmp_path / "out/big.bin").read_bytes() == (root / "big.bin").read_bytes()
    assert (tmp_path / "out/small.txt").read_bytes() == b"small"


async def test_a_holder_that_dies_is_replaced_by_another(tmp_path) -> None:
    root = write_input(tmp_path / "in", 16 * MIB)
    async with (
        node("bob", tmp_path, channel_port=None) as bob,
        node("carol", tmp_path, channel_port=0) as carol,
    ):
        async with node("alice", tmp_path, channel_port=0) as alice:
            ref = await alice.shelf.seal_tree(
                root, key=KEY, owner="job", bytes_max=64 * MIB, progress=no_progress
            )
            await carol.shelf.fetch(ref, [alice.holder], owner="job", progress=no_progress)
            holders = [alice.holder, carol.holder]
            part_came = trio.Event()

            def watch(done: int, total: int) -> None:
                if done > total // 4:
                    part_came.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: bob.shelf.fetch(ref, holders, owner="job", progress=watch))
                await part_came.wait()
                await bob.network.disconnect(alice.network.peer_id)
        assert await bob.shelf.has_all(ref)


async def test_a_copy_is_kept_by_a_third_node(tmp_path) -> None:
    root = write_input(tmp_path / "in", MIB)
    async with node("carol", tmp_path, channel_port=None) as carol:
        async with node("bob", tmp_path, channel_port=0) as bob:
            ref = await bob.shelf.seal_tree(
                root, key=KEY, owner="job", bytes_max=64 * MIB, progress=no_progress
            )
            await bob.shelf._ways._connect(carol.holder)
            with trio.fail_after(60):
                await bob.shelf.offer_replica(ref, "copy/1", carol.network.peer_id, note=b"receipt")
        async with node("alice", tmp_path, channel_port=None) as alice:
            (found,) = await alice.shelf.find_copies("copy/1", carol.holder)
            assert (found.bundle, found.note) == (ref, b"receipt")
            await alice.shelf.fetch(found.bundle, [carol.holder], owner="job", progress=no_progress)
            assert await alice.shelf.has_all(ref)
