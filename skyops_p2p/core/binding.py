"""Make and check the binding of a node key to a wallet. Spec: protocol/01-identity.md, "Binding"."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from skyops_p2p import limits
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import NodeKey, peer_id_from_bytes, peer_id_to_bytes
from skyops_p2p.crypto.typed_data import binding_digest
from skyops_p2p.crypto.wallet import Wallet, address_from_bytes, address_to_bytes, recover_account
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import PeerId, UnixMs, WalletAddress
from skyops_p2p.wire.envelope import Signed, open_envelope, seal
from skyops_p2p.wire.messages.identity import Binding

BindingSource = Callable[[UnixMs], bytes]
"""Returns our enveloped binding that is good at the given time."""


@dataclass(frozen=True, slots=True)
class VerifiedBinding:
    """A binding whose two signatures, network and dates have been checked."""

    peer: PeerId
    wallet_bytes: bytes
    """The account, 20 bytes."""
    x25519: bytes
    """32 bytes (RFC 7748)."""
    expires_unix_ms: UnixMs

    @property
    def wallet(self) -> WalletAddress:
        """The account as text. Written when it is asked for: it costs a hash."""
        return address_from_bytes(self.wallet_bytes)


def make_binding(
    node_key: NodeKey, wallet: Wallet, rules: NetworkRules, *, issued: UnixMs, lifetime_ms: int
) -> bytes:
    """Sign a binding with both keys.

    Args:
        node_key: Signs the envelope.
        wallet: Signs the EIP-712 digest inside.
        rules: Network and chain that the binding is good for.
        issued: Now.
        lifetime_ms: How long it is good, 1 to BINDING_LIFETIME_MS_MAX milliseconds.

    Returns:
        The signed envelope.

    Rules: IDN-1, IDN-2.
    """
    assert 0 < lifetime_ms <= limits.BINDING_LIFETIME_MS_MAX
    expires = UnixMs(issued + lifetime_ms)
    peer = peer_id_to_bytes(node_key.peer_id)
    digest = binding_digest(
        wallet=wallet.address,
        peer_id=peer,
        x25519=node_key.x25519_public,
        network=rules.network,
        chain_id=rules.chain_id,
        issued_unix_ms=issued,
        expires_unix_ms=expires,
    )
    message = Binding(
        peer=peer,
        wallet=address_to_bytes(wallet.address),
        x25519=node_key.x25519_public,
        network=rules.network,
        chain_id=rules.chain_id,
        issued_unix_ms=issued,
        expires_unix_ms=expires,
        wallet_signature=wallet.sign_digest(digest),
    )
    return seal(message, node_key, rules.network)


class OwnBinding:
    """Our own binding, renewed when half of its life is over; callable as a BindingSource.

    Args:
        node_key: Signs the envelope.
        wallet: Signs the EIP-712 digest inside.
        rules: Network and chain.
        lifetime_ms: Life of each binding, 1 to BINDING_LIFETIME_MS_MAX milliseconds.
    """

    def __init__(
        self, node_key: NodeKey, wallet: Wallet, rules: NetworkRules, *, lifetime_ms: int = 30 * 86_400_000
    ) -> None:
        self._node_key = node_key
        self._wallet = wallet
        self._rules = rules
        self._lifetime_ms = lifetime_ms
        self._issued = UnixMs(0)
        self._data = b""

    def __call__(self, now: UnixMs) -> bytes:
        """Return the enveloped binding that is good at `now`."""
        age_ms = now - self._issued
        if not self._data or not 0 <= age_ms < self._lifetime_ms // 2:
            self._issued = now
            self._data = make_binding(
                self._node_key, self._wallet, self._rules, issued=now, lifetime_ms=self._lifetime_ms
            )
        return self._data


def check_binding(data: bytes, rules: NetworkRules, *, now: UnixMs, peer: PeerId) -> VerifiedBinding:
    """Check a binding that `peer` presents.

    Raises:
        RemoteProtocolError: `wrong_signer` (not the peer's), `wrong_network` (another network or chain),
            `expired`, `not_yet_valid`, `lifetime_too_long`, `bad_signature` (either key), or what
            `open_envelope` raises.

    Rules: IDN-3 to IDN-8.
    """
    binding = _open(data, rules.network)
    message = binding.message
    if binding.signer != peer or peer_id_from_bytes(message.peer) != peer:  # IDN-3
        raise RemoteProtocolError("binding of another peer", code="wrong_signer", rule="IDN-3", peer=peer)
    if message.network != rules.network or message.chain_id != rules.chain_id:  # IDN-4
        raise RemoteProtocolError(
            "binding for another network", code="wrong_network", rule="IDN-4", peer=peer
        )
    if message.issued_unix_ms > now + limits.CLOCK_SKEW_MS_MAX:  # IDN-5
        raise RemoteProtocolError("binding from the future", code="not_yet_valid", rule="IDN-5", peer=peer)
    if message.expires_unix_ms <= now:  # IDN-5
        raise RemoteProtocolError("binding has expired", code="expired", rule="IDN-5", peer=peer)
    if message.expires_unix_ms - message.issued_unix_ms > limits.BINDING_LIFETIME_MS_MAX:  # IDN-6
        raise RemoteProtocolError("binding lives too long", code="lifetime_too_long", rule="IDN-6", peer=peer)
    if _wallet_that_signed(data, rules.network) != message.wallet:  # IDN-7
        raise RemoteProtocolError("wallet did not sign", code="bad_signature", rule="IDN-7", peer=peer)
    return VerifiedBinding(peer, message.wallet, message.x25519, UnixMs(message.expires_unix_ms))


# Each record and each handshake of a node carries the same binding for weeks, and its two signatures are most of the
# cost of checking a record: what does not depend on the time is remembered.
@lru_cache(maxsize=limits.BINDINGS_CACHED_MAX)
def _open(data: bytes, network: str) -> Signed[Binding]:
    return open_envelope(data, Binding, network)


@lru_cache(maxsize=limits.BINDINGS_CACHED_MAX)
def _wallet_that_signed(data: bytes, network: str) -> bytes:
    """Return the 20 bytes of the account."""
    message = _open(data, network).message
    digest = binding_digest(
        wallet=message.wallet,
        peer_id=message.peer,
        x25519=message.x25519,
        network=message.network,
        chain_id=message.chain_id,
        issued_unix_ms=message.issued_unix_ms,
        expires_unix_ms=message.expires_unix_ms,
    )
    return recover_account(digest, message.wallet_signature)
