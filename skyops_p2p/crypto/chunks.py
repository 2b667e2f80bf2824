"""Sealing of content: files become ciphertext blocks that bind their place, so that none can be moved or left out.

A block is a nonce (24 bytes) and the XChaCha20-Poly1305 ciphertext of one chunk with its tag (16). The nonce is made
of what is sealed: a keyed hash of place, length and content. So equal content at the same place of an object of the
same length gives the same block, which is how a checkpoint costs only what changed; and a nonce comes back with another
plaintext only if SHA-256 or the 192 bits used of BLAKE2b collide. That is the argument of SIV (RFC 5297, deterministic
authenticated encryption): the nonce is a pseudo-random function of all that is encrypted and authenticated, under a key
of its own. What it tells a holder without the key: which blocks of one job are equal. The key is one job's, so nothing
is told across jobs. Pure. Spec: protocol/05b-content.md, "Sealed chunks". Sources: RFC 8439,
draft-irtf-cfrg-xchacha-03, RFC 5297, RFC 7693.
"""

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum

from nacl import bindings
from nacl._sodium import ffi, lib  # type: ignore[import-not-found] # compiled, without annotations
from nacl.exceptions import CryptoError

from skyops_p2p.crypto.hashing import hkdf_sha256, sha256
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.limits import CONTENT_CHUNK_BYTES, CONTENT_OBJECT_BYTES_MAX

CONTENT_KEY_BYTES = 32
CHUNK_INFO = b"skyops/chunk/1"
NONCE_INFO = b"skyops/chunk-nonce/1"
NONCE_BYTES = 24
TAG_BYTES = 16
CHUNK_OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES


class Purpose(IntEnum):
    """What a sealed object is; one cannot pass for another."""

    FILE = 0
    MANIFEST = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chunk belongs."""

    purpose: Purpose
    index: int
    """0 to total - 1."""
    total: int
    """Chunks of the object, at least 1: an empty file is one empty chunk."""


@dataclass(frozen=True, slots=True)
class ChunkKeys:
    """What one job's content is sealed with; made by `chunk_keys`."""

    cipher: bytes = field(repr=False)
    nonce: bytes = field(repr=False)


def chunk_keys(content_key: bytes) -> ChunkKeys:
    """Derive the keys of a job's content.

    Args:
        content_key: 32 random bytes, one job's.

    Raises:
        LocalProtocolError: Not 32 bytes.

    Rules: CON-1.
    """
    if len(content_key) != CONTENT_KEY_BYTES:
        raise LocalProtocolError("a content key has 32 bytes")
    return ChunkKeys(
        cipher=hkdf_sha256(content_key, salt=b"", info=CHUNK_INFO, size=32),
        nonce=hkdf_sha256(content_key, salt=b"", info=NONCE_INFO, size=32),
    )


def chunk_count(size_bytes: int) -> int:
    """Return how many chunks an object of this many plaintext bytes has, at least 1.

    Raises:
        LocalProtocolError: Negative, or above CONTENT_OBJECT_BYTES_MAX.

    Rules: CON-2.
    """
    if not 0 <= size_bytes <= CONTENT_OBJECT_BYTES_MAX:
        raise LocalProtocolError(f"an object of {size_bytes} bytes")
    return max(1, -(-size_bytes // CONTENT_CHUNK_BYTES))


def chunk_size(size_bytes: int, index: int) -> int:
    """Return the plaintext bytes of one chunk: all but the last are full. Rules: CON-2."""
    return min(CONTENT_CHUNK_BYTES, size_bytes - index * CONTENT_CHUNK_BYTES)


def sealed_size(size_bytes: int) -> int:
    """Return the ciphertext bytes of an object of this many plaintext bytes."""
    return size_bytes + chunk_count(size_bytes) * CHUNK_OVERHEAD_BYTES


def seal_chunk(keys: ChunkKeys, plaintext: bytes, place: Place) -> bytes:
    """Seal one chunk into its block; the same arguments give the same block.

    Args:
        keys: Of the job.
        plaintext: At most CONTENT_CHUNK_BYTES.
        place: Where it belongs.

    Raises:
        LocalProtocolError: Too long, or an impossible place.

    Rules: CON-3, CON-4.
    """
    if len(plaintext) > CONTENT_CHUNK_BYTES or not 0 <= place.index < place.total:
        raise LocalProtocolError(f"no chunk: {len(plaintext)} bytes at {place.index} of {place.total}")
    bound = _bound(place)
    made_of = bound + sha256(plaintext)
    nonce = hashlib.blake2b(made_of, digest_size=NONCE_BYTES, key=keys.nonce).digest()  # CON-3
    block = bytearray(len(plaintext) + CHUNK_OVERHEAD_BYTES)
    block[:NONCE_BYTES] = nonce
    # PyNaCl's own function clears its output first and copies it twice after, which takes longer than the cipher.
    with ffi.from_buffer(block) as out:
        failed = lib.crypto_aead_xchacha20poly1305_ietf_encrypt(
            out + NONCE_BYTES,
            ffi.NULL,
            plaintext,
            len(plaintext),
            bound,
            len(bound),
            ffi.NULL,
            nonce,
            keys.cipher,
        )
    assert failed == 0, "libsodium cannot fail to seal"
    return bytes(block)


def open_chunk(keys: ChunkKeys, block: bytes, place: Place) -> bytes:
    """Open one block, which must be the one of this place.

    Raises:
        RemoteProtocolError: `malformed` (too short or too long), or `bad_ciphertext`: changed, of another place,
            of an object of another length, or of another job.

    Rules: CON-4.
    """
    if not CHUNK_OVERHEAD_BYTES <= len(block) <= CONTENT_CHUNK_BYTES + CHUNK_OVERHEAD_BYTES:
        raise RemoteProtocolError("not the size of a sealed chunk", code="malformed", rule="CON-4")
    nonce, sealed = block[:NONCE_BYTES], block[NONCE_BYTES:]
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, _bound(place), nonce, keys.cipher)
    except CryptoError as error:  # CON-4
        raise RemoteProtocolError("a chunk does not open", code="bad_ciphertext", rule="CON-4") from error


def _bound(place: Place) -> bytes:
    """Return what a chunk is bound to, 31 bytes: domain, purpose, index, total."""
    return (
        CHUNK_INFO + bytes([place.purpose]) + place.index.to_bytes(8, "big") + place.total.to_bytes(8, "big")
    )
