"""What is fuzzed of proofs of compute: what a worker shows of an answer, up to the last check."""

from collections.abc import Callable

from skyops_p2p.core.auction.poc import challenge_of
from skyops_p2p.core.auction.poc_sizes import check_challenge
from skyops_p2p.core.auction.poc_verifier import ProofCheck
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.messages.proof import Openings, ProofChallenge
from skyops_p2p.wire.model import decode_message
from tests.vectors.people import BOB
from tests.vectors.proof_cases import CHALLENGE, SECRET, WITH_MEMORY, Answer, raw

ANSWERS = (Answer(CHALLENGE), Answer(WITH_MEMORY))


def _openings(answer: Answer) -> Callable[[bytes], None]:
    """Have one message be all that is shown."""

    def run(data: bytes) -> None:
        challenge = challenge_of(answer.asked.beacon, raw(BOB))
        check = ProofCheck(challenge, answer.asked, answer.root, secret=SECRET)
        check.take(decode_message(Openings, data))
        if check.next_request() is not None:
            raise RemoteProtocolError("not all was shown", code="proof_fails")
        check.verify()

    return run


TARGETS: dict[str, Callable[[bytes], object]] = {
    "proof-challenge": lambda data: check_challenge(decode_message(ProofChallenge, data)),
    "proof-rows": _openings(ANSWERS[0]),
    "proof-places": _openings(ANSWERS[1]),
}
FAMILIES = {
    "proof-challenge": ("proof-challenges",),
    "proof-rows": ("proofs-of-compute",),
    "proof-places": ("proofs-of-compute",),
}
"""The vectors that a target begins with."""
