"""EIP-712 digests of the few statements that wallets sign, written out by hand for these fixed types.

The domain is name "Skyops", version "1" and the chain id. Spec: protocol/01-identity.md, "Typed data".
Source: EIP-712.
"""

from functools import lru_cache
from typing import Literal

from skyops_p2p.crypto.hashing import keccak256
from skyops_p2p.crypto.wallet import ADDRESS_BYTES, address_to_bytes
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.types import WalletAddress

DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId)"
BINDING_TYPE = (
    "Binding(address wallet,bytes peerId,bytes32 x25519,string network,"
    "uint64 issuedUnixMs,uint64 expiresUnixMs)"
)
SESSION_TYPE = "Session(bytes32 transcript,string role,string network)"
DOMAIN_NAME = "Skyops"
DOMAIN_VERSION = "1"

Role = Literal["initiator", "responder"]

_BINDING_HASH = keccak256(BINDING_TYPE.encode())
_SESSION_HASH = keccak256(SESSION_TYPE.encode())


def binding_digest(
    *,
    wallet: WalletAddress | bytes,
    peer_id: bytes,
    x25519: bytes,
    network: str,
    chain_id: int,
    issued_unix_ms: int,
    expires_unix_ms: int,
) -> bytes:
    """Return the 32 bytes that a wallet signs to vouch for a node key.

    Args:
        wallet: The account that signs, as text or as its 20 bytes.
        peer_id: Binary peer id of the node.
        x25519: The node's static encryption key, 32 bytes.
        network: Network name.
        chain_id: EIP-155 chain.
        issued_unix_ms: Unix ms.
        expires_unix_ms: Unix ms.

    Raises:
        LocalProtocolError: A number or the key is out of its type's range.
        RemoteProtocolError: Code `malformed`: `wallet` is no address, or not 20 bytes.

    Rules: IDN-7.
    """
    return _digest(
        chain_id,
        _BINDING_HASH,
        _address_word(wallet),
        keccak256(peer_id),
        _bytes32(x25519),
        _text_hash(network),
        _unsigned(issued_unix_ms, 64),
        _unsigned(expires_unix_ms, 64),
    )


def session_digest(*, transcript: bytes, role: Role, network: str, chain_id: int) -> bytes:
    """Return the 32 bytes that a wallet signs in a handshake.

    Args:
        transcript: SHA-256 of the transcript, 32 bytes.
        role: Which side signs.
        network: Network name.
        chain_id: EIP-155 chain.

    Raises:
        LocalProtocolError: A number or the transcript is out of its type's range.

    Rules: HSK-8.
    """
    return _digest(chain_id, _SESSION_HASH, _bytes32(transcript), _text_hash(role), _text_hash(network))


def _digest(chain_id: int, *words: bytes) -> bytes:
    return keccak256(b"\x19\x01" + _domain_separator(chain_id) + keccak256(b"".join(words)))


@lru_cache(maxsize=16)
def _domain_separator(chain_id: int) -> bytes:
    return keccak256(
        keccak256(DOMAIN_TYPE.encode())
        + keccak256(DOMAIN_NAME.encode())
        + keccak256(DOMAIN_VERSION.encode())
        + _unsigned(chain_id, 256)
    )


@lru_cache(maxsize=64)
def _text_hash(text: str) -> bytes:
    """Hash a role or a network's name: few, and needed for every binding."""
    return keccak256(text.encode())


def _address_word(wallet: WalletAddress | bytes) -> bytes:
    account = wallet if isinstance(wallet, bytes) else address_to_bytes(wallet)
    if len(account) != ADDRESS_BYTES:
        raise RemoteProtocolError("an address has 20 bytes", code="malformed", rule="CNV-11")
    return account.rjust(32, b"\0")


def _unsigned(value: int, bits: int) -> bytes:
    if not 0 <= value < 1 << bits:
        raise LocalProtocolError(f"{value} is no uint{bits}")
    return value.to_bytes(32, "big")


def _bytes32(value: bytes) -> bytes:
    if len(value) != 32:
        raise LocalProtocolError("a bytes32 has 32 bytes")
    return value
