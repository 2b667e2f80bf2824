"""What is fuzzed of chapter 06: commitments, requests to reveal, reveals, and verdicts as they lie in files."""

from collections.abc import Callable

from skyops_p2p.core.execution.receipts import LeaseFacts
from skyops_p2p.core.verification.arrays import read_numbers
from skyops_p2p.core.verification.check import check_verdict
from skyops_p2p.core.verification.commit import check_commit, check_reveal, check_reveal_request
from skyops_p2p.core.verification.tolerance import measure, tolerance_for
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.messages.verification import RevealResult
from skyops_p2p.wire.model import decode_message, encode_message
from tests.vectors.people import BOB, CAROL, RULES
from tests.vectors.verification_examples import PRICE, Part, sealed_verdict

ENVELOPED = ("result-commit", "result-reveal", "verdict")
PARTS = [Part(BOB), Part(CAROL)]
OWN = PARTS[0].commit()
RECEIPT = PARTS[0].receipt()
_ITS = OWN.message
FACTS = LeaseFacts(
    network=RULES.network,
    requester=peer_id_from_bytes(_ITS.requester),
    worker=OWN.signer,
    job_id=_ITS.job_id,
    shard=_ITS.shard,
    epoch=_ITS.epoch,
    award=_ITS.award,
    spec_digest=_ITS.spec_digest,
)


def _commit(data: bytes) -> None:
    signed = check_commit(data, FACTS, draw=_ITS.draw, verification="exact", redundancy=3, price=PRICE)
    assert signed.signer == FACTS.worker


def _request(data: bytes) -> None:
    others = check_reveal_request(decode_message(RevealResult, data), OWN)
    assert all(other.signer != OWN.signer for other in others)


def _verdict(data: bytes) -> None:
    """Checking never raises; what does not hold is a refusal to the fuzzer."""
    found = check_verdict(data)
    if not found.holds:
        raise RemoteProtocolError(found.findings[0].text, code="malformed", rule=found.findings[0].rule)
    assert found.verdict is not None
    assert len(found.judged) == len(found.verdict.answers)


def _numbers(path: str, data: bytes) -> None:
    """What is read is as far from itself as from a copy: not at all."""
    found = read_numbers(path, data)
    assert found is not None
    distance = measure(found.values, list(found.values), tolerance_for(found.bits))
    assert distance.within == distance.elements


TARGETS: dict[str, Callable[[bytes], object]] = {
    "result-commitment": _commit,
    "result-request": _request,
    "result-opening": lambda data: check_reveal(data, OWN, RECEIPT),
    "verdict": _verdict,
    "numbers-npy": lambda data: _numbers("a.npy", data),
    "numbers-json": lambda data: _numbers("a.json", data),
}
FAMILIES: dict[str, tuple[str, ...]] = {
    "verdict": ("verdicts",),
    "result-commitment": ("replicas",),
    "numbers-npy": ("numbers",),
    "numbers-json": ("numbers",),
}
"""The vectors that a target begins with, where it is not those of identifiers."""


def seeds(target: str) -> set[bytes]:
    """Return further inputs to begin with."""
    return {
        "result-commitment": {OWN.data},
        "result-request": {encode_message(RevealResult(epoch=1, others=(PARTS[1].commit().data,)))},
        "result-opening": {PARTS[0].reveal(PARTS).data},
        "verdict": {sealed_verdict(PARTS), sealed_verdict([PARTS[0], Part(CAROL, output=2)])},
    }.get(target, set())
