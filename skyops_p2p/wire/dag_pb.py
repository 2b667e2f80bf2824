"""dag-pb nodes: links to other blocks and a few bytes of data, in their one canonical form.

Spec: protocol/05b-content.md, "Blocks". Source: ipld.io, DAG-PB specification: links come before the data though their
field number is higher, and a directory's links are sorted by the bytes of their names.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.limits import CONTENT_FOREIGN_BLOCK_BYTES_MAX, CONTENT_LINKS_MAX
from skyops_p2p.wire.cid import DAG_PB, Cid, cid_of, decode_cid
from skyops_p2p.wire.protobuf import field_bytes, field_int, fields_of

NAME_BYTES_MAX = 255


@dataclass(frozen=True, slots=True)
class Link:
    """One link of a node."""

    cid: Cid
    name: str
    """Empty in files, the entry's name in directories."""
    total_bytes: int
    """Bytes of the linked block and all below it, as the maker of the node says."""


@dataclass(frozen=True, slots=True)
class PbNode:
    """A decoded node."""

    links: tuple[Link, ...]
    data: bytes


def encode_node(links: Iterable[Link], data: bytes) -> bytes:
    """Encode a node; links in the order given."""
    return b"".join(field_bytes(2, _link(link)) for link in links) + field_bytes(1, data)


def decode_node(block: bytes) -> PbNode:
    """Decode a node.

    Raises:
        RemoteProtocolError: `oversized` past CONTENT_FOREIGN_BLOCK_BYTES_MAX; `malformed`: not canonical dag-pb, more
            than CONTENT_LINKS_MAX links; `bad_cid`.

    Rules: CON-6.
    """
    if len(block) > CONTENT_FOREIGN_BLOCK_BYTES_MAX:
        raise RemoteProtocolError("longer than a block", code="oversized", rule="CON-6")
    links: list[Link] = []
    data: bytes | None = None
    for number, value in fields_of(block):
        if data is not None or not isinstance(value, bytes):
            raise _malformed()
        if number == 1:
            data = value
        elif number == 2 and len(links) < CONTENT_LINKS_MAX:
            links.append(_read_link(value))
        else:
            raise _malformed()
    return PbNode(tuple(links), data or b"")


def links_of(cid: Cid, block: bytes) -> tuple[Link, ...]:
    """Return what a block links to; a raw block links to nothing.

    Raises:
        RemoteProtocolError: As `decode_node`.
    """
    return decode_node(block).links if cid.codec == DAG_PB else ()


def node_cid(block: bytes) -> Cid:
    """Name a node."""
    return cid_of(DAG_PB, block)


def _link(link: Link) -> bytes:
    name = link.name.encode()
    return field_bytes(1, bytes(link.cid)) + field_bytes(2, name) + field_int(3, link.total_bytes)


def _read_link(data: bytes) -> Link:
    found: dict[int, int | bytes] = {}
    for number, value in fields_of(data):
        if number <= max(found, default=0) or number > 3:
            raise _malformed()
        found[number] = value
    raw_cid, raw_name, total = found.get(1), found.get(2, b""), found.get(3, 0)
    if not isinstance(raw_cid, bytes) or not isinstance(raw_name, bytes) or not isinstance(total, int):
        raise _malformed()
    if len(raw_name) > NAME_BYTES_MAX:
        raise _malformed()
    try:
        name = raw_name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed() from error
    return Link(decode_cid(raw_cid), name, total)


def _malformed() -> RemoteProtocolError:
    return RemoteProtocolError("not a canonical dag-pb node", code="malformed", rule="CON-6")
