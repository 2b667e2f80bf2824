"""Both sides of a proof of compute through their messages: pieces that fit, and answers that are no answers."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core.auction import poc
from skyops_p2p.core.auction.poc_arithmetic import Arithmetic, best_arithmetic
from skyops_p2p.core.auction.poc_prover import ProofWork
from skyops_p2p.core.auction.poc_sizes import PLACES_DRAWN, ROWS_DRAWN, check_challenge
from skyops_p2p.core.auction.poc_verifier import ProofCheck
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.messages.proof import OpeningRequest, Openings, ProofChallenge, ProofRoot
from skyops_p2p.wire.model import decode_message, encode_message

CHALLENGE, SECRET = bytes([1] * 32), bytes([2] * 32)


class Talk:
    """One proof whose messages are really encoded.

    Args:
        size: Of the challenge: rows, checkpoints, stride, lanes, and blocks of a lane.
    """

    def __init__(self, *size: int, arithmetic: Arithmetic | None = None) -> None:
        n, checkpoints, stride, lanes, rows = (*size, 0, 0)[:5]
        self.asked = ProofChallenge(
            beacon=bytes(32), size=n, checkpoints=checkpoints, stride=stride, lanes=lanes, rows=rows
        )
        check_challenge(self.asked)
        self.work = ProofWork(arithmetic or best_arithmetic())
        self.root = self.work.begin(CHALLENGE, self.asked)
        self.lengths: list[int] = []
        """Of the openings."""

    def check(self, root: ProofRoot | None = None) -> ProofCheck:
        return ProofCheck(CHALLENGE, self.asked, root or self.root, secret=SECRET)

    def show(self, request: OpeningRequest) -> Openings:
        data = encode_message(self.work.show(decode_message(OpeningRequest, encode_message(request))))
        self.lengths.append(len(data))
        return decode_message(Openings, data)

    def open_all(self, check: ProofCheck) -> None:
        while (request := check.next_request()) is not None:
            check.take(self.show(request))


@pytest.mark.parametrize(
    ("size", "messages"),
    [
        ((1, 1, 1), 1),
        ((64, 1, 1), 1),
        ((64, 3, 2, 4, 50), 1),
        ((300, 2, 4), 2),
        ((128, 1, 64), 16),
        ((9, 2, 2, 64, 512), 1),
    ],
)
def test_honest_answer_is_shown_in_messages_that_fit(size: tuple[int, ...], messages: int) -> None:
    talk = Talk(*size)
    check = talk.check()
    talk.open_all(check)
    check.verify()
    assert len(talk.lengths) == messages
    assert max(talk.lengths) <= limits.MESSAGE_BYTES_MAX


def test_longest_row_and_the_most_places_fit_a_message() -> None:
    """Shaped like the largest challenge that is taken, without its arithmetic."""

    class Zeros:
        def multiply(self, left: bytes, right: bytes, size: int) -> bytes:
            return bytes(4 * len(left))

        def fold(self, product: bytes) -> bytes:
            return bytes(len(product) // 4)

        def advance(self, left: bytes, right: bytes, size: int) -> bytes:
            return bytes(len(left))

        def apply(self, matrix: bytes, vector: object, width: int) -> tuple[int, ...]:
            raise AssertionError("nothing is checked")

    talk = Talk(1024, 127, 11, 256, 256, arithmetic=Zeros())
    assert (1 + 4 * 11) * 1024 <= limits.PROOF_ROW_BYTES_MAX < (1 + 4 * 12) * 1024
    check = talk.check()
    talk.open_all(check)
    assert len(talk.lengths) >= ROWS_DRAWN
    assert max(talk.lengths) <= limits.MESSAGE_BYTES_MAX
    assert PLACES_DRAWN <= limits.PROOF_PLACES_MAX


def test_the_same_draw_is_computed_once() -> None:
    class Counted:
        def __init__(self) -> None:
            self.inner, self.count = best_arithmetic(), 0

        def multiply(self, left: bytes, right: bytes, size: int) -> bytes:
            self.count += 1
            return self.inner.multiply(left, right, size)

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    unit = Counted()
    talk = Talk(300, 2, 4, arithmetic=unit)  # type: ignore[arg-type]
    unit.count = 0
    talk.open_all(talk.check())
    assert (len(talk.lengths), unit.count) == (2, 4), "one product a step, for all rows and both messages"


def test_next_challenge_takes_the_place_of_the_last() -> None:
    talk = Talk(8, 1, 1)
    talk.root = talk.work.begin(bytes(32), talk.asked)
    check = ProofCheck(bytes(32), talk.asked, talk.root, secret=SECRET)
    talk.open_all(check)
    check.verify()


def refusal(check: ProofCheck, *answers: Openings) -> str:
    for answer in answers[:-1]:
        check.take(answer)
    with pytest.raises(RemoteProtocolError) as caught:
        check.take(answers[-1])
    assert (caught.value.code, caught.value.rule) == ("proof_fails", "AUC-38")
    return caught.value.message


def test_answer_that_is_no_answer() -> None:  # AUC-38
    talk = Talk(16, 1, 1, 4, 9)
    whole = talk.show(talk.check().next_request() or pytest.fail("nothing is asked"))
    rows, places = whole.rows, whole.places
    nothing = Openings(rows=(), places=())
    assert refusal(talk.check(), nothing)
    assert refusal(talk.check(), Openings(rows=rows[:3], places=()), nothing)
    assert refusal(talk.check(), Openings(rows=(*rows, rows[0]), places=()))
    assert refusal(talk.check(), Openings(rows=rows[:3], places=places)), "places before all rows"
    assert refusal(talk.check(), Openings(rows=rows, places=(*places, places[0])))


def test_roots_that_were_not_asked_for() -> None:  # AUC-38
    plain, filled = Talk(8, 1, 1), Talk(8, 1, 1, 4, 9)
    for talk, memory in ((plain, bytes(32)), (filled, None)):
        with pytest.raises(RemoteProtocolError, match="not the roots"):
            talk.check(talk.root.model_copy(update={"memory": memory}))


def test_proof_of_another_worker_is_none() -> None:
    talk = Talk(16, 1, 1)
    check = ProofCheck(poc.challenge_of(bytes(32), b"carol"), talk.asked, talk.root, secret=SECRET)
    talk.open_all(check)
    with pytest.raises(RemoteProtocolError) as caught:
        check.verify()
    assert caught.value.code == "proof_fails"
