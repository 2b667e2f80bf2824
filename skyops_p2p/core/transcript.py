"""The handshake's transcript, and the proofs over it. Spec: protocol/01-identity.md, "Transcript".

    t1 = SHA-256("skyops/handshake/1" | lp(network) | lp(initiator) | lp(responder) | lp(Hello))
    t2 = SHA-256(t1 | version | count | versions… | lp(nonce) | lp(ephemeral) | lp(binding))     responder signs
    t3 = SHA-256(t2 | lp(Accept))                                                                initiator signs

lp(x) is x behind its length in 4 bytes, big-endian; versions and the count take 2 bytes each. The peer ids are the
binary ones, Hello and Accept the bytes as received.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Self

from skyops_p2p.core.binding import VerifiedBinding
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import NodeKey, peer_id_to_bytes, public_key_of, verify
from skyops_p2p.crypto.typed_data import session_digest
from skyops_p2p.crypto.wallet import Wallet, recover_address
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.handshake import Accept, Confirm

LABEL = b"skyops/handshake/1"


class Role(Enum):
    """Which side of a handshake."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


@dataclass(frozen=True, slots=True)
class Transcript:
    """The running hash of all that both sides have said."""

    digest: bytes
    """32 bytes."""

    @classmethod
    def begin(cls, network: str, *, initiator: PeerId, responder: PeerId, hello: bytes) -> Self:
        """Return t1."""
        ids = _lp(peer_id_to_bytes(initiator)) + _lp(peer_id_to_bytes(responder))
        return cls(sha256(LABEL + _lp(network.encode()) + ids + _lp(hello)))

    def accepting(self, version: int, versions: tuple[int, ...], parts: tuple[bytes, ...]) -> Self:
        """Return t2, which the responder signs."""
        numbers = b"".join(number.to_bytes(2, "big") for number in (version, len(versions), *versions))
        return type(self)(sha256(self.digest + numbers + b"".join(_lp(part) for part in parts)))

    def accepted(self, accept: bytes) -> Self:
        """Return t3, which the initiator signs and which salts the session keys."""
        return type(self)(sha256(self.digest + _lp(accept)))


@dataclass(frozen=True, slots=True)
class Proof:
    """A side's two signatures over a transcript."""

    node: bytes
    """Ed25519, 64 bytes."""
    wallet: bytes
    """Recoverable secp256k1 over the EIP-712 digest, 65 bytes."""


def make_proof(
    transcript: Transcript, role: Role, node_key: NodeKey, wallet: Wallet, *, rules: NetworkRules
) -> Proof:
    """Sign a transcript with both keys, for one role."""
    digest = session_digest(
        transcript=transcript.digest, role=role.value, network=rules.network, chain_id=rules.chain_id
    )
    return Proof(node_key.sign(_node_text(transcript, role)), wallet.sign_digest(digest))


def check_proof(
    transcript: Transcript,
    role: Role,
    binding: VerifiedBinding,
    message: Accept | Confirm,
    *,
    rules: NetworkRules,
) -> None:
    """Check a side's signatures against its binding.

    Raises:
        RemoteProtocolError: `bad_signature`: the node key or the wallet did not sign this transcript.

    Rules: HSK-8.
    """
    verify(public_key_of(binding.peer), _node_text(transcript, role), message.node_signature)
    digest = session_digest(
        transcript=transcript.digest, role=role.value, network=rules.network, chain_id=rules.chain_id
    )
    if recover_address(digest, message.wallet_signature) != binding.wallet:
        raise RemoteProtocolError("the wallet did not sign", code="bad_signature", rule="HSK-8")


def responder_part(fields: dict[str, object]) -> tuple[bytes, ...]:
    """Return the byte fields of an Accept that its signatures cover, in the order of the specification."""
    parts = (fields["nonce"], fields["ephemeral"], fields["binding"])
    return tuple(part for part in parts if isinstance(part, bytes))


def _node_text(transcript: Transcript, role: Role) -> bytes:
    return LABEL + b"/" + role.value.encode() + transcript.digest


def _lp(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
