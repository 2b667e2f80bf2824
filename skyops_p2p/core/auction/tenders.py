"""Check a tender, and prove that a requester signed two under one id. Spec: protocol/04-auction.md, "Tender"."""

from functools import lru_cache

from skyops_p2p import limits
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.envelope import Signed, open_envelope
from skyops_p2p.wire.messages.auction import Tender

WEIGHTS_TOTAL = 1_000_000


def check_tender(data: bytes, rules: NetworkRules, *, now: int | None) -> Signed[Tender]:
    """Check a tender against everything that needs no state.

    Args:
        data: The envelope.
        rules: Our network.
        now: Unix milliseconds; None for an audit, which may come years later.

    Raises:
        RemoteProtocolError: `oversized`, `wrong_signer`, `wrong_network`, `not_yet_valid`, `expired`,
            `lifetime_too_long`, `tender_invalid` (weights, prices or windows contradict), or what
            `open_envelope` raises.

    Rules: AUC-1 to AUC-4.
    """
    signed = _open(data, rules.network)  # AUC-1
    tender, peer = signed.message, signed.signer
    if peer_id_from_bytes(tender.requester) != peer:  # AUC-2
        raise RemoteProtocolError("tender of another peer", code="wrong_signer", rule="AUC-2", peer=peer)
    _check_dates(tender, now, peer)
    weights = tender.weights
    if weights.price + weights.reputation + weights.fit + weights.latency != WEIGHTS_TOTAL:  # AUC-4
        raise _invalid("the weights do not add up to a million", peer)
    if tender.price_floor >= tender.price_max:  # AUC-4
        raise _invalid("the price floor is not below the ceiling", peer)
    if tender.commit_ms + tender.reveal_ms > tender.expires_unix_ms - tender.issued_unix_ms:  # AUC-4
        raise _invalid("it expires before its windows close", peer)
    return signed


# Most tenders come twice, directly and by gossip, and gossip is judged before it is heard: what does not depend on the
# time is remembered.
@lru_cache(maxsize=limits.TENDERS_CACHED_MAX)
def _open(data: bytes, network: str) -> Signed[Tender]:
    return open_envelope(data, Tender, network, bytes_max=limits.TENDER_BYTES_MAX)


def _check_dates(tender: Tender, now: int | None, peer: str) -> None:
    lifetime_ms = tender.expires_unix_ms - tender.issued_unix_ms
    if lifetime_ms > limits.TENDER_LIFETIME_MS_MAX:  # AUC-3
        raise RemoteProtocolError(
            "the tender lives too long", code="lifetime_too_long", rule="AUC-3", peer=peer
        )
    if now is None:
        return
    if tender.issued_unix_ms > now + limits.CLOCK_SKEW_MS_MAX:  # AUC-3
        raise RemoteProtocolError("tender from the future", code="not_yet_valid", rule="AUC-3", peer=peer)
    if tender.expires_unix_ms <= now:  # AUC-3
        raise RemoteProtocolError("the tender has expired", code="expired", rule="AUC-3", peer=peer)


def _invalid(text: str, peer: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, code="tender_invalid", rule="AUC-4", peer=peer)


def is_conflict(first: Signed[Tender], second: Signed[Tender]) -> bool:
    """Tell whether two checked tenders prove that a requester equivocates. Rules: AUC-5."""
    ours, theirs = first.message, second.message
    is_same_seat = (first.signer, ours.job_id, ours.round) == (second.signer, theirs.job_id, theirs.round)
    return is_same_seat and ours != theirs
