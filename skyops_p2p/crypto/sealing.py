"""Anonymous sealing of a small secret to a node's static X25519 key.

The sealed form is the ephemeral public key (32 bytes) and the ciphertext with its tag. The key comes from
both public keys, so it is new for each ephemeral key and the nonce may be zero. Spec:
protocol/01-identity.md, "Sealing".
"""

from nacl import bindings
from nacl.exceptions import CryptoError

from skyops_p2p.crypto.hashing import hkdf_sha256
from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.crypto.session_keys import Ephemeral
from skyops_p2p.errors import RemoteProtocolError

SEALED_INFO = b"skyops/sealed/1"
SEALED_OVERHEAD_BYTES = 48
_NONCE = bytes(24)


def seal_to(x25519_public: bytes, plaintext: bytes, *, ephemeral_secret: bytes) -> bytes:
    """Seal bytes so that only the holder of `x25519_public` can open them.

    Args:
        x25519_public: The recipient's static key, 32 bytes, from its binding.
        plaintext: What to seal.
        ephemeral_secret: 32 fresh random bytes, never used twice.

    Raises:
        RemoteProtocolError: Code `bad_key`: the recipient's key is of small order.
        LocalProtocolError: The secret is not 32 bytes long.

    Rules: KEY-5.
    """
    ephemeral = Ephemeral.from_secret(ephemeral_secret)
    key = _key(ephemeral.agree(x25519_public), ephemeral.public, x25519_public)
    return ephemeral.public + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, b"", _NONCE, key)


def open_sealed(node_key: NodeKey, sealed: bytes) -> bytes:
    """Open what was sealed to our static key.

    Raises:
        RemoteProtocolError: Code `malformed` if too short, `bad_key`, or `bad_ciphertext`.

    Rules: KEY-5.
    """
    if len(sealed) < SEALED_OVERHEAD_BYTES:
        raise RemoteProtocolError("too short to be sealed", code="malformed", rule="KEY-5")
    ephemeral_public = sealed[:32]
    key = _key(node_key.x25519_agree(ephemeral_public), ephemeral_public, node_key.x25519_public)
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed[32:], b"", _NONCE, key)
    except CryptoError as error:
        raise RemoteProtocolError("does not open", code="bad_ciphertext", rule="KEY-5") from error


def _key(shared: bytes, ephemeral_public: bytes, recipient_public: bytes) -> bytes:
    return hkdf_sha256(shared, salt=ephemeral_public + recipient_public, info=SEALED_INFO, size=32)
