"""The wallet key: secp256k1, an EVM account. Signatures are recoverable, 65 bytes, low-s.

Spec: protocol/01-identity.md, "Wallet". Sources: EIP-2 (low s), EIP-55 (checksum), SEC 1 4.1.6 (recovery).
"""

import re
from functools import lru_cache

from coincurve import PrivateKey, PublicKey

from skyops_p2p.crypto.hashing import keccak256
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.types import WalletAddress

ADDRESS_BYTES = 20
SIGNATURE_BYTES = 65
SECP256K1_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141

_HEX_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


class Wallet:
    """A payout account's key."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < SECP256K1_ORDER:
            raise LocalProtocolError("a secp256k1 secret has 32 bytes and lies below the group order")
        self._key = PrivateKey(secret)
        self.address = address_from_bytes(_account_of(self._key.public_key))
        """EIP-55 text."""

    @classmethod
    def from_secret(cls, secret32: bytes) -> "Wallet":
        """Make the wallet of a 32-byte secret scalar.

        Raises:
            LocalProtocolError: Wrong length, zero, or not below the group order.
        """
        return cls(secret32)

    @property
    def secret(self) -> bytes:
        """The 32 secret bytes, for the keystore only."""
        return self._key.secret

    def sign_digest(self, digest32: bytes) -> bytes:
        """Sign a 32-byte digest: r, s, v with v 27 or 28 and low s; deterministic (RFC 6979).

        Raises:
            LocalProtocolError: The digest is not 32 bytes long.

        Rules: KEY-4.
        """
        if len(digest32) != 32:
            raise LocalProtocolError("a digest has 32 bytes")
        signature = self._key.sign_recoverable(digest32, hasher=None)
        if signature[64] > 1:  # r overflowed the order: 1 in 2^127, and v cannot say it
            raise LocalProtocolError("this digest cannot be signed with this key")
        return signature[:64] + bytes([27 + signature[64]])

    def __repr__(self) -> str:
        return f"Wallet({self.address})"


def recover_address(digest32: bytes, signature65: bytes) -> WalletAddress:
    """Return the account that signed a digest, as text.

    Raises:
        RemoteProtocolError: As `recover_account`.
        LocalProtocolError: The digest is not 32 bytes long.

    Rules: KEY-4.
    """
    return address_from_bytes(recover_account(digest32, signature65))


def recover_account(digest32: bytes, signature65: bytes) -> bytes:
    """Return the 20 bytes of the account that signed a digest.

    Raises:
        RemoteProtocolError: Code `bad_signature`: wrong length, v not 27 or 28, r or s out of range,
            high s, or no such point.
        LocalProtocolError: The digest is not 32 bytes long.

    Rules: KEY-4.
    """
    if len(digest32) != 32:
        raise LocalProtocolError("a digest has 32 bytes")
    if len(signature65) != SIGNATURE_BYTES or signature65[64] not in (27, 28):
        raise RemoteProtocolError("not r, s and v of 27 or 28", code="bad_signature", rule="KEY-4")
    if int.from_bytes(signature65[32:64], "big") > SECP256K1_ORDER // 2:
        raise RemoteProtocolError("s is high", code="bad_signature", rule="KEY-4")
    recoverable = signature65[:64] + bytes([signature65[64] - 27])
    try:
        key = PublicKey.from_signature_and_message(recoverable, digest32, hasher=None)
    except Exception as error:  # coincurve raises bare ones where nothing can be recovered
        raise RemoteProtocolError("no key made this signature", code="bad_signature", rule="KEY-4") from error
    return _account_of(key)


def checksum(text: str) -> WalletAddress:
    """Return an address with its EIP-55 capitals.

    Args:
        text: "0x" and 40 hexadecimal digits; all of one case, or with the right capitals.

    Raises:
        RemoteProtocolError: Code `malformed`.
    """
    if not _HEX_ADDRESS.fullmatch(text):
        raise RemoteProtocolError("not 0x and 40 hexadecimal digits", code="malformed", rule="CNV-11")
    address = address_from_bytes(bytes.fromhex(text[2:]))
    if text[2:] not in (text[2:].lower(), text[2:].upper()) and text != address:
        raise RemoteProtocolError("the address has a wrong checksum", code="malformed", rule="CNV-11")
    return address


def address_to_bytes(address: WalletAddress) -> bytes:
    """Return the 20 bytes of an address.

    Raises:
        RemoteProtocolError: Code `malformed`.

    Rules: CNV-11.
    """
    return bytes.fromhex(checksum(address)[2:])


@lru_cache(maxsize=8192)
def address_from_bytes(data: bytes) -> WalletAddress:
    """Return the EIP-55 text of 20 bytes.

    Raises:
        RemoteProtocolError: Code `malformed`: not 20 bytes.

    Rules: CNV-11.
    """
    if len(data) != ADDRESS_BYTES:
        raise RemoteProtocolError("an address has 20 bytes", code="malformed", rule="CNV-11")
    digits = data.hex()
    digest = keccak256(digits.encode()).hex()
    marked = (d.upper() if int(mark, 16) >= 8 else d for d, mark in zip(digits, digest, strict=False))
    return WalletAddress("0x" + "".join(marked))


def _account_of(key: PublicKey) -> bytes:
    return keccak256(key.format(compressed=False)[1:])[12:]
