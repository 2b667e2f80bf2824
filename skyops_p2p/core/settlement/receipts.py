"""Receipts: the facts of a lease, signed by both sides, each in a chain of its own; and proofs of double histories.

A *half* is one party's signature. It names the receipt and the *link* of the party's receipt before; its own link is
what the party's wallet signs, as the content of one place of one chain, so two links for one place are slashed by the
contract. Pure. Spec: protocol/07-settlement.md, "Receipts". Sources: Otte et al., TrustChain (2017), for chains that
nobody has to agree on; RFC 6962 for the tree.
"""

from collections import OrderedDict
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core.settlement.amounts import wei_from_bytes
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.typed_data import statement_digest
from skyops_p2p.crypto.wallet import Wallet, recover_account
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire import canonical
from skyops_p2p.wire.messages.settlement import CountsPart, HalfPart, Receipt, SignedReceipt
from skyops_p2p.wire.model import decode_message, encode_message

RECEIPT_CHAIN = sha256(b"skyops/receipts/1")
"""The `lane` of the contract's Statement: a wallet has one chain of receipts, as requester and as worker."""
RECEIPT_DOMAIN = b"skyops/receipt/1"
INTERVAL_DOMAIN = b"skyops/interval/1"
NO_LINK = bytes(32)


@dataclass(frozen=True, slots=True)
class ChainPlace:
    """Where a party's chain of receipts ends."""

    sequence: int = 0
    """Of the last receipt; 0: none."""
    link: bytes = NO_LINK


@dataclass(frozen=True, slots=True)
class DoubleHistory:
    """Two signatures of one wallet over one place of one chain: what `prove_equivocation` takes."""

    account: bytes
    lane: bytes
    sequence: int
    contents: tuple[bytes, bytes]
    signatures: tuple[bytes, bytes]
    """r, s, v; `compact` turns each into what the contract takes."""


@dataclass(frozen=True, slots=True)
class DisputesDomain:
    """Where double histories are punished: part of what a half signs."""

    chain_id: int
    contract: bytes
    """Disputes, 20 bytes."""


def link_of(receipt: bytes, previous: bytes) -> bytes:
    """Return what a party signs for a receipt behind the one with the link `previous`. Rules: SET-15."""
    return sha256(RECEIPT_DOMAIN + previous + sha256(receipt))


def sign_half(
    receipt: bytes, place: ChainPlace, wallet: Wallet, domain: DisputesDomain
) -> tuple[HalfPart, ChainPlace]:
    """Sign a receipt as the next one of a party.

    Args:
        receipt: Encoded.
        place: Where the party's chain ends now.
        wallet: The party's.
        domain: Where it answers for it.

    Returns:
        The half, and where the chain ends then; the latter must be stored before the former is shown. Rules: SET-16.
    """
    after = ChainPlace(place.sequence + 1, link_of(receipt, place.link))
    signature = wallet.sign_digest(_digest(after.sequence, after.link, domain))
    return HalfPart(sequence=after.sequence, previous=place.link, signature=signature), after


def check_half(receipt: bytes, half: HalfPart, account: bytes, domain: DisputesDomain) -> ChainPlace:
    """Check one party's half and return its place.

    Raises:
        RemoteProtocolError: Code `bad_signature`: it is not this account's; `bad_receipt`: a first one behind another,
            or a later one behind none.

    Rules: SET-15.
    """
    link = link_of(receipt, half.previous)
    if recover_account(_digest(half.sequence, link, domain), half.signature) != account:
        raise RemoteProtocolError("half of a receipt by somebody else", code="bad_signature", rule="SET-15")
    if (half.sequence == 1) != (half.previous == NO_LINK):
        raise RemoteProtocolError("only the first receipt follows none", code="bad_receipt", rule="SET-15")
    return ChainPlace(half.sequence, link)


def follows(half: HalfPart, before: ChainPlace) -> bool:
    """Tell whether a half is the next one of its party behind a place. Rules: SET-15."""
    return half.sequence == before.sequence + 1 and half.previous == before.link


def open_signed(data: bytes, domain: DisputesDomain) -> tuple[Receipt, SignedReceipt]:
    """Decode a receipt and check each half that it has; at least one.

    Raises:
        RemoteProtocolError: As decoding raises; `malformed`: a sum of 2^96 wei or more; `wrong_network`: the receipt
            is of another chain; `bad_receipt`: no half; `bad_signature`: one is somebody else's.

    Rules: SET-15.
    """
    signed = decode_message(SignedReceipt, data)
    receipt = decode_message(Receipt, signed.receipt)
    for wei in (receipt.rate, receipt.amount, receipt.cumulative):
        wei_from_bytes(wei, bits=96)
    _check_chain(receipt, domain)
    if signed.requester is None and signed.worker is None:
        raise RemoteProtocolError("a receipt that nobody signed", code="bad_receipt", rule="SET-15")
    for half, account in ((signed.requester, receipt.requester), (signed.worker, receipt.worker)):
        if half is not None:
            check_half(signed.receipt, half, account, domain)
    return receipt, signed


def _check_chain(receipt: Receipt, domain: DisputesDomain) -> None:
    """Refuse a receipt of one chain that is answered for on another: it would be slashed where nothing was paid."""
    if receipt.chain_id != domain.chain_id:  # SET-15
        raise RemoteProtocolError("a receipt of another chain", code="wrong_network", rule="SET-15")


def leaf_of(receipt: Receipt) -> bytes:
    """Return the receipt's leaf in its pair's tree: what the contract proves. Rules: SET-14."""
    ended_s = receipt.ended_unix_ms // 1000
    words = (receipt.lane, receipt.result, receipt.log_head, receipt.metering_root, receipt.amount)
    return sha256(b"\x00" + b"".join(words) + ended_s.to_bytes(32, "big"))


def interval_leaf(interval: int, requester: CountsPart, worker: CountsPart, amount: bytes) -> bytes:
    """Return the leaf of one paid interval in its lane's tree of meters. Rules: SET-14.

    Args:
        interval: Its number.
        requester: What the requester had metered.
        worker: What the worker had metered.
        amount: What the lane has cost with it, 32 bytes.
    """
    content = canonical.encode([interval, requester.to_wire(), worker.to_wire(), amount])
    return sha256(b"\x00" + INTERVAL_DOMAIN + content)


def equivocation(first: bytes, second: bytes, domain: DisputesDomain) -> DoubleHistory | None:
    """Return the proof if two signed receipts show two histories of one party, or None.

    Args:
        first: An encoded SignedReceipt.
        second: Another.
        domain: Where the parties answer for it.

    Raises:
        RemoteProtocolError: One of them is not right by itself.

    Rules: SET-17.
    """
    for account, mine in _places(*open_signed(first, domain)):
        for other, theirs in _places(*open_signed(second, domain)):
            is_double = mine.sequence == theirs.sequence and mine.link != theirs.link
            if account == other and is_double:
                return _proof(account, mine, theirs)
    return None


class ReceiptWatch:
    """What was seen of other parties' chains, to notice a double history when its second half comes.

    Args:
        domain: Where the parties answer for it.
        places_max: Places that are remembered; the oldest is forgotten.
    """

    def __init__(self, domain: DisputesDomain, *, places_max: int = limits.RECEIPTS_WATCHED_MAX) -> None:
        self._domain = domain
        self._places_max = places_max
        self._seen: OrderedDict[tuple[bytes, int], _Place] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def see(self, data: bytes) -> DoubleHistory | None:
        """Take note of an encoded SignedReceipt; return the proof if it contradicts one that was seen.

        Raises:
            RemoteProtocolError: It is not right by itself; nothing is remembered.

        Rules: SET-17.
        """
        return self.see_checked(*open_signed(data, self._domain))

    def see_checked(
        self, receipt: Receipt, signed: SignedReceipt, *, is_noted: bool = True
    ) -> DoubleHistory | None:
        """Do the same for a receipt that `open_signed` has returned.

        Args:
            receipt: Decoded.
            signed: With its halves.
            is_noted: Take note of it; else only compare.
        """
        found = None
        for account, place in _places(receipt, signed):
            known = self._seen.get((account, place.sequence), place)
            if is_noted:
                self._seen[account, place.sequence] = known
            if known.link != place.link and found is None:
                found = _proof(account, known, place)
            while len(self._seen) > self._places_max:
                self._seen.popitem(last=False)
        return found


@dataclass(frozen=True, slots=True)
class _Place:
    sequence: int
    link: bytes
    signature: bytes


def _places(receipt: Receipt, signed: SignedReceipt) -> list[tuple[bytes, _Place]]:
    halves = ((receipt.requester, signed.requester), (receipt.worker, signed.worker))
    return [
        (account, _Place(half.sequence, link_of(signed.receipt, half.previous), half.signature))
        for account, half in halves
        if half is not None
    ]


def _proof(account: bytes, first: _Place, second: _Place) -> DoubleHistory:
    return DoubleHistory(
        account,
        RECEIPT_CHAIN,
        first.sequence,
        (first.link, second.link),
        (first.signature, second.signature),
    )


def check_history(proof: DoubleHistory, domain: DisputesDomain) -> None:
    """Check a double history that somebody else has found.

    Raises:
        RemoteProtocolError: `proof_fails`: the two do not contradict each other; `bad_signature`: one is not the
            account's.

    Rules: SET-17.
    """
    if proof.lane != RECEIPT_CHAIN or proof.contents[0] == proof.contents[1]:
        raise RemoteProtocolError("the two do not contradict each other", code="proof_fails", rule="SET-17")
    for link, signature in zip(proof.contents, proof.signatures, strict=True):
        if recover_account(_digest(proof.sequence, link, domain), signature) != proof.account:
            raise RemoteProtocolError("a history by somebody else", code="bad_signature", rule="SET-17")


def _digest(sequence: int, link: bytes, domain: DisputesDomain) -> bytes:
    return statement_digest(
        chain_id=domain.chain_id,
        contract=domain.contract,
        lane=RECEIPT_CHAIN,
        sequence=sequence,
        content=link,
    )


def with_half(receipt: bytes, *, requester: HalfPart | None = None, worker: HalfPart | None = None) -> bytes:
    """Return the encoded SignedReceipt."""
    return encode_message(SignedReceipt(receipt=receipt, requester=requester, worker=worker))


def join_half(data: bytes, worker: HalfPart | None, account: bytes, domain: DisputesDomain) -> bytes:
    """Add the worker's half to an encoded SignedReceipt of this side; one that is not right is left out.

    Args:
        data: With the requester's half.
        worker: What the worker sent, if anything.
        account: The worker's wallet.
        domain: Where it answers for it.

    Rules: SET-13.
    """
    signed = decode_message(SignedReceipt, data)
    if worker is not None:
        try:
            _check_chain(decode_message(Receipt, signed.receipt), domain)
            check_half(signed.receipt, worker, account, domain)
        except RemoteProtocolError:
            worker = None
    return with_half(signed.receipt, requester=signed.requester, worker=worker)
