"""The hash functions of the protocol. Spec: protocol/00-conventions.md, "Hashes"."""

import hashlib
import hmac

from Crypto.Hash import keccak

from skyops_p2p.errors import LocalProtocolError

SHA256_BYTES = 32


def sha256(data: bytes) -> bytes:
    """Return the 32-byte SHA-256 digest (FIPS 180-4)."""
    return hashlib.sha256(data).digest()


def keccak256(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 digest as Ethereum uses it (the padding before FIPS 202)."""
    return keccak.new(data=data, digest_bits=256).digest()


def hkdf_sha256(ikm: bytes, *, salt: bytes, info: bytes, size: int) -> bytes:
    """Derive `size` bytes from a secret: extract, then expand (RFC 5869).

    Args:
        ikm: The secret input; need not be uniform.
        salt: Public and not secret; empty means 32 zero bytes.
        info: What the output is for.
        size: Bytes wanted, 1 to 8160.

    Raises:
        LocalProtocolError: `size` is out of bounds.
    """
    if not 1 <= size <= 255 * SHA256_BYTES:
        raise LocalProtocolError(f"HKDF-SHA256 cannot give {size} bytes")
    key = hmac.digest(salt or bytes(SHA256_BYTES), ikm, "sha256")
    block, output = b"", b""
    for index in range(1, -(-size // SHA256_BYTES) + 1):
        block = hmac.digest(key, block + info + bytes([index]), "sha256")
        output += block
    return output[:size]
