"""How the two ends of a data channel prove to each other that they know its key.

The key comes in a ChannelOffer, over a connection that libp2p has authenticated and encrypted; the channel itself is
plain TCP. Who connects sends the offer's token and a nonce, who listens answers with its own nonce and a proof, and the
proof of the first follows. What then travels is ciphertext that is checked by its CID, so it is not encrypted again:
an eavesdropper learns which blocks are fetched, and one who can change bytes can break the transfer, which then goes on
over libp2p. Pure. Spec: protocol/05b-content.md, "Data channel".
"""

import hmac
from dataclasses import dataclass, field

from skyops_p2p.errors import RemoteProtocolError

MAGIC = b"skyops/data/1\n"
TOKEN_BYTES = 16
NONCE_BYTES = 32
PROOF_BYTES = 32
KEY_BYTES = 32
HELLO_BYTES = len(MAGIC) + TOKEN_BYTES + NONCE_BYTES
REPLY_BYTES = NONCE_BYTES + PROOF_BYTES

_FROM_LISTENER = b"skyops/data/listener\n"
_FROM_CALLER = b"skyops/data/caller\n"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What an offer gives to the one that it is made to."""

    port: int
    token: bytes
    """16 bytes."""
    key: bytes = field(repr=False)
    """32 random bytes."""


def hello(token: bytes, caller_nonce: bytes) -> bytes:
    """Return the first bytes of the one that connects."""
    return MAGIC + token + caller_nonce


def read_hello(data: bytes) -> tuple[bytes, bytes]:
    """Return (token, nonce) of a hello.

    Raises:
        RemoteProtocolError: Code `malformed`.

    Rules: CON-16.
    """
    if len(data) != HELLO_BYTES or not data.startswith(MAGIC):
        raise RemoteProtocolError("not the beginning of a data channel", code="malformed", rule="CON-16")
    rest = data[len(MAGIC) :]
    return rest[:TOKEN_BYTES], rest[TOKEN_BYTES:]


def listener_reply(ticket: Ticket, caller_nonce: bytes, listener_nonce: bytes) -> bytes:
    """Return the listener's nonce and proof. Rules: CON-17."""
    return listener_nonce + _proof(ticket, _FROM_LISTENER, caller_nonce, listener_nonce)


def check_reply(ticket: Ticket, caller_nonce: bytes, reply: bytes) -> bytes:
    """Check the listener's proof; return the proof of the caller.

    Raises:
        RemoteProtocolError: Code `bad_proof`.

    Rules: CON-17.
    """
    listener_nonce, proof = reply[:NONCE_BYTES], reply[NONCE_BYTES:]
    _check(proof, _proof(ticket, _FROM_LISTENER, caller_nonce, listener_nonce))
    return _proof(ticket, _FROM_CALLER, caller_nonce, listener_nonce)


def check_caller(ticket: Ticket, caller_nonce: bytes, listener_nonce: bytes, proof: bytes) -> None:
    """Check the caller's proof.

    Raises:
        RemoteProtocolError: Code `bad_proof`.

    Rules: CON-17.
    """
    _check(proof, _proof(ticket, _FROM_CALLER, caller_nonce, listener_nonce))


def _proof(ticket: Ticket, side: bytes, caller_nonce: bytes, listener_nonce: bytes) -> bytes:
    return hmac.digest(ticket.key, side + ticket.token + caller_nonce + listener_nonce, "sha256")


def _check(proof: bytes, expected: bytes) -> None:
    if not hmac.compare_digest(proof, expected):  # CON-17
        raise RemoteProtocolError("the other end does not know the key", code="bad_proof", rule="CON-17")
