"""The vectors of proofs of compute, by skyops_p2p and by the second verifier that shares no code with it."""

from skyops_p2p.core.auction.poc import challenge_of
from skyops_p2p.core.auction.poc_sizes import check_challenge
from skyops_p2p.core.auction.poc_verifier import ProofCheck
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.messages.proof import OpeningRequest, Openings, ProofChallenge, ProofRoot
from skyops_p2p.wire.model import decode_message
from tests.vectors import second_proof as second
from tests.vectors.attestation_cases import seen
from tests.vectors.test_vectors import Case, everything, expect, raw


@everything("proof-challenges")
def test_challenges(case: Case) -> None:  # AUC-36
    expect(
        case,
        None,
        lambda case: check_challenge(decode_message(ProofChallenge, raw(case))),
        lambda case: second.check_size(raw(case)),
    )


def _first(case: Case) -> int:
    asked = decode_message(ProofChallenge, raw(case, "challenge"))
    request = decode_message(OpeningRequest, raw(case, "request"))
    root = decode_message(ProofRoot, raw(case, "root"))
    challenge = challenge_of(asked.beacon, raw(case, "peer"))
    check = ProofCheck(challenge, asked, root, secret=request.secret)
    shown = 0
    for data in case["openings"]:
        wanted = check.next_request()
        assert wanted is not None
        assert wanted.first == shown
        openings = decode_message(Openings, bytes.fromhex(data))
        check.take(openings)
        shown += len(openings.rows) + len(openings.places)
    if check.next_request() is not None:
        raise RemoteProtocolError("not all was shown", code="proof_fails")
    check.verify()
    return shown


def _second(case: Case) -> int:
    parts = (raw(case, name) for name in ("peer", "challenge", "root", "request"))
    return second.verify(*parts, [bytes.fromhex(data) for data in case["openings"]])  # type: ignore[arg-type]


@everything("proofs-of-compute")
def test_proofs(case: Case) -> None:  # AUC-24, AUC-25, AUC-38
    shown = 16 + (8 if "memory" in case["name"] else 0)
    expect(case, shown, _first, _second)


@everything("attestations")
def test_attestations(case: Case) -> None:  # AUC-42, AUC-44
    expect(
        case,
        case.get("attested"),
        seen,
        lambda case: second.attestation(raw(case), case["worker"], case["network"], case["now_unix_ms"]),
    )


@everything("attestation-draws")
def test_draws_of_verifiers(case: Case) -> None:  # AUC-43
    assert second.drawn(case) == case["drawn"]
