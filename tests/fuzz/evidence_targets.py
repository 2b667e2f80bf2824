"""What is fuzzed of chapter 07b: gossip, requests and answers of the exchange of receipts."""

from collections.abc import Callable

from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.evidence import events as ev
from skyops_p2p.core.evidence.exchange import Exchange
from skyops_p2p.core.evidence.verdict_exchange import VerdictExchange
from skyops_p2p.core.intake import Judgement
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.messages.evidence import ReceiptNames, VerdictNames
from skyops_p2p.wire.model import encode_message
from tests.vectors.evidence_cases import SCOPE, evidence_examples, held
from tests.vectors.people import BOB, NOW
from tests.vectors.signed_receipt_cases import receipt, signed_receipt
from tests.vectors.verification_examples import Part, drawn_after, sealed_verdict, verification_examples

PEER = PeerId("somebody")
START = MonotonicS(0.0)
LATER = MonotonicS(1.0)
VERDICTS = [sealed_verdict(list(map(Part, [BOB, *drawn_after(Part(BOB))[:count]]))) for count in (1, 2)]
"""Of two workers, and of three."""
WANTED = tuple(item.name for item in held(3).all())


def _exchange() -> Exchange:
    """Return an exchange that holds two receipts, and has asked a peer for three."""
    exchange = Exchange(SCOPE, salt=bytes(32), is_member=lambda _account: True)
    kept = tuple(item.data for item in held(2).all())
    exchange.handle(pull.Restored(kept, NOW), START)
    exchange.handle(pull.TimeCame((PEER,), NOW), START)
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
    effects = exchange.handle(pull.ItemsAnswered(PEER, (data,), NOW), START)
    exchange.check_invariants()
    if any(isinstance(effect, pull.BlamePeer) for effect in effects):
        assert len(exchange.shelf) == before
        raise RemoteProtocolError("refused", code="malformed")


def _verdicts() -> VerdictExchange:
    """Return an exchange that holds a verdict, and has asked a peer for two."""
    exchange = VerdictExchange(SCOPE, _exchange().gate, salt=bytes(32))
    exchange.handle(pull.Restored((VERDICTS[0],), NOW), START)
    exchange.handle(pull.TimeCame((PEER,), NOW), START)
    exchange.handle(pull.AskFailed(PEER), START)
    names = encode_message(VerdictNames(names=tuple(map(sha256, VERDICTS))))
    exchange.handle(ev.GossipAccepted(PEER, names, NOW), LATER)
    return exchange


def _verdict_answer(data: bytes) -> None:
    """Whatever a peer gives, nothing is raised, and what is not right is not held."""
    exchange = _verdicts()
    effects = exchange.handle(pull.ItemsAnswered(PEER, (data,), NOW), LATER)
    exchange.check_invariants()
    assert len(exchange.shelf) == 1, "nobody has looked at its money"
    if any(isinstance(effect, pull.BlamePeer) for effect in effects):
        raise RemoteProtocolError("refused", code="malformed")


TARGETS: dict[str, Callable[[bytes], object]] = {
    "receipt-gossip": _gossip,
    "receipt-requests": lambda data: _exchange().answer(PEER, data, START),
    "receipt-answers": _answer,
    "verdict-requests": lambda data: _verdicts().answer(PEER, data, LATER),
    "verdict-answers": _verdict_answer,
}
FAMILIES = {
    "verdict-requests": ("history-proofs",),
    "verdict-answers": ("verdicts",),
    "receipt-gossip": ("history-proofs",),
    "receipt-requests": ("history-proofs",),
    "receipt-answers": ("receipt-names", "history-proofs"),
}
"""The vectors that a target begins with."""


def seeds(target: str) -> set[bytes]:
    """Return further inputs to begin with."""
    if target not in TARGETS:
        return set()
    messages = [*evidence_examples(), *verification_examples()]
    return {*VERDICTS, *map(encode_message, messages), signed_receipt(receipt(3))}
