"""UnixFS as IPFS makes and reads it. The expected CIDs come from the PyPI package aleph-cid 0.1.0, `raw leaves`."""

import hashlib

import pytest

from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.limits import CONTENT_FOREIGN_BLOCK_BYTES_MAX, CONTENT_LINKS_MAX
from skyops_p2p.wire import unixfs
from skyops_p2p.wire.cid import DAG_PB, RAW, Cid, cid_of
from skyops_p2p.wire.dag_pb import Link, decode_node, encode_node, links_of
from skyops_p2p.wire.protobuf import field_bytes, field_int
from skyops_p2p.wire.unixfs import Branch, Kind, TreeBuilder, raw_leaf

PIECE = 256 * 1024
ORACLE: dict[int, str] = {
    0: "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    1_024: "bafkreichxkup7eghfbqjdsj5qsawnjrrxo637eisoiyiajp3yefc5tv5o4",
    262_144: "bafkreigzudkvm4bjk2roat3oo7np2niq2uhny7cpttifxun2itucnsdlcm",
    262_145: "bafybeig5slf3d6sgclb2peutuqpdos35auyff52fzsstad2mdmcjl6imcm",
    300_000: "bafybeigpc5wdjgeiq6piwchjwgtn4nam2ieuznyhj7bfl4boe7tkgw4y3u",
    1_048_576: "bafybeiggdd4x3d2kslrbsigmsure24xvcikwniwliexnkx5lxirr2c44ri",
    45_613_056: "bafybeiebqwixipfjiagfxmntaqydz62pqi7sue656n7odgyi5xjauftqba",
    45_613_057: "bafybeickxtzgayuaqjljacv6oqaavbqngpq4t5vkujgtfwl3775a5krhp4",
    45_875_200: "bafybeig2jloxxf7z5owtejbeehv3xlwphlmu3sk3zenhjf5pdhnu3plgyy",
}
"""Size in bytes -> root of that many bytes of `content`."""


def content(size: int) -> bytes:
    return hashlib.shake_128(b"skyops").digest(size)


def tree_of(pieces: list[bytes]) -> tuple[Branch, dict[Cid, bytes]]:
    builder, blocks = TreeBuilder(), {}
    for piece in pieces:
        cid = cid_of(RAW, piece)
        blocks[cid] = piece
        blocks |= dict(builder.add(raw_leaf(cid, len(piece))))
    root, rest = builder.finish()
    return root, blocks | dict(rest)


def pieces_of(data: bytes, size: int = PIECE) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)] or [b""]


def read(cid: Cid, blocks: dict[Cid, bytes]) -> bytes:
    node = unixfs.decode_file(cid, blocks[cid])
    parts = [read(child.cid, blocks) for child in node.children]
    assert [len(part) for part in parts] == [child.size_bytes for child in node.children]
    return node.data + b"".join(parts)


def code_of(call, *arguments) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        call(*arguments)
    return caught.value.code


@pytest.mark.parametrize("size", ORACLE)
def test_roots_are_those_of_ipfs(size: int) -> None:
    assert str(tree_of(pieces_of(content(size)))[0].cid) == ORACLE[size]


@pytest.mark.parametrize("leaves", [1, 2, 173, 174, 175, 174 * 2, 174 * 3 + 1])
def test_a_tree_reads_back_in_order(leaves: int) -> None:
    data = content(leaves * 10 - 3)
    root, blocks = tree_of(pieces_of(data, 10))
    assert read(root.cid, blocks) == data
    assert root.size_bytes == len(data)
    assert root.total_bytes == sum(map(len, blocks.values()))


def test_a_lone_leaf_stays_raw() -> None:
    assert tree_of([b"short"])[0] == raw_leaf(cid_of(RAW, b"short"), 5)


def test_a_tree_without_leaves_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        TreeBuilder().finish()


def test_a_builder_holds_few_branches() -> None:
    builder = TreeBuilder()
    for index in range(174 * 174 + 5):
        builder.add(raw_leaf(Cid(RAW, index.to_bytes(32, "big")), 1))
    assert sum(map(len, builder._levels)) < 3 * unixfs.LINKS_MAX


def test_a_directory_reads_back_sorted_by_the_bytes_of_its_names() -> None:
    leaf = raw_leaf(cid_of(RAW, b"x"), 1)
    branch, block = unixfs.encode_directory((name, leaf) for name in ("m", "10", "2", "1"))
    assert list(unixfs.decode_directory(block)) == ["1", "10", "2", "m"]
    assert unixfs.is_directory(block)
    assert branch.cid == cid_of(DAG_PB, block)
    assert branch.total_bytes == len(block) + 4


def test_the_empty_directory_is_the_one_of_ipfs() -> None:
    assert (
        str(unixfs.encode_directory([])[0].cid)
        == "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    )


def test_old_leaves_with_bytes_inside_are_read() -> None:
    block = encode_node((), field_int(1, Kind.FILE) + field_bytes(2, b"old") + field_int(3, 3))
    assert unixfs.decode_file(cid_of(DAG_PB, block), block).data == b"old"


LEAF = Link(cid_of(RAW, b"x"), "", 1)
NAMED = Link(cid_of(RAW, b"x"), "a", 1)
ONE = field_int(1, Kind.FILE) + field_int(3, 1) + field_int(4, 1)
BAD_FILES = {
    "a directory": encode_node((), field_int(1, Kind.DIRECTORY)),
    "a symbolic link": encode_node((), field_int(1, Kind.SYMLINK) + field_bytes(2, b"/etc/passwd")),
    "sizes that do not add up": encode_node(
        (LEAF,), field_int(1, Kind.FILE) + field_int(3, 2) + field_int(4, 1)
    ),
    "a link without a size": encode_node((LEAF,), field_int(1, Kind.FILE) + field_int(3, 0)),
    "a named link": encode_node((NAMED,), ONE),
    "no kind": encode_node((LEAF,), field_int(3, 1) + field_int(4, 1)),
    "an unknown kind": encode_node((LEAF,), field_int(1, 9)),
    "an unknown field": encode_node((LEAF,), ONE + field_int(9, 1)),
    "data before links": field_bytes(1, ONE) + encode_node((LEAF,), b"")[:-2],
    "data twice": encode_node((LEAF,), ONE) + field_bytes(1, ONE),
    "an unknown field of the node": encode_node((LEAF,), ONE) + field_int(3, 1),
    "a length past the end": encode_node((LEAF,), ONE)[:-1],
    "a varint that is not minimal": b"\x8a\x00" + encode_node((), ONE)[1:],
    "a varint of eleven bytes": b"\xff" * 11,
    "a fixed-width field": b"\x09" + bytes(8),
    "a link without a cid": field_bytes(2, field_bytes(2, b"a")) + field_bytes(1, ONE),
    "a link whose fields are out of order": field_bytes(
        2, field_bytes(2, b"") + field_bytes(1, bytes(LEAF.cid))
    ),
    "a name that is no text": field_bytes(2, field_bytes(1, bytes(LEAF.cid)) + field_bytes(2, b"\xff")),
    "a name of 256 bytes": field_bytes(2, field_bytes(1, bytes(LEAF.cid)) + field_bytes(2, b"n" * 256)),
    "a number as the data": field_int(1, 5),
    "not protobuf at all": b"\x07hello",
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_file_is_refused(name: str) -> None:  # CON-6
    block = BAD_FILES[name]
    assert code_of(unixfs.decode_file, cid_of(DAG_PB, block), block) == "malformed"


BAD_DIRECTORIES = {
    "a file": encode_node((LEAF,), ONE),
    "unsorted": encode_node((NAMED, Link(LEAF.cid, "B", 1)), field_int(1, Kind.DIRECTORY)),
    "a name twice": encode_node((NAMED, NAMED), field_int(1, Kind.DIRECTORY)),
    "no name": encode_node((LEAF,), field_int(1, Kind.DIRECTORY)),
    "a slash": encode_node((Link(LEAF.cid, "a/b", 1),), field_int(1, Kind.DIRECTORY)),
    "sharded": encode_node((NAMED,), field_int(1, Kind.SHARD)),
}


@pytest.mark.parametrize("name", BAD_DIRECTORIES)
def test_what_is_no_plain_directory_is_refused(name: str) -> None:  # CON-6
    assert code_of(unixfs.decode_directory, BAD_DIRECTORIES[name]) == "malformed"


def test_nodes_have_bounds() -> None:  # CON-6
    links = [Link(LEAF.cid, f"{index:05}", 1) for index in range(CONTENT_LINKS_MAX + 1)]
    data = field_int(1, Kind.DIRECTORY)
    assert len(decode_node(encode_node(links[:-1], data)).links) == CONTENT_LINKS_MAX
    assert code_of(decode_node, encode_node(links, data)) == "malformed"
    assert code_of(decode_node, bytes(CONTENT_FOREIGN_BLOCK_BYTES_MAX + 1)) == "oversized"


def test_a_link_to_another_kind_of_cid_is_refused() -> None:
    assert code_of(decode_node, field_bytes(2, field_bytes(1, b"\x01\x71\x12\x20" + bytes(32)))) == "bad_cid"


def test_raw_blocks_link_to_nothing() -> None:
    assert links_of(cid_of(RAW, ONE), ONE) == ()


def test_a_directory_that_fits_no_block_is_our_own_mistake() -> None:
    leaf = raw_leaf(cid_of(RAW, b"x"), 1)
    with pytest.raises(LocalProtocolError):
        unixfs.encode_directory((f"{'n' * 200}{index:05}", leaf) for index in range(5000))
