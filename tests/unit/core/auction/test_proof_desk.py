"""Whom a worker proves its compute to: one at a time, twice an hour each, and a few seconds an hour in all."""

from collections.abc import Callable

import pytest

from skyops_p2p import limits
from skyops_p2p.core.auction.poc_sizes import FOR_GPUS, FOR_NUMPY, FOR_PYTHON, sizes_for
from skyops_p2p.core.auction.proof_desk import ProofDesk
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.messages.proof import OpeningRequest, ProofChallenge
from tests.unit.core.people import ALICE, BOB, CAROL, HARDWARE, START

ROOT, SECRET = bytes([1] * 32), bytes([2] * 32)
ASKED = ProofChallenge(beacon=bytes(32), size=64, checkpoints=1, stride=1, lanes=0, rows=0)
SLOW = 10_000_000


def after(seconds: float) -> MonotonicS:
    return MonotonicS(START + seconds)


def refused(action: Callable[[], object]) -> str:
    """Return the code with which something is refused; empty if it is not."""
    try:
        action()
    except RemoteProtocolError as error:
        return error.code
    return ""


def look(desk: ProofDesk, who: PeerId, seconds: float = 0.0, *, is_free: bool = True) -> str:
    return refused(lambda: desk.look(who, ASKED, after(seconds), is_free=is_free))


def admit(desk: ProofDesk, who: PeerId, seconds: float = 0.0, **size: int) -> str:
    asked = ASKED.model_copy(update=size)
    return refused(lambda: desk.admit(who, asked, after(seconds), operations_max=SLOW))


def request(**changes: object) -> OpeningRequest:
    fields = {"root": ROOT, "secret": SECRET, "rows": 16, "places": 0, "first": 0, **changes}
    return OpeningRequest.model_validate(fields)


def opening(desk: ProofDesk, who: PeerId, seconds: float = 1.0, **changes: object) -> str:
    return refused(lambda: desk.opening(who, request(**changes), after(seconds)))


def answered() -> ProofDesk:
    """Return a desk with alice's challenge, answered after a second."""
    desk = ProofDesk()
    assert look(desk, ALICE.peer) == ""
    desk.answered(desk.admit(ALICE.peer, ASKED, after(0.0), operations_max=SLOW), ROOT, after(1.0))
    return desk


# --- one at a time ----------------------------------------------------------------------------------------------
def test_others_wait_until_all_is_shown() -> None:  # AUC-36
    desk = answered()
    assert look(desk, BOB.peer, 1.0) == "proof_busy"
    assert opening(desk, ALICE.peer) == ""
    desk.shown(request(), 15)
    assert look(desk, BOB.peer, 1.0) == "proof_busy"
    desk.shown(request(first=15), 1)
    assert look(desk, BOB.peer, 1.0) == ""


def test_others_wait_no_longer_than_an_answer_is_kept() -> None:  # AUC-36
    desk = answered()
    assert look(desk, BOB.peer, 0.9 + limits.PROOF_KEEP_S) == "proof_busy"
    assert look(desk, BOB.peer, 1.0 + limits.PROOF_KEEP_S) == ""


def test_challenge_whose_answer_never_comes_is_forgotten() -> None:
    desk = ProofDesk()
    admit(desk, ALICE.peer)
    assert look(desk, BOB.peer, limits.PROOF_WORK_S_MAX - 0.1) == "proof_busy"
    assert look(desk, BOB.peer, limits.PROOF_WORK_S_MAX) == ""


def test_jobs_need_the_machine() -> None:  # AUC-36
    assert look(ProofDesk(), ALICE.peer, is_free=False) == "proof_busy"


# --- how much ---------------------------------------------------------------------------------------------------
def test_asker_is_answered_once_in_its_interval() -> None:  # AUC-36
    desk = answered()
    desk.close()
    assert look(desk, ALICE.peer, limits.PROOF_INTERVAL_S - 0.1) == "proof_spent"
    assert look(desk, ALICE.peer, limits.PROOF_INTERVAL_S) == ""


def test_prover_is_loaded_once_for_an_asker_in_its_interval() -> None:  # AUC-36
    desk = ProofDesk()
    assert refused(lambda: desk.prepare(ALICE.peer, after(0))) == ""
    assert refused(lambda: desk.prepare(ALICE.peer, after(limits.PROOF_INTERVAL_S - 0.1))) == "proof_spent"
    assert refused(lambda: desk.prepare(BOB.peer, after(1))) == ""
    assert refused(lambda: desk.prepare(ALICE.peer, after(limits.PROOF_INTERVAL_S))) == ""


def test_what_all_askers_cost_is_bounded_and_comes_back() -> None:  # AUC-36
    desk = ProofDesk()
    desk.spend(limits.PROOF_WORK_S_PER_H - 0.1, after(0))
    assert look(desk, ALICE.peer) == "", "a little is left"
    desk.spend(1.0, after(0))
    assert look(desk, ALICE.peer) == "proof_spent"
    second_s = 3600 / limits.PROOF_WORK_S_PER_H
    assert look(desk, ALICE.peer, 0.8 * second_s) == "proof_spent"
    assert look(desk, ALICE.peer, second_s) == ""
    assert desk._left(after(100 * 3600)) == limits.PROOF_WORK_S_PER_H, "no more than an hour's is saved"


def test_challenge_is_as_large_as_the_machine_does_in_a_second() -> None:  # AUC-36
    size = 128
    assert 2 * size**3 * 2 <= SLOW < 2 * size**3 * 3
    assert admit(ProofDesk(), ALICE.peer, size=size, checkpoints=2) == ""
    assert admit(ProofDesk(), ALICE.peer, size=size, checkpoints=3) == "challenge_refused"


def test_smallest_challenge_is_taken_by_the_slowest() -> None:  # AUC-36
    desk = ProofDesk()
    assert FOR_PYTHON.operations <= limits.PROOF_OPERATIONS_MIN
    desk.admit(ALICE.peer, ASKED, after(0), operations_max=1)
    with pytest.raises(RemoteProtocolError) as caught:
        desk.admit(ALICE.peer, ASKED.model_copy(update={"checkpoints": 3}), after(0), operations_max=1)
    assert (caught.value.code, caught.value.rule) == ("challenge_refused", "AUC-36")


def test_askers_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ADDRESS_BOOK_PEERS_MAX", 2)
    desk = ProofDesk()
    for number in range(3):
        desk.prepare(PeerId(f"peer-{number}"), after(number))
    assert refused(lambda: desk.prepare(PeerId("peer-0"), after(3))) == "", "the oldest is forgotten"
    assert refused(lambda: desk.prepare(PeerId("peer-2"), after(3))) == "proof_spent"


# --- openings ---------------------------------------------------------------------------------------------------
def test_only_the_asker_opens_its_answer_with_one_secret_in_time() -> None:  # AUC-38
    unknown = "unknown_challenge"
    assert opening(ProofDesk(), ALICE.peer) == unknown
    desk = answered()
    assert opening(desk, BOB.peer) == unknown
    assert opening(desk, ALICE.peer, root=bytes(32)) == unknown
    assert opening(desk, ALICE.peer) == ""
    assert opening(desk, ALICE.peer, first=9) == ""
    for change in ({"secret": bytes(32)}, {"rows": 17}, {"places": 1}):
        assert opening(desk, ALICE.peer, **change) == unknown
    assert opening(desk, ALICE.peer, 0.9 + limits.PROOF_KEEP_S) == ""
    assert opening(desk, ALICE.peer, 1.0 + limits.PROOF_KEEP_S) == unknown


def test_nothing_is_opened_before_it_is_answered() -> None:  # AUC-38
    desk = ProofDesk()
    admit(desk, ALICE.peer)
    assert refused(lambda: desk.opening(ALICE.peer, request(), after(1))) == "unknown_challenge"


def test_answer_that_came_behind_the_next_challenge_cannot_be_opened() -> None:  # AUC-38
    desk = ProofDesk()
    first = desk.admit(ALICE.peer, ASKED, after(0), operations_max=SLOW)
    assert look(desk, BOB.peer, limits.PROOF_WORK_S_MAX) == ""
    desk.admit(BOB.peer, ASKED, after(limits.PROOF_WORK_S_MAX), operations_max=SLOW)
    desk.answered(first, ROOT, after(limits.PROOF_WORK_S_MAX))
    for who in (ALICE.peer, BOB.peer):
        assert opening(desk, who, limits.PROOF_WORK_S_MAX) == "unknown_challenge"


# --- what is asked of whom --------------------------------------------------------------------------------------
def test_sizes_begin_with_what_the_record_promises() -> None:
    gpu = CAROL.verified().record
    plain = CAROL.verified(hardware=HARDWARE.model_copy(update={"gpus": ()})).record
    assert sizes_for(gpu, is_quick=True) == (FOR_GPUS, FOR_NUMPY, FOR_PYTHON)
    assert sizes_for(gpu, is_quick=False) == (FOR_NUMPY, FOR_PYTHON), "we could not check it in time"
    assert sizes_for(plain, is_quick=True) == (FOR_NUMPY, FOR_PYTHON)
