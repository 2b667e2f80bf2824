"""What is fuzzed of chapter 07b: gossip, requests and answers of the exchange of receipts."""

from collections.abc import Callable

from skyops_p2p.core.evidence import events as ev
from skyops_p2p.core.evidence.exchange import Exchange
from skyops_p2p.core.intake import Judgement
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.messages.evidence import ReceiptNames
from skyops_p2p.wire.model import encode_message
from tests.vectors.evidence_cases import SCOPE, evidence_examples, held
from tests.vectors.people import NOW
from tests.vectors.signed_receipt_cases import receipt, signed_receipt

PEER = PeerId("somebody")
START = MonotonicS(0.0)
WANTED = tuple(item.name for item in held(3).all())


def _exchange() -> Exchange:
    """Return an exchange that holds two receipts, and has asked a peer for three."""
    exchange = Exchange(SCOPE, salt=bytes(32), is_member=lambda _account: True)
    kept = tuple(item.data for item in held(2).all())
    exchange.handle(ev.Restored(kept, NOW), START)
    exchange.handle(ev.TimeCame((PEER,), NOW), START)
    names = encode_message(ReceiptNames(names=(*WANTED, bytes([9] * 32))))
    exchange.handle(ev.GossipAccepted(PEER, names, NOW), START)
    return exchange


def _gossip(data: bytes) -> None:
    """Judging never raises, and what it accepts can be taken."""
    exchange = _exchange()
    judgement = exchange.judge(PEER, data, START)
    if judgement is Judgement.ACCEPT:
        exchange.handle(ev.GossipAccepted(PEER, data, NOW), START)
        exchange.check_invariants()
    if judgement is Judgement.REJECT:
        raise RemoteProtocolError("refused", code="malformed")


def _answer(data: bytes) -> None:
    """Whatever a peer gives, nothing is raised, and what is not right is not held."""
    exchange = _exchange()
    before = len(exchange.shelf)
    effects = exchange.handle(ev.ReceiptsAnswered(PEER, (data,), NOW), START)
    exchange.check_invariants()
    if any(isinstance(effect, ev.BlamePeer) for effect in effects):
        assert len(exchange.shelf) == before
        raise RemoteProtocolError("refused", code="malformed")


TARGETS: dict[str, Callable[[bytes], object]] = {
    "receipt-gossip": _gossip,
    "receipt-requests": lambda data: _exchange().answer(PEER, data, START),
    "receipt-answers": _answer,
}
FAMILIES = {
    "receipt-gossip": ("history-proofs",),
    "receipt-requests": ("history-proofs",),
    "receipt-answers": ("receipt-names", "history-proofs"),
}
"""The vectors that a target begins with."""


def seeds(target: str) -> set[bytes]:
    """Return further inputs to begin with."""
    if target not in TARGETS:
        return set()
    return {*(encode_message(message) for message in evidence_examples()), signed_receipt(receipt(3))}
