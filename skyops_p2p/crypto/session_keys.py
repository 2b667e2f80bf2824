"""Session keys: an ephemeral X25519 exchange, and two directional XChaCha20-Poly1305 streams.

Nonces are implicit counters, so a replayed, reordered, dropped or truncated message does not open. Spec:
protocol/01-identity.md, "Session keys". Sources: RFC 7748, RFC 5869, RFC 8439, draft-irtf-cfrg-xchacha-03.
"""

from dataclasses import dataclass

from nacl import bindings
from nacl.exceptions import CryptoError

from skyops_p2p.crypto.hashing import hkdf_sha256
from skyops_p2p.crypto.node_key import x25519
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.limits import SESSION_REKEY_MESSAGES
from skyops_p2p.types import SessionId

KEY_BYTES = 32
TAG_BYTES = 16
SESSION_INFO = b"skyops/session/1"
REKEY_INFO = b"skyops/rekey/1"


class Ephemeral:
    """An X25519 key pair for one handshake only."""

    __slots__ = ("_secret", "public")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise LocalProtocolError("an X25519 secret has 32 bytes")
        self._secret = secret
        self.public = bindings.crypto_scalarmult_base(secret)
        """32 bytes."""

    @classmethod
    def from_secret(cls, secret32: bytes) -> "Ephemeral":
        """Make the pair of 32 fresh random bytes.

        Raises:
            LocalProtocolError: Not 32 bytes.
        """
        return cls(secret32)

    def agree(self, their_public: bytes) -> bytes:
        """Return the 32-byte shared secret.

        Raises:
            RemoteProtocolError: Code `bad_key`: wrong length, or a point of small order.

        Rules: KEY-3.
        """
        return x25519(self._secret, their_public)

    def __repr__(self) -> str:
        return f"Ephemeral({self.public.hex()})"


class CipherState:
    """One direction of a session: a key, a message counter and an epoch.

    Rules: SES-1, SES-2, SES-3.
    """

    __slots__ = ("_key", "epoch", "messages")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise LocalProtocolError("a session key has 32 bytes")
        self._key = key
        self.messages = 0
        """Messages sealed or opened under the present key."""
        self.epoch = 0
        """How often the key was renewed."""

    def seal(self, plaintext: bytes, aad: bytes = b"") -> bytes:
        """Encrypt the next message; the result is TAG_BYTES longer.

        Raises:
            LocalProtocolError: SESSION_REKEY_MESSAGES were sealed under this key: rekey first.
        """
        if self.messages >= SESSION_REKEY_MESSAGES:  # SES-3
            raise LocalProtocolError("too many messages under one key: rekey first")
        sealed = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, aad, self._nonce(), self._key)
        self.messages += 1
        return sealed

    def open(self, ciphertext: bytes, aad: bytes = b"") -> bytes:
        """Decrypt the next message. A failure leaves the state as it was.

        Raises:
            RemoteProtocolError: Code `bad_ciphertext`: changed, replayed, out of order, under another key; or
                the peer did not rekey in time.
        """
        if self.messages >= SESSION_REKEY_MESSAGES:  # SES-3
            raise RemoteProtocolError("the peer did not rekey", code="bad_ciphertext", rule="SES-3")
        try:
            plaintext = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
                ciphertext, aad, self._nonce(), self._key
            )
        except (CryptoError, ValueError, TypeError) as error:  # SES-2
            raise RemoteProtocolError("does not open", code="bad_ciphertext", rule="SES-2") from error
        self.messages += 1
        return plaintext

    def rekey(self) -> None:
        """Replace the key by one that does not lead back to it, and count from zero.

        Both ends do so at the same message; the session protocol says which.
        """
        self._key = hkdf_sha256(self._key, salt=b"", info=REKEY_INFO, size=KEY_BYTES)
        self.messages = 0
        self.epoch += 1

    def _nonce(self) -> bytes:
        return bytes(16) + self.messages.to_bytes(8, "big")  # SES-1

    def __repr__(self) -> str:
        return f"CipherState(epoch={self.epoch}, messages={self.messages})"


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What both ends derive from one handshake."""

    session_id: SessionId
    """16 bytes, the same on both ends."""
    send: CipherState
    receive: CipherState


def derive_session(*, shared: bytes, transcript: bytes, is_initiator: bool) -> SessionKeys:
    """Derive the session of a finished exchange.

    Args:
        shared: The ephemeral X25519 secret, 32 bytes.
        transcript: SHA-256 of the transcript, 32 bytes; salts the derivation, so the keys are bound to it.
        is_initiator: Which of the two directions is ours to send on.

    Raises:
        LocalProtocolError: A length is wrong.

    Rules: HSK-9.
    """
    if len(shared) != KEY_BYTES or len(transcript) != KEY_BYTES:
        raise LocalProtocolError("the shared secret and the transcript have 32 bytes each")
    output = hkdf_sha256(shared, salt=transcript, info=SESSION_INFO, size=16 + 2 * KEY_BYTES)
    from_initiator, from_responder = CipherState(output[16:48]), CipherState(output[48:80])
    send, receive = (from_initiator, from_responder) if is_initiator else (from_responder, from_initiator)
    return SessionKeys(session_id=SessionId(output[:16]), send=send, receive=receive)
