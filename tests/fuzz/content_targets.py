"""The decoders of content: blocks, lists of files and the beginning of a data channel."""

from collections.abc import Callable

from skyops_p2p.core.content import channel
from skyops_p2p.core.content.bundle import decode_manifest, encode_manifest, read_root
from skyops_p2p.crypto.chunks import Place, Purpose, chunk_keys, open_chunk
from skyops_p2p.wire.cid import DAG_PB, RAW, cid_of, decode_cid, parse_cid
from skyops_p2p.wire.dag_pb import decode_node, encode_node
from skyops_p2p.wire.unixfs import TreeBuilder, decode_directory, decode_file, raw_leaf
from tests.vectors.content_cases import CONTENT_KEY, bundle

REF, BLOCKS = bundle({"a/b": b"1", "c": b""}, ("empty",))
ENTRIES = read_root(BLOCKS[decode_cid(REF.root)])
KEYS = chunk_keys(CONTENT_KEY)
TICKET = channel.Ticket(1, bytes(16), bytes(32))


def _cid_bytes(data: bytes) -> None:
    cid = decode_cid(data)
    assert bytes(cid) == data or len(data) == 34
    assert parse_cid(str(cid)) == cid


def _cid_text(data: bytes) -> None:
    text = data.decode("utf-8", errors="replace")
    cid = parse_cid(text)
    assert str(cid) == text or text.startswith("Qm")


def _node(data: bytes) -> None:
    node = decode_node(data)
    assert decode_node(encode_node(node.links, node.data)) == node


def _file(data: bytes) -> None:
    node = decode_file(cid_of(DAG_PB, data), data)
    assert node.size_bytes == len(node.data) + sum(child.size_bytes for child in node.children)


def _list(data: bytes) -> None:
    tree = decode_manifest(data, ENTRIES, REF)
    assert encode_manifest(tree) == data
    assert not any(path.startswith("/") or ".." in path.split("/") for path in tree.directories)


def _tree_of(leaves: int) -> bytes:
    """Return the top node of a file."""
    builder = TreeBuilder()
    for index in range(leaves):
        builder.add(raw_leaf(cid_of(RAW, bytes([index])), 1))
    return builder.finish()[1][-1][1]


CONTENT_TARGETS: dict[str, Callable[[bytes], object]] = {
    "chunk": lambda data: open_chunk(KEYS, data, Place(Purpose.FILE, 0, 1)),
    "cid-bytes": _cid_bytes,
    "cid-text": _cid_text,
    "dag-pb": _node,
    "unixfs-file": _file,
    "unixfs-directory": decode_directory,
    "bundle-root": read_root,
    "bundle-list": _list,
    "channel-hello": channel.read_hello,
    "channel-reply": lambda data: channel.check_reply(TICKET, bytes(32), data),
}
CONTENT_SEEDS: dict[str, tuple[bytes, ...]] = {
    "unixfs-file": (_tree_of(2), _tree_of(5)),
    "bundle-list": (open_chunk(KEYS, BLOCKS[ENTRIES.manifest.cid], Place(Purpose.MANIFEST, 0, 1)),),
    "channel-reply": (channel.listener_reply(TICKET, bytes(32), bytes(range(32))), bytes(64)),
}
"""Inputs that are taken, where the vectors hold none by themselves."""
