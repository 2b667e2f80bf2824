"""Graphs of IPFS: fetched by Bitswap, written as plain files, and served to others."""

import hashlib

import pytest

from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.content.ipfs import IpfsExchange
from skyops_p2p.node.content.links import Holder
from skyops_p2p.node.content.publishing import publish_tree
from skyops_p2p.wire.bitswap import BitswapMessage, Want, decode_bitswap, encode_bitswap
from skyops_p2p.wire.cid import DAG_PB, RAW, Cid, cid_of
from skyops_p2p.wire.dag_pb import Link, encode_node
from skyops_p2p.wire.protobuf import field_bytes, field_int
from skyops_p2p.wire.unixfs import Branch, TreeBuilder, encode_directory, raw_leaf
from tests.unit.node.content.loop import LOOPBACK, MIB, Loop, Person, make_tree, read_tree

FILES = {"model/w.bin": hashlib.shake_128(b"w").digest(600_000), "readme.txt": b"hello", "empty": b""}


def file_blocks(data: bytes) -> tuple[Branch, dict[Cid, bytes]]:
    builder, blocks = TreeBuilder(), {}
    for at in range(0, max(1, len(data)), 262_144):
        piece = data[at : at + 262_144]
        blocks[cid_of(RAW, piece)] = piece
        blocks |= dict(builder.add(raw_leaf(cid_of(RAW, piece), len(piece))))
    root, rest = builder.finish()
    return root, blocks | dict(rest)


def directory_blocks() -> tuple[Cid, dict[Cid, bytes]]:
    blocks: dict[Cid, bytes] = {}
    branches = {}
    for path, data in FILES.items():
        branches[path], more = file_blocks(data)
        blocks |= more
    inner, block = encode_directory([("w.bin", branches["model/w.bin"])])
    blocks[inner.cid] = block
    names = [("model", inner), ("readme.txt", branches["readme.txt"]), ("empty", branches["empty"])]
    root, block = encode_directory(names)
    blocks[root.cid] = block
    return root.cid, blocks


def exchange(person: Person) -> IpfsExchange:
    return IpfsExchange(person.network, person.store)


async def code_of(call) -> str:
    with pytest.raises(SkyopsError) as caught:
        await call
    return caught.value.code


async def test_a_directory_is_fetched_and_written_as_plain_files(loop: Loop, tmp_path) -> None:
    root, blocks = directory_blocks()
    async with loop.person("alice") as alice, loop.person("bob") as bob:
        await alice.store.put(list(blocks.items()), owner="public")
        exchange(alice)
        client = exchange(bob)
        holders = [Holder(alice.peer, (LOOPBACK,))]
        await client.fetch(root, holders, owner="job", bytes_max=MIB)
        assert await client.export(root, tmp_path / "out", "unused") == sum(map(len, FILES.values()))
        assert bob.store.statistics().bytes_pinned == sum(map(len, blocks.values()))
        await client.fetch(root, holders, owner="again", bytes_max=MIB)
        assert await code_of(client.fetch(root, holders, owner="job", bytes_max=1000)) == "oversized"
    assert read_tree(tmp_path / "out") == FILES


async def test_published_files_have_the_root_of_ipfs_and_come_back(loop: Loop, tmp_path) -> None:
    root, blocks = directory_blocks()
    source = make_tree(tmp_path / "in", FILES)
    async with loop.person("alice") as alice:
        assert await publish_tree(alice.store, source, owner="public", bytes_max=MIB) == root
        assert alice.store.statistics().blocks == len(blocks)
        (source / "nothing/here").mkdir(parents=True)
        again = await publish_tree(alice.store, source, owner="public", bytes_max=MIB)
        await exchange(alice).export(again, tmp_path / "out", "unused")
    assert read_tree(tmp_path / "out") == FILES | {"nothing/here/": b""}


async def test_a_block_that_nobody_has_is_named(loop: Loop) -> None:
    root, blocks = directory_blocks()
    lost = file_blocks(FILES["readme.txt"])[0].cid
    del blocks[lost]
    async with loop.person("alice") as alice, loop.person("bob") as bob, loop.person("carol") as carol:
        await alice.store.put(list(blocks.items()), owner="public")
        exchange(alice)
        exchange(carol)
        client = exchange(bob)
        holders = [Holder(carol.peer, (LOOPBACK,)), Holder(alice.peer, (LOOPBACK,))]
        with pytest.raises(SkyopsError) as caught:
            await client.fetch(root, holders, owner="job", bytes_max=MIB)
        assert caught.value.code == "content_missing"
        assert str(lost) in caught.value.message


async def test_a_path_that_leads_out_is_not_written(loop: Loop, tmp_path) -> None:
    leaf, blocks = file_blocks(b"evil")
    top = encode_node((Link(leaf.cid, "..", 4),), field_int(1, 1))
    async with loop.person("alice") as alice:
        root = cid_of(DAG_PB, top)
        await alice.store.put([*blocks.items(), (root, top)], owner="public")
        assert await code_of(exchange(alice).export(root, tmp_path / "a/out", "x")) == "bad_path"
        assert not (tmp_path / "evil").exists()
        await exchange(alice).export(leaf.cid, tmp_path / "a/out", "x")
    assert (tmp_path / "a/out/x").read_bytes() == b"evil"


def test_messages_lead_back() -> None:
    data = b"block"
    cid, node = cid_of(RAW, data), cid_of(DAG_PB, b"node")
    message = BitswapMessage(
        wants=(Want(cid), Want(node, is_block=False, is_cancelled=True, wants_absence=False)),
        blocks=((cid, data),),
        have=(node,),
        absent=(cid,),
    )
    assert decode_bitswap(encode_bitswap(message)) == message


def test_a_block_is_named_by_its_content_whatever_the_message_says() -> None:
    lie = field_bytes(3, field_bytes(1, b"\x01\x55\x12\x20") + field_bytes(2, b"other"))
    assert decode_bitswap(lie).blocks == ((cid_of(RAW, b"other"), b"other"),)
    unknown = field_bytes(3, field_bytes(1, b"\x01\x71\x12\x20") + field_bytes(2, b"cbor"))
    assert decode_bitswap(unknown) == BitswapMessage()


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05ab", b"\x09" + bytes(8)])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(SkyopsError) as caught:
        decode_bitswap(data)
    assert caught.value.code == "malformed"
