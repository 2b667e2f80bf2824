"""AUC-23: the delay function's proof holds for its input alone, and the award follows its output."""

import sys
from dataclasses import replace

import pytest

from skyops_p2p.core.auction import vdf
from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.auction.book import Evidence, decide, vdf_challenge
from skyops_p2p.errors import ExecutionError, LocalProtocolError, RemoteProtocolError
from tests.unit.core.auction.market import Worker, book_of, evidence_of, sign, signed_tender
from tests.unit.core.people import CAROL, RULES, crowd

ITERATIONS = 4000
CHALLENGE = bytes([5] * 32)


@pytest.fixture(scope="module")
def proof() -> bytes:
    pytest.importorskip("chiavdf")
    return vdf.evaluate(CHALLENGE, ITERATIONS)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """A vdf tender with the shortest window, so that the evaluation takes half a second."""
    pytest.importorskip("chiavdf")
    tender = signed_tender(policy="vdf", reveal_ms=50)
    workers = [Worker(person) for person in crowd(4)]
    whole = evidence_of(tender, [*workers, Worker(CAROL, reveals=False)])
    proof = vdf.evaluate(vdf_challenge(whole), vdf.iterations_of(50))
    return replace(whole, proof=proof)


def refused(challenge: bytes, iterations: int, proof: bytes) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        vdf.check_proof(challenge, iterations, proof)
    return caught.value.code


def test_output_is_proven_and_unique(proof: bytes) -> None:
    vdf.check_proof(CHALLENGE, ITERATIONS, proof)
    assert len(proof) == vdf.PROOF_BYTES
    assert vdf.evaluate(CHALLENGE, ITERATIONS) == proof
    assert vdf.seed_of(proof) != vdf.seed_of(vdf.evaluate(CHALLENGE, ITERATIONS + 1))


def test_wrong_proofs_are_refused(proof: bytes) -> None:
    assert refused(bytes(32), ITERATIONS, proof) == "proof_fails"
    assert refused(CHALLENGE, ITERATIONS - 1, proof) == "proof_fails"
    for bad in (b"", proof[:-1], proof + b"\0", bytes(200), b"\xff" * 200):
        assert refused(CHALLENGE, ITERATIONS, bad) == "proof_fails"
    for at in (0, 1, 50, 99, 100, 150, 199):
        changed = proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]
        assert refused(CHALLENGE, ITERATIONS, changed) == "proof_fails"


def test_challenge_depends_on_commits_and_salts() -> None:
    challenges = {
        vdf.challenge_of(root, salts) for root in (bytes(32), b"\1" * 32) for salts in ((), (bytes(32),))
    }
    assert len(challenges) == 4


def test_award_by_delay_passes_the_audit(evidence: Evidence) -> None:
    book = book_of(evidence)
    assert audit(sign(book), RULES).findings == ()
    assert len(book.ranking) == 4


def test_book_with_a_wrong_proof_fails(evidence: Evidence) -> None:
    book = book_of(evidence)
    wrong = vdf.evaluate(bytes(32), 100)
    for proof in (wrong, b"", b"x" * 200):
        report = audit(sign(book.model_copy(update={"proof": proof})), RULES)
        assert [finding.rule for finding in report.findings] == ["AUC-23"]


def test_proof_belongs_to_this_policy_alone(evidence: Evidence) -> None:
    with pytest.raises(LocalProtocolError):
        decide(replace(evidence, proof=b""))
    with pytest.raises(LocalProtocolError):
        decide(replace(evidence_of(signed_tender(), []), proof=b"x"))


def test_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chiavdf", None)
    for attempt in (
        lambda: vdf.evaluate(CHALLENGE, 10),
        lambda: vdf.check_proof(CHALLENGE, 10, bytes(vdf.PROOF_BYTES)),
    ):
        with pytest.raises(ExecutionError) as caught:
            attempt()
        assert caught.value.code == "vdf_missing"
        assert "pip install" in caught.value.hint
