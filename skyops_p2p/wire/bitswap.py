"""Messages of Bitswap 1.2, by which IPFS nodes exchange blocks. Source: specs.ipfs.tech, "Bitswap Protocol".

Only blocks that this program understands are asked for and taken (see cid.py); others in a message are passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.limits import IPFS_WANTS_MAX
from skyops_p2p.wire.cid import Cid, cid_of, decode_cid
from skyops_p2p.wire.protobuf import field_bytes, field_int, fields_of

PROTOCOL = "/ipfs/bitswap/1.2.0"
_PRIORITY = 1
_HAVE, _DONT_HAVE = 0, 1
_PREFIX_AFTER = bytes([0x12, 32])
"""The rest of a block's prefix after version and codec: SHA-256, 32 bytes."""


@dataclass(frozen=True, slots=True)
class Want:
    """One entry of a wantlist."""

    cid: Cid
    is_block: bool = True
    """The block itself, or only whether it is there."""
    is_cancelled: bool = False
    wants_absence: bool = True
    """Say so if it is not there."""


@dataclass(frozen=True, slots=True)
class BitswapMessage:
    """One message, either side's."""

    wants: tuple[Want, ...] = ()
    blocks: tuple[tuple[Cid, bytes], ...] = ()
    """Named by their content, so each is what it is named after."""
    have: tuple[Cid, ...] = ()
    absent: tuple[Cid, ...] = ()


def encode_bitswap(message: BitswapMessage) -> bytes:
    """Encode a message."""
    parts: list[bytes] = []
    if message.wants:
        parts.append(field_bytes(1, b"".join(field_bytes(1, _want(want)) for want in message.wants)))
    for cid, block in message.blocks:
        prefix = bytes([1, cid.codec]) + _PREFIX_AFTER
        parts.append(field_bytes(3, field_bytes(1, prefix) + field_bytes(2, block)))
    for kind, cids in ((_HAVE, message.have), (_DONT_HAVE, message.absent)):
        parts += [field_bytes(4, field_bytes(1, bytes(cid)) + field_int(2, kind)) for cid in cids]
    return b"".join(parts)


def decode_bitswap(data: bytes) -> BitswapMessage:
    """Decode a message; entries about other kinds of blocks are left out.

    Raises:
        RemoteProtocolError: Code `malformed`: no such message, or more than IPFS_WANTS_MAX wants.
    """
    wants: list[Want] = []
    blocks: list[tuple[Cid, bytes]] = []
    presences: tuple[list[Cid], list[Cid]] = ([], [])
    for number, value in fields_of(data):
        match number, value:
            case 1, bytes():
                entries = [
                    entry for field, entry in fields_of(value) if field == 1 and isinstance(entry, bytes)
                ]
                wants += [want for want in map(_read_want, entries) if want is not None]
            case 3, bytes():
                block = _read_block(value)
                blocks += [block] if block is not None else []
            case 4, bytes():
                cid, kind = _read_presence(value)
                if cid is not None and kind in (_HAVE, _DONT_HAVE):
                    presences[kind].append(cid)
            case _:
                continue  # blocks of version 1.0, pending bytes
    if len(wants) > IPFS_WANTS_MAX:
        raise RemoteProtocolError("too many wants in one message", code="malformed")
    return BitswapMessage(tuple(wants), tuple(blocks), tuple(presences[0]), tuple(presences[1]))


def batches_of(cids: Sequence[Cid]) -> list[BitswapMessage]:
    """Ask for blocks in messages of at most IPFS_WANTS_MAX wants."""
    slices = (cids[start : start + IPFS_WANTS_MAX] for start in range(0, len(cids), IPFS_WANTS_MAX))
    return [BitswapMessage(wants=tuple([Want(cid) for cid in part])) for part in slices]


def _want(want: Want) -> bytes:
    return (
        field_bytes(1, bytes(want.cid))
        + field_int(2, _PRIORITY)
        + field_int(3, int(want.is_cancelled))
        + field_int(4, 0 if want.is_block else 1)
        + field_int(5, int(want.wants_absence))
    )


def _read_want(data: bytes) -> Want | None:
    found = dict(fields_of(data))
    cid = _known_cid(found.get(1))
    if cid is None:
        return None
    return Want(
        cid,
        is_block=not found.get(4, 0),
        is_cancelled=bool(found.get(3, 0)),
        wants_absence=bool(found.get(5, 0)),
    )


def _read_block(data: bytes) -> tuple[Cid, bytes] | None:
    found = dict(fields_of(data))
    prefix, block = found.get(1), found.get(2, b"")
    is_known = (
        isinstance(prefix, bytes) and len(prefix) == 4 and prefix[0] in (0, 1) and prefix[2:] == _PREFIX_AFTER
    )
    if not is_known or not isinstance(prefix, bytes) or not isinstance(block, bytes):
        return None
    named = cid_of(prefix[1], block)
    return (named, block) if _known_cid(bytes(named)) else None


def _read_presence(data: bytes) -> tuple[Cid | None, object]:
    found = dict(fields_of(data))
    return _known_cid(found.get(1)), found.get(2, _HAVE)


def _known_cid(data: object) -> Cid | None:
    if not isinstance(data, bytes):
        return None
    try:
        return decode_cid(data)
    except RemoteProtocolError:
        return None
