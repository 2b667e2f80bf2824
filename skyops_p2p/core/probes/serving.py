"""What a node answers to those who ask it for statements. Pure. Spec: protocol/08b-probes.md, "Catching up"."""

from skyops_p2p import limits
from skyops_p2p.core.probes.shelf import StatementShelf
from skyops_p2p.core.rate import PeerRates
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.messages.probes import (
    StatementsReply,
    StatementsRequest,
    StatementSyncReply,
    StatementSyncRequest,
)
from skyops_p2p.wire.model import decode_fields, decode_message, encode_message

STATEMENT_REQUESTS = frozenset({StatementSyncRequest.number, StatementsRequest.number})


class StatementService:
    """Answers from what is held.

    Args:
        shelf: Statements.
    """

    def __init__(self, shelf: StatementShelf) -> None:
        self._shelf = shelf
        self._rates = PeerRates(
            burst=limits.PROBE_REQUEST_BURST,
            per_s=limits.PROBE_REQUESTS_PER_S,
            peers_max=limits.ADDRESS_BOOK_PEERS_MAX,
        )

    def answer(self, peer: PeerId, request: bytes, now: MonotonicS) -> bytes:
        """Answer one request.

        Raises:
            RemoteProtocolError: `flood`, `wrong_type`, or what decoding raises; sent as a refusal.

        Rules: PRB-12.
        """
        if not self._rates.take(peer, now):
            raise RemoteProtocolError("too many questions", code="flood", rule="PRB-12", peer=peer)
        match decode_fields(request)[0]:
            case StatementSyncRequest.number:
                asked = decode_message(StatementSyncRequest, request)
                names, is_complete = self._shelf.differing(
                    asked.digests, after=asked.after, count_max=limits.PROBE_SYNC_NAMES_MAX
                )
                return encode_message(StatementSyncReply(names=tuple(names), is_complete=is_complete))
            case StatementsRequest.number:
                wanted = dict.fromkeys(decode_message(StatementsRequest, request).names)
                items = (self._shelf.get(name) for name in wanted)
                return encode_message(
                    StatementsReply(items=tuple(one.data for one in items if one is not None))
                )
            case _:
                raise RemoteProtocolError("no such request", code="wrong_type", rule="PRB-12", peer=peer)
