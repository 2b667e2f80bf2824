"""What a node answers to those who ask it for receipts. Pure.

Spec: protocol/07b-receipts.md, "Asking" and "Catching up".
"""

from collections.abc import Mapping

from skyops_p2p import limits
from skyops_p2p.core.evidence.shelf import Shelf
from skyops_p2p.core.rate import PeerRates
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.messages.evidence import (
    DoubleHistoryProof,
    ReceiptRangeRequest,
    ReceiptsReply,
    ReceiptsRequest,
    ReceiptSyncReply,
    ReceiptSyncRequest,
)
from skyops_p2p.wire.model import Message, decode_fields, decode_message, encode_message


class ReceiptService:
    """Answers from what is held.

    Args:
        shelf: Receipts.
        proven: Accounts with a proof.
        dropped: Names of receipts that went because of a proof, and of which account.
    """

    def __init__(
        self,
        shelf: Shelf,
        proven: Mapping[bytes, DoubleHistoryProof],
        dropped: Mapping[bytes, bytes],
    ) -> None:
        self._shelf = shelf
        self._proven = proven
        self._dropped = dropped
        self._rates = PeerRates(
            burst=limits.RECEIPT_REQUEST_BURST,
            per_s=limits.RECEIPT_REQUESTS_PER_S,
            peers_max=limits.ADDRESS_BOOK_PEERS_MAX,
        )

    def answer(self, peer: PeerId, request: bytes, now: MonotonicS) -> bytes:
        """Answer one request.

        Raises:
            RemoteProtocolError: `flood`, `wrong_type`, or what decoding raises; sent as a refusal.

        Rules: RCP-9, RCP-10, RCP-11.
        """
        if not self._rates.take(peer, now):  # RCP-11
            raise RemoteProtocolError("too many questions", code="flood", rule="RCP-11", peer=peer)
        match decode_fields(request)[0]:
            case ReceiptsRequest.number:
                reply: Message = self._named(decode_message(ReceiptsRequest, request))
            case ReceiptRangeRequest.number:
                reply = self._range(decode_message(ReceiptRangeRequest, request))
            case ReceiptSyncRequest.number:
                reply = self._differing(decode_message(ReceiptSyncRequest, request))
            case _:
                raise RemoteProtocolError("no such request", code="wrong_type", rule="RCP-9", peer=peer)
        return encode_message(reply)

    def _named(self, request: ReceiptsRequest) -> ReceiptsReply:
        """Give what is held of it, once; a proof in the place of what it has made worthless."""
        found: dict[bytes, None] = {}
        for name in request.names:
            item = self._shelf.named(name)
            proof = self._proven.get(self._dropped.get(name, b""))
            if item is not None:
                found[item.data] = None
            elif proof is not None:
                found[encode_message(proof)] = None
        return ReceiptsReply(items=tuple(found))

    def _range(self, request: ReceiptRangeRequest) -> ReceiptsReply:
        proof = self._proven.get(request.account)
        if proof is not None:
            return ReceiptsReply(items=(encode_message(proof),))
        items = self._shelf.at(request.account, request.first, request.count)
        return ReceiptsReply(items=tuple(dict.fromkeys(item.data for item in items)))

    def _differing(self, request: ReceiptSyncRequest) -> ReceiptSyncReply:
        names, is_complete = self._shelf.differing(
            request.digests, after=request.after, count_max=limits.RECEIPT_SYNC_NAMES_MAX
        )
        return ReceiptSyncReply(names=tuple(names), is_complete=is_complete)
