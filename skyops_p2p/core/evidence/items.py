"""What is exchanged: receipts whose halves are right, by names that say which halves there are, and proofs. Pure.

Spec: protocol/07b-receipts.md, "Names".
"""

from dataclasses import dataclass, field

from skyops_p2p import limits
from skyops_p2p.core.settlement.receipts import (
    NO_LINK,
    RECEIPT_CHAIN,
    ChainPlace,
    DisputesDomain,
    DoubleHistory,
    check_history,
    link_of,
    open_signed,
    with_half,
)
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.messages.evidence import DoubleHistoryProof
from skyops_p2p.wire.messages.settlement import HalfPart, Receipt, SignedReceipt
from skyops_p2p.wire.model import decode_message, encode_message

NAME_DOMAIN = b"skyops/receipt-name/1"
HISTORY_KEYS = "history/"
"""How the keys of proofs begin among what is kept; those of receipts are their digests in hex."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose receipts are exchanged: those of one network and its contracts."""

    network: str
    chain_id: int
    settlement: bytes
    """20 bytes."""
    disputes: bytes
    """20 bytes."""
    token: bytes
    """SKYOPS, 20 bytes."""

    @property
    def domain(self) -> DisputesDomain:
        """Where parties answer for their receipts."""
        return DisputesDomain(self.chain_id, self.disputes)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A receipt with one half or both, as it is held."""

    digest: bytes
    """SHA-256 of the encoded Receipt: the same, whatever halves there are."""
    data: bytes
    """Encoded SignedReceipt."""
    requester: bytes
    worker: bytes
    ended_unix_ms: UnixMs
    requester_place: ChainPlace | None
    worker_place: ChainPlace | None
    name: bytes = field(init=False)
    """What it is asked for by. Rules: RCP-2."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", name_of(self.digest, self.requester_place, self.worker_place))

    @property
    def pair(self) -> tuple[bytes, bytes]:
        """Requester and worker."""
        return self.requester, self.worker

    @property
    def is_cosigned(self) -> bool:
        """Both have signed."""
        return self.requester_place is not None and self.worker_place is not None

    @property
    def names(self) -> frozenset[bytes]:
        """Its own name, and those that it had with less: who holds it needs none of these."""
        halves = [(self.requester_place, None), (None, self.worker_place)]
        return frozenset({self.name, *(name_of(self.digest, *pair) for pair in halves if any(pair))})

    @property
    def places(self) -> tuple[tuple[bytes, ChainPlace], ...]:
        """Each party that has signed, and where."""
        halves = ((self.requester, self.requester_place), (self.worker, self.worker_place))
        return tuple((account, place) for account, place in halves if place is not None)


def name_of(digest: bytes, requester: ChainPlace | None, worker: ChainPlace | None) -> bytes:
    """Return the name of a receipt with these halves. Rules: RCP-2."""
    links = (NO_LINK if place is None else place.link for place in (requester, worker))
    return sha256(NAME_DOMAIN + digest + b"".join(links))


def open_evidence(data: bytes, scope: Scope) -> tuple[Evidence, Receipt, SignedReceipt]:
    """Decode and check a receipt that a peer sent.

    Raises:
        RemoteProtocolError: As `open_signed` raises; `wrong_network`: another network or chain; `wrong_contract`:
            another Settlement or token; `bad_receipt`: of an account with itself.

    Rules: RCP-3.
    """
    receipt, signed = open_signed(data, scope.domain)
    if receipt.network != scope.network:
        raise RemoteProtocolError("a receipt of another network", code="wrong_network", rule="RCP-3")
    if (receipt.contract, receipt.token) != (scope.settlement, scope.token):
        raise RemoteProtocolError("a receipt of other contracts", code="wrong_contract", rule="RCP-3")
    if receipt.requester == receipt.worker:
        raise RemoteProtocolError("an account with itself", code="bad_receipt", rule="RCP-3")
    return evidence_of(receipt, signed), receipt, signed


def evidence_of(receipt: Receipt, signed: SignedReceipt) -> Evidence:
    """Return a checked receipt as it is held."""
    return Evidence(
        sha256(signed.receipt),
        encode_message(signed),
        receipt.requester,
        receipt.worker,
        UnixMs(receipt.ended_unix_ms),
        _place(signed.receipt, signed.requester),
        _place(signed.receipt, signed.worker),
    )


def joined(known: Evidence, more: Evidence) -> Evidence:
    """Return one receipt with the halves of both; of two halves of one party, the earlier place stays.

    The order in which they come does not matter. Rules: RCP-4.
    """
    ours, theirs = (decode_message(SignedReceipt, one.data) for one in (known, more))
    requester, requester_place = _earlier(
        (ours.requester, known.requester_place), (theirs.requester, more.requester_place)
    )
    worker, worker_place = _earlier((ours.worker, known.worker_place), (theirs.worker, more.worker_place))
    data = with_half(ours.receipt, requester=requester, worker=worker)
    return Evidence(
        known.digest,
        data,
        known.requester,
        known.worker,
        known.ended_unix_ms,
        requester_place,
        worker_place,
    )


def is_due(evidence: Evidence, now: UnixMs) -> bool:
    """Tell whether a receipt is told to others already: one half waits for the other first. Rules: RCP-5."""
    return evidence.is_cosigned or evidence.ended_unix_ms + limits.RECEIPT_HALF_WAIT_MS <= now


def check_date(evidence: Evidence, now: UnixMs) -> None:
    """Refuse what ended in the future, or too long ago.

    Raises:
        RemoteProtocolError: `not_yet_valid`, `expired`.

    Rules: RCP-3.
    """
    if evidence.ended_unix_ms > now + limits.CLOCK_SKEW_MS_MAX:
        raise RemoteProtocolError("a receipt from the future", code="not_yet_valid", rule="RCP-3")
    if evidence.ended_unix_ms < now - limits.RECEIPT_AGE_MS_MAX:
        raise RemoteProtocolError("a receipt that counts nothing any more", code="expired", rule="RCP-3")


def history_key(account: bytes) -> str:
    """Return the key under which the proof against an account is kept."""
    return HISTORY_KEYS + account.hex()


def proof_of(history: DoubleHistory, domain: DisputesDomain) -> DoubleHistoryProof:
    """Return a double history as it is told to others; its two links ascend. Rules: RCP-12."""
    (first, first_signature), (second, second_signature) = sorted(
        zip(history.contents, history.signatures, strict=True)
    )
    return DoubleHistoryProof(
        chain_id=domain.chain_id,
        contract=domain.contract,
        account=history.account,
        sequence=history.sequence,
        first=first,
        first_signature=first_signature,
        second=second,
        second_signature=second_signature,
    )


def check_proof(proof: DoubleHistoryProof, scope: Scope) -> DoubleHistory:
    """Check a double history that a peer sent.

    Raises:
        RemoteProtocolError: `wrong_network`: of another chain; `wrong_contract`: of another Disputes; `malformed`: the
            links do not ascend; `bad_signature`: one is not the account's.

    Rules: RCP-12.
    """
    if proof.chain_id != scope.chain_id:
        raise RemoteProtocolError("a proof for another chain", code="wrong_network", rule="RCP-12")
    if proof.contract != scope.disputes:
        raise RemoteProtocolError("a proof for another contract", code="wrong_contract", rule="RCP-12")
    if proof.first >= proof.second:
        raise RemoteProtocolError("links out of order", code="malformed", rule="RCP-12")
    history = DoubleHistory(
        proof.account,
        RECEIPT_CHAIN,
        proof.sequence,
        (proof.first, proof.second),
        (proof.first_signature, proof.second_signature),
    )
    check_history(history, scope.domain)
    return history


_Half = tuple[HalfPart | None, ChainPlace | None]


def _place(receipt: bytes, half: HalfPart | None) -> ChainPlace | None:
    return None if half is None else ChainPlace(half.sequence, link_of(receipt, half.previous))


def _earlier(one: _Half, other: _Half) -> _Half:
    if one[1] is None or other[1] is None:
        return other if one[1] is None else one
    key = [(half[1].sequence, half[1].link) for half in (one, other) if half[1] is not None]
    return one if key[0] <= key[1] else other
