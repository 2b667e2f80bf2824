"""Identity messages: the binding of a node key to a wallet. Spec: protocol/01-identity.md."""

from typing import Annotated, ClassVar

from pydantic import Field

from skyops_p2p.limits import NETWORK_NAME_CHARS_MAX
from skyops_p2p.wire.model import Bytes20, Bytes32, Instant, Message, N, PeerBytes, Signature65

NetworkText = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=NETWORK_NAME_CHARS_MAX)]


class Binding(Message):
    """A wallet vouches for a node key; enveloped by that node key, which thereby vouches for the wallet."""

    number: ClassVar[int] = 1
    name: ClassVar[str] = "binding"

    peer: Annotated[PeerBytes, N(1)]
    """The node's peer id; must be the envelope's signer."""
    wallet: Annotated[Bytes20, N(2)]
    """The payout account."""
    x25519: Annotated[Bytes32, N(3)]
    """The node's static encryption key (RFC 7748)."""
    network: Annotated[NetworkText, N(4)]
    chain_id: Annotated[int, Field(ge=1, le=2**53 - 1), N(5)]
    """EIP-155 chain of the network's money."""
    issued_unix_ms: Annotated[Instant, N(6)]
    expires_unix_ms: Annotated[Instant, N(7)]
    """At most BINDING_LIFETIME_MS_MAX after the issue."""
    wallet_signature: Annotated[Signature65, N(8)]
    """The wallet's EIP-712 signature over all the fields above."""
