"""Check node records, heartbeats and equivocation proofs. Pure functions, used alike for gossip, DHT and sync.

Spec: protocol/03-peering.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from skyops_p2p import limits
from skyops_p2p.core.binding import VerifiedBinding, check_binding
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import PeerId, UnixMs
from skyops_p2p.wire.envelope import Signed, open_envelope
from skyops_p2p.wire.messages.peering import EquivocationProof, NodeRecord, Presence


@dataclass(frozen=True, slots=True)
class VerifiedRecord:
    """A node record whose signatures, network, dates and binding have been checked."""

    signed: Signed[NodeRecord]
    binding: VerifiedBinding

    @property
    def record(self) -> NodeRecord:
        """The record itself."""
        return self.signed.message

    @property
    def peer(self) -> PeerId:
        """Whose record it is."""
        return self.signed.signer

    @property
    def expires_unix_ms(self) -> UnixMs:
        """When the record or its binding runs out, whichever is first. Rules: PER-30."""
        return UnixMs(min(self.record.expires_unix_ms, self.binding.expires_unix_ms))


def check_record(data: bytes, rules: NetworkRules, *, now: UnixMs) -> VerifiedRecord:
    """Check a node record against everything that needs no state.

    Raises:
        RemoteProtocolError: `oversized`, `wrong_signer` (for somebody else's peer id), `wrong_network`,
            `expired`, `not_yet_valid`, `lifetime_too_long`, `declared_hardware` (outside test networks), or what
            `open_envelope` and `check_binding` raise.

    Rules: PER-1, PER-2, PER-3, PER-5.
    """
    signed = _open(data, rules.network)  # PER-1
    record, peer = signed.message, signed.signer
    if peer_id_from_bytes(record.peer) != peer:  # PER-2
        raise RemoteProtocolError("record for another peer id", code="wrong_signer", rule="PER-2", peer=peer)
    if record.network != rules.network:
        raise RemoteProtocolError("record of another network", code="wrong_network", rule="PER-2", peer=peer)
    if record.issued_unix_ms > now + limits.CLOCK_SKEW_MS_MAX:  # PER-3
        raise RemoteProtocolError("record from the future", code="not_yet_valid", rule="PER-3", peer=peer)
    if record.expires_unix_ms <= now:  # PER-3
        raise RemoteProtocolError("record has expired", code="expired", rule="PER-3", peer=peer)
    if record.expires_unix_ms - record.issued_unix_ms > limits.RECORD_LIFETIME_MS_MAX:  # PER-3
        raise RemoteProtocolError("record lives too long", code="lifetime_too_long", rule="PER-3", peer=peer)
    if record.hardware.source == "declared" and not rules.is_testnet:  # PER-5
        raise RemoteProtocolError("declared hardware", code="declared_hardware", rule="PER-5", peer=peer)
    return VerifiedRecord(signed, check_binding(record.binding, rules, now=now, peer=peer))


def check_presence(data: bytes, rules: NetworkRules, *, now: UnixMs) -> Signed[Presence]:
    """Check a heartbeat against everything that needs no state.

    Raises:
        RemoteProtocolError: `oversized`, `lifetime_too_long` (an interval that no honest node needs),
            `not_yet_valid`, `expired` (issued longer ago than its own interval and the admitted clock skew), or what
            `open_envelope` raises.

    Rules: PER-7, PER-8.
    """
    signed = open_envelope(data, Presence, rules.network, bytes_max=limits.PRESENCE_BYTES_MAX)  # PER-7
    beat = signed.message
    if beat.interval_ms > limits.PRESENCE_INTERVAL_S_MAX * 1000:  # PER-8
        raise RemoteProtocolError(
            "beats too rarely", code="lifetime_too_long", rule="PER-8", peer=signed.signer
        )
    if beat.issued_unix_ms > now + limits.CLOCK_SKEW_MS_MAX:  # PER-8
        raise RemoteProtocolError(
            "beat from the future", code="not_yet_valid", rule="PER-8", peer=signed.signer
        )
    if beat.issued_unix_ms + beat.interval_ms + limits.CLOCK_SKEW_MS_MAX < now:  # PER-8
        raise RemoteProtocolError("beat is too old", code="expired", rule="PER-8", peer=signed.signer)
    return signed


def check_equivocation(proof: EquivocationProof, rules: NetworkRules) -> PeerId:
    """Check a proof that a node signed two different records under one sequence number.

    Returns:
        The proven equivocator.

    Raises:
        RemoteProtocolError: `proof_fails`, or what `open_envelope` raises.

    Rules: PER-12.
    """
    first, second = (_open(data, rules.network) for data in (proof.first, proof.second))
    is_same_seat = first.signer == second.signer and first.message.sequence == second.message.sequence
    if not is_same_seat or first.message == second.message:
        raise RemoteProtocolError("the two records do not contradict", code="proof_fails", rule="PER-12")
    return first.signer


def owner_of(data: bytes, rules: NetworkRules) -> bytes:
    """Return the binary peer id of an enveloped record: where a synchronisation goes on.

    Raises:
        RemoteProtocolError: What `open_envelope` raises.
    """
    return _open(data, rules.network).message.peer


# A node meets the same record again in the DHT, in synchronisations and in each bid book that its owner is in: what
# does not depend on the time is remembered.
@lru_cache(maxsize=limits.RECORDS_CACHED_MAX)
def _open(data: bytes, network: str) -> Signed[NodeRecord]:
    return open_envelope(data, NodeRecord, network, bytes_max=limits.NODE_RECORD_BYTES_MAX)


class NodeRecordRules:
    """The DHT's rules for "/skyops/n/…" keys (ports.DhtRules).

    Args:
        rules: The network.
        now: Returns Unix milliseconds; called once a validation.
    """

    def __init__(self, rules: NetworkRules, now: Callable[[], UnixMs]) -> None:
        self._rules = rules
        self._now = now

    def validate(self, key: str, value: bytes) -> None:
        """Refuse a value that may not stand under the key.

        Raises:
            RemoteProtocolError: `wrong_key`, or what `check_record` raises.

        Rules: PER-4.
        """
        verified = check_record(value, self._rules, now=self._now())
        if self._rules.record_key(verified.peer) != key:  # PER-4
            raise RemoteProtocolError("record under another's key", code="wrong_key", rule="PER-4")

    def select(self, key: str, values: Sequence[bytes]) -> int:
        """Return the index of the record with the highest sequence number; the first of equals. Rules: PER-6."""
        sequences = [self._sequence(key, value) for value in values]
        return sequences.index(max(sequences))

    def _sequence(self, key: str, value: bytes) -> int:
        try:
            signed = _open(value, self._rules.network)
        except RemoteProtocolError:
            return -1
        return signed.message.sequence if self._rules.record_key(signed.signer) == key else -1
