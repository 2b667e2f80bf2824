"""Content identifiers: a block's name is the SHA-256 of its bytes and what kind of block it is.

Only what Skyops and IPFS exchange is read: CIDv1 with sha2-256 over a raw or a dag-pb block, as 36 bytes or as base32
text, and the older CIDv0 (always dag-pb) as base58 text or 34 bytes. Spec: protocol/05b-content.md, "Blocks".
Sources: multiformats CID, multibase, multicodec.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass

import base58

from skyops_p2p.errors import RemoteProtocolError

RAW = 0x55
"""Multicodec `raw`: the block is the content."""
DAG_PB = 0x70
"""Multicodec `dag-pb`: the block is a node with links."""
CID_BYTES = 36
DIGEST_BYTES = 32
CID_CHARS_MAX = 64
"""A CIDv1 of this kind is 59 characters, a CIDv0 46."""

_MULTIHASH = bytes([0x12, DIGEST_BYTES])
"""Multihash sha2-256, 32 bytes."""
_CODECS = (RAW, DAG_PB)


@dataclass(frozen=True, slots=True, order=True)
class Cid:
    """The name of one block."""

    codec: int
    """RAW or DAG_PB."""
    digest: bytes
    """SHA-256 of the block, 32 bytes."""

    def __bytes__(self) -> bytes:
        """The 36 bytes of its CIDv1."""
        return bytes([1, self.codec]) + _MULTIHASH + self.digest

    def __str__(self) -> str:
        """Its CIDv1 in lower-case base32, "bafk…"."""
        return "b" + base64.b32encode(bytes(self)).decode("ascii").lower().rstrip("=")

    def names(self, block: bytes) -> bool:
        """Return whether these are the bytes that it names. Rules: CON-5."""
        return hashlib.sha256(block).digest() == self.digest


def cid_of(codec: int, block: bytes) -> Cid:
    """Name a block."""
    return Cid(codec, hashlib.sha256(block).digest())


def decode_cid(data: bytes) -> Cid:
    """Read a binary CID: 36 bytes of version 1, or the 34 bytes of version 0.

    Raises:
        RemoteProtocolError: Code `bad_cid`.

    Rules: CON-5.
    """
    if len(data) == 2 + DIGEST_BYTES and data.startswith(_MULTIHASH):
        return Cid(DAG_PB, data[2:])
    is_ours = len(data) == CID_BYTES and data[0] == 1 and data[1] in _CODECS and data[2:4] == _MULTIHASH
    if not is_ours:
        raise RemoteProtocolError("not a sha2-256 CID of a raw or dag-pb block", code="bad_cid", rule="CON-5")
    return Cid(data[1], data[4:])


def parse_cid(text: str) -> Cid:
    """Read a CID as people write it: base32 ("b…") of version 1, or base58 ("Qm…") of version 0.

    Raises:
        RemoteProtocolError: Code `bad_cid`: no CID, of another kind, or not in its own spelling.

    Rules: CON-5.
    """
    if len(text) > CID_CHARS_MAX or not text.isascii():
        raise _no_cid()
    try:
        if text.startswith("Qm"):
            data = base58.b58decode(text)
            if base58.b58encode(data).decode("ascii") != text:
                raise _no_cid()
            return decode_cid(data)
        if not text.startswith("b"):
            raise _no_cid()
        digits = text[1:].upper()
        cid = decode_cid(base64.b32decode(digits + "=" * (-len(digits) % 8)))
    except (ValueError, binascii.Error) as error:
        raise _no_cid() from error
    if str(cid) != text:
        raise _no_cid()
    return cid


def _no_cid() -> RemoteProtocolError:
    return RemoteProtocolError("not the text of a CID that is understood", code="bad_cid", rule="CON-5")
