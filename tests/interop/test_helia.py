"""Content and IPFS: Helia's files are fetched by Bitswap, and Helia reads what is stored here, bundles too."""

import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.adapters.blobs import open_disk_blocks
from skyops_p2p.adapters.libp2p.network import Libp2pNetwork
from skyops_p2p.node.content.ipfs import IpfsExchange
from skyops_p2p.node.content.links import Holder
from skyops_p2p.ports.content import BlockStore
from skyops_p2p.types import Multiaddr, PeerId
from skyops_p2p.wire.cid import decode_cid, parse_cid
from tests.interop.js_peer import install_helia
from tests.interop.line_peer import ForeignPeerMissingError, LinePeer, start_peer
from tests.ports.network.conftest import PrefixRules
from tests.unit.node.content.loop import read_tree
from tests.unit.node.content.test_ipfs import file_blocks
from tests.vectors.content_cases import bundle

pytestmark = [pytest.mark.interop, pytest.mark.slow]
MIB = 1 << 20
TIMEOUT_S = 120.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine take its time."""
    monkeypatch.setattr(limits, "CONTENT_OPEN_TIMEOUT_S", TIMEOUT_S)


@dataclass
class Meeting:
    """Helia, and our side of Bitswap."""

    helia: LinePeer
    store: BlockStore
    exchange: IpfsExchange

    @property
    def holders(self) -> list[Holder]:
        addrs = tuple(Multiaddr(addr.rpartition("/p2p/")[0]) for addr in self.helia.addrs)
        return [Holder(PeerId(self.helia.peer_id), addrs)]

    async def meet(self) -> None:
        """Connect, by fetching something small."""
        small = await self.helia.call("add", hex=b"hello".hex())
        await self.exchange.fetch(parse_cid(small["cid"]), self.holders, owner="job", bytes_max=MIB)


@pytest.fixture(scope="session")
def helia_command() -> list[str]:
    try:
        return install_helia().command("helia_peer.mjs")
    except ForeignPeerMissingError as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"in CI the foreign peer must be there: {missing}")
        pytest.skip(str(missing))


@pytest.fixture
async def meeting(helia_command: list[str], tmp_path: Path) -> AsyncIterator[Meeting]:
    network = Libp2pNetwork(
        seed=hashlib.sha256(b"bob").digest(),
        network="suite",
        listen=["/ip4/127.0.0.1/tcp/0"],
        dht_rules=PrefixRules(),
    )
    async with (
        start_peer(helia_command) as helia,
        network,
        open_disk_blocks(tmp_path / "blocks", quota_bytes=256 * MIB) as store,
    ):
        yield Meeting(helia, store, IpfsExchange(network, store))


@pytest.mark.parametrize("size", [0, 1000, 262_144, 262_145, 5_000_000])
async def test_a_file_of_helia_is_fetched_and_has_our_root(meeting: Meeting, tmp_path, size: int) -> None:
    data = hashlib.shake_128(b"helia").digest(size)
    added = await meeting.helia.call("add", hex=data.hex())
    root = parse_cid(added["cid"])
    assert root == file_blocks(data)[0].cid
    with trio.fail_after(TIMEOUT_S):
        await meeting.exchange.fetch(root, meeting.holders, owner="job", bytes_max=64 * MIB)
    await meeting.exchange.export(root, tmp_path / "out", "file")
    assert (tmp_path / "out/file").read_bytes() == data


async def test_a_directory_of_helia_becomes_plain_files(meeting: Meeting, tmp_path) -> None:
    entries = {"a.txt": b"a", "b.bin": hashlib.shake_128(b"b").digest(300_000)}
    added = await meeting.helia.call(
        "add_directory", entries={name: data.hex() for name, data in entries.items()}
    )
    root = parse_cid(added["cid"])
    with trio.fail_after(TIMEOUT_S):
        await meeting.exchange.fetch(root, meeting.holders, owner="job", bytes_max=64 * MIB)
    await meeting.exchange.export(root, tmp_path / "out", "unused")
    assert read_tree(tmp_path / "out") == entries


async def test_helia_reads_a_file_that_we_store(meeting: Meeting) -> None:
    await meeting.meet()
    data = hashlib.shake_128(b"ours").digest(1_500_000)
    root, blocks = file_blocks(data)
    await meeting.store.put(list(blocks.items()), owner="public")
    got = await meeting.helia.call("cat", cid=str(root.cid), timeout_s=TIMEOUT_S)
    assert bytes.fromhex(got["hex"]) == data


async def test_helia_walks_and_reads_a_bundle_without_its_key(meeting: Meeting) -> None:
    await meeting.meet()
    ref, blocks = bundle({"model/w.bin": b"weights", "log.txt": b"loss"}, ())
    await meeting.store.put(list(blocks.items()), owner="public")
    root = str(decode_cid(ref.root))
    assert (await meeting.helia.call("ls", cid=root, timeout_s=TIMEOUT_S))["names"] == ["0", "1", "m"]
    got = await meeting.helia.call("cat", cid=root, path="0", timeout_s=TIMEOUT_S)
    assert bytes.fromhex(got["hex"]) in blocks.values()
