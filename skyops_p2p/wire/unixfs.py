"""UnixFS: files as balanced trees of raw blocks, and directories, exactly as IPFS makes and reads them.

What `TreeBuilder` makes is what `ipfs add --cid-version=1` makes of the same pieces: at most 174 links a node, raw
leaves, a lone leaf stays what it is. Directories are plain (not sharded). Read is any UnixFS file and plain directory,
within bounds. Spec: protocol/05b-content.md, "Blocks". Source: ipfs/specs UNIXFS.md.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.limits import CONTENT_BLOCK_BYTES_MAX
from skyops_p2p.wire.cid import RAW, Cid
from skyops_p2p.wire.dag_pb import Link, decode_node, encode_node, node_cid
from skyops_p2p.wire.protobuf import field_int, fields_of

LINKS_MAX = 174
"""Links of one file node that we make: IPFS's own number."""

Block = tuple[Cid, bytes]


class Kind(IntEnum):
    """What a UnixFS node is; the numbers of the format."""

    RAW_NODE = 0
    DIRECTORY = 1
    FILE = 2
    METADATA = 3
    SYMLINK = 4
    SHARD = 5


@dataclass(frozen=True, slots=True)
class Branch:
    """A finished part of a file."""

    cid: Cid
    size_bytes: int
    """Bytes of the file in it."""
    total_bytes: int
    """Bytes of all its blocks."""


@dataclass(frozen=True, slots=True)
class FileNode:
    """A decoded file node: some bytes of its own, then those of its children, in order."""

    data: bytes
    children: tuple[Branch, ...]
    size_bytes: int


@dataclass(slots=True)
class TreeBuilder:
    """Grows the tree of one file, leaf by leaf; holds at most LINKS_MAX branches a level."""

    _levels: list[list[Branch]] = field(default_factory=lambda: [[]])

    def add(self, leaf: Branch) -> list[Block]:
        """Take the next leaf; return the nodes that it finishes."""
        made: list[Block] = []
        self._push(leaf, 0, made)
        return made

    def finish(self) -> tuple[Branch, list[Block]]:
        """Return the root and the nodes that were still missing.

        Raises:
            LocalProtocolError: There was no leaf; an empty file has one empty leaf.
        """
        made: list[Block] = []
        level = 0
        while level < len(self._levels):
            branches, is_top = self._levels[level], not any(self._levels[level + 1 :])
            if is_top and len(branches) == 1:
                return branches[0], made
            if branches:
                self._levels[level] = []
                self._push(_join(branches, made), level + 1, made)
            level += 1
        raise LocalProtocolError("a file has at least one leaf")

    def _push(self, branch: Branch, level: int, made: list[Block]) -> None:
        if level == len(self._levels):
            self._levels.append([])
        branches = self._levels[level]
        branches.append(branch)
        if len(branches) == LINKS_MAX:
            self._levels[level] = []
            self._push(_join(branches, made), level + 1, made)


def raw_leaf(cid: Cid, size_bytes: int) -> Branch:
    """Return the branch of a raw block."""
    return Branch(cid, size_bytes, size_bytes)


def encode_directory(entries: Iterable[tuple[str, Branch]]) -> tuple[Branch, bytes]:
    """Make a directory of named files; the order given does not matter.

    Raises:
        LocalProtocolError: Longer than CONTENT_BLOCK_BYTES_MAX.
    """
    links = [Link(branch.cid, name, branch.total_bytes) for name, branch in entries]
    links.sort(key=lambda link: link.name.encode())
    block = encode_node(links, field_int(1, Kind.DIRECTORY))
    if len(block) > CONTENT_BLOCK_BYTES_MAX:
        raise LocalProtocolError(f"a directory of {len(links)} entries is too long for a block")
    total = len(block) + sum(link.total_bytes for link in links)
    return Branch(node_cid(block), 0, total), block


def decode_directory(block: bytes) -> dict[str, Link]:
    """Read a plain directory as {name: link}.

    Raises:
        RemoteProtocolError: `malformed`: no plain UnixFS directory, unsorted or doubled names, an empty name, or one
            with a slash; or what decoding the node raises.

    Rules: CON-6.
    """
    node = decode_node(block)
    kind, inline, _, _ = _read_unixfs(node.data)
    names = [link.name.encode() for link in node.links]
    is_sorted = all(first < second for first, second in itertools.pairwise(names))
    is_named = all(name and b"/" not in name and b"\0" not in name for name in names)
    if kind is not Kind.DIRECTORY or inline or not is_sorted or not is_named:
        raise _malformed("not a plain UnixFS directory")
    return {link.name: link for link in node.links}


def decode_file(cid: Cid, block: bytes) -> FileNode:
    """Read a node of a file: a raw leaf, or a dag-pb node with bytes of its own, children, or both.

    Raises:
        RemoteProtocolError: `malformed`: no UnixFS file, sizes that do not add up, named links; or what decoding the
            node raises.

    Rules: CON-6.
    """
    if cid.codec == RAW:
        return FileNode(block, (), len(block))
    node = decode_node(block)
    kind, inline, size, child_sizes = _read_unixfs(node.data)
    is_file = kind in (Kind.FILE, Kind.RAW_NODE) and len(child_sizes) == len(node.links)
    if not is_file or any(link.name for link in node.links):
        raise _malformed("not a UnixFS file")
    if size != len(inline) + sum(child_sizes):
        raise _malformed("the sizes of a file do not add up")
    pairs = zip(node.links, child_sizes, strict=True)
    children = tuple(Branch(link.cid, child, link.total_bytes) for link, child in pairs)
    return FileNode(inline, children, size)


def is_directory(block: bytes) -> bool:
    """Return whether a dag-pb block is a plain directory.

    Raises:
        RemoteProtocolError: It is no UnixFS node.
    """
    return _read_unixfs(decode_node(block).data)[0] is Kind.DIRECTORY


def _join(branches: list[Branch], made: list[Block]) -> Branch:
    size = sum(branch.size_bytes for branch in branches)
    data = field_int(1, Kind.FILE) + field_int(3, size)
    data += b"".join(field_int(4, branch.size_bytes) for branch in branches)
    block = encode_node((Link(branch.cid, "", branch.total_bytes) for branch in branches), data)
    cid = node_cid(block)
    made.append((cid, block))
    return Branch(cid, size, len(block) + sum(branch.total_bytes for branch in branches))


def _read_unixfs(data: bytes) -> tuple[Kind, bytes, int, list[int]]:
    """Return (kind, inline bytes, file size, sizes of the children); mode, times and shard fields are passed over."""
    kind, inline, size, child_sizes = None, b"", None, []
    for number, value in fields_of(data):
        match number, value:
            case 1, int() if kind is None and value <= Kind.SHARD:
                kind = Kind(value)
            case 2, bytes():
                inline = value
            case 3, int():
                size = value
            case 4, int():
                child_sizes.append(value)
            case 5 | 6 | 7, int():
                continue
            case 8, bytes():
                continue
            case _:
                raise _malformed("not UnixFS data")
    if kind is None:
        raise _malformed("not UnixFS data")
    return kind, inline, len(inline) + sum(child_sizes) if size is None else size, child_sizes


def _malformed(message: str) -> RemoteProtocolError:
    return RemoteProtocolError(message, code="malformed", rule="CON-6")
