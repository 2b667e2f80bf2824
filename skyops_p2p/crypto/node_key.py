"""The node key: Ed25519, the same key as the libp2p peer id; and peer ids in their two forms.

Spec: protocol/01-identity.md, "Node key". Sources: RFC 8032 (Ed25519), RFC 7748 (X25519), libp2p peer-ids.
"""

from functools import lru_cache

import base58
from nacl import bindings
from nacl.exceptions import BadSignatureError, CryptoError

from skyops_p2p.crypto.hashing import hkdf_sha256
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.types import PeerId

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
PEER_ID_CHARS_MAX = 64
"""A 38-byte Ed25519 peer id is 52 characters, a 34-byte RSA one 46."""
X25519_INFO = b"skyops/x25519/1"

_IDENTITY_PREFIX = bytes.fromhex("002408011220")
"""Multihash `identity`, 36 bytes; then the libp2p PublicKey protobuf: type Ed25519, 32 bytes of data."""
_SHA256_PREFIX = bytes.fromhex("1220")
"""Multihash `sha2-256`, 32 bytes: the id of a key that is too long to be its own id (RSA)."""
_PEER_CACHE = 8192


class NodeKey:
    """A node's signing key and the static encryption key that follows from it.

    Rules: KEY-1, KEY-2.
    """

    __slots__ = ("_seed", "_signing", "_x25519_secret", "peer_id", "public_key", "x25519_public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise LocalProtocolError("an Ed25519 seed has 32 bytes")
        self._seed = seed
        self.public_key, self._signing = bindings.crypto_sign_seed_keypair(seed)
        """32 bytes, RFC 8032."""
        self.peer_id = peer_id_from_public_key(self.public_key)
        self._x25519_secret = hkdf_sha256(seed, salt=b"", info=X25519_INFO, size=32)  # KEY-2
        self.x25519_public = bindings.crypto_scalarmult_base(self._x25519_secret)
        """32 bytes, RFC 7748; not converted from the signing key, so the two share no secret."""

    @classmethod
    def from_seed(cls, seed32: bytes) -> "NodeKey":
        """Make the key of a 32-byte seed (RFC 8032's private key).

        Raises:
            LocalProtocolError: The seed is not 32 bytes long.
        """
        return cls(seed32)

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for the key file only."""
        return self._seed

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of `data`."""
        return bindings.crypto_sign(data, self._signing)[:SIGNATURE_BYTES]

    def x25519_agree(self, their_public: bytes) -> bytes:
        """Return the 32-byte shared secret of our static key and their key.

        Raises:
            RemoteProtocolError: Code `bad_key`: wrong length, or a point of small order.

        Rules: KEY-3.
        """
        return x25519(self._x25519_secret, their_public)

    def __repr__(self) -> str:
        return f"NodeKey({self.peer_id})"


def verify(public_key: bytes, data: bytes, signature: bytes) -> None:
    """Check an Ed25519 signature.

    Raises:
        RemoteProtocolError: Code `bad_signature`.

    Rules: KEY-1.
    """
    try:
        bindings.crypto_sign_open(signature + data, public_key)
    except (BadSignatureError, CryptoError, ValueError, TypeError) as error:
        raise RemoteProtocolError("the signature does not fit", code="bad_signature", rule="KEY-1") from error
    if len(signature) != SIGNATURE_BYTES:
        raise RemoteProtocolError("the signature is not 64 bytes", code="bad_signature", rule="KEY-1")


def x25519(secret: bytes, their_public: bytes) -> bytes:
    """Agree on a 32-byte secret.

    Raises:
        RemoteProtocolError: Code `bad_key`: wrong length, or a point of small order (an all-zero result).

    Rules: KEY-3.
    """
    if len(their_public) != PUBLIC_KEY_BYTES:
        raise RemoteProtocolError("an X25519 key has 32 bytes", code="bad_key", rule="KEY-3")
    try:
        shared = bindings.crypto_scalarmult(secret, their_public)
    except CryptoError as error:
        # libsodium itself refuses an all-zero result; the test below does not rest on that.
        raise RemoteProtocolError("X25519 key of small order", code="bad_key", rule="KEY-3") from error
    if not any(shared):
        raise RemoteProtocolError("X25519 key of small order", code="bad_key", rule="KEY-3")
    return shared


def peer_id_from_public_key(public_key: bytes) -> PeerId:
    """Return the peer id of an Ed25519 public key: its identity multihash.

    Raises:
        RemoteProtocolError: Code `malformed`: not 32 bytes.
    """
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise RemoteProtocolError("an Ed25519 key has 32 bytes", code="malformed", rule="KEY-1")
    return peer_id_from_bytes(_IDENTITY_PREFIX + public_key)


def peer_bytes_of_key(public_key: bytes) -> bytes:
    """Return the binary peer id, 38 bytes, of a checked Ed25519 public key."""
    return _IDENTITY_PREFIX + public_key


def public_key_of(peer_id: PeerId) -> bytes:
    """Return the 32-byte Ed25519 key inside a peer id.

    Raises:
        RemoteProtocolError: Code `malformed` for no peer id at all, `bad_key` for one of another key type.

    Rules: KEY-1.
    """
    data = peer_id_to_bytes(peer_id)
    if not data.startswith(_IDENTITY_PREFIX):
        raise RemoteProtocolError("not the peer id of an Ed25519 key", code="bad_key", rule="KEY-1")
    return data[len(_IDENTITY_PREFIX) :]


@lru_cache(maxsize=_PEER_CACHE)
def peer_id_to_bytes(peer_id: PeerId) -> bytes:
    """Return the multihash of a peer id: 38 bytes for Ed25519, 34 for a hashed key.

    Raises:
        RemoteProtocolError: Code `malformed`.

    Rules: CNV-10.
    """
    if len(peer_id) > PEER_ID_CHARS_MAX:
        raise RemoteProtocolError("too long for a peer id", code="malformed", rule="CNV-10")
    try:
        data: bytes = base58.b58decode(peer_id.encode("ascii"))
    except ValueError as error:
        raise RemoteProtocolError("a peer id is base58 text", code="malformed", rule="CNV-10") from error
    if peer_id_from_bytes(data) != peer_id:
        raise RemoteProtocolError("not the peer id's own spelling", code="malformed", rule="CNV-10")
    return data


@lru_cache(maxsize=_PEER_CACHE)
def peer_id_from_bytes(data: bytes) -> PeerId:
    """Return the text of a binary peer id.

    Raises:
        RemoteProtocolError: Code `malformed`: neither the identity multihash of an Ed25519 key nor a SHA-256
            multihash.

    Rules: CNV-10.
    """
    is_ed25519 = len(data) == 38 and data.startswith(_IDENTITY_PREFIX)
    is_hashed = len(data) == 34 and data.startswith(_SHA256_PREFIX)
    if not (is_ed25519 or is_hashed):
        raise RemoteProtocolError("not a peer id", code="malformed", rule="CNV-10")
    return PeerId(base58.b58encode(data).decode("ascii"))
