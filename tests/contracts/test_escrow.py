"""Settlement: the escrow of one-off jobs, state by state, and how each of them ends."""

from typing import Any

import boa
import pytest

from tests.contracts.chain import DAY, ETH, HOUR, UNIT, Person, events, sha256
from tests.contracts.settled import Settled

SPEC, EXECUTION, LOG, METERING = (sha256(part.encode()) for part in ("spec", "execution", "log", "metering"))
HASHES = (EXECUTION, LOG, METERING)
POSTED, CLAIMED, COMPLETED, FAILED, CANCELLED = range(1, 6)
PAYMENT = 10 * UNIT


def _post(settled: Settled, requester: Person, worker: str, **options: Any) -> bytes:
    payment, token = options.get("payment", PAYMENT), options.get("token", settled.token.address)
    deadline = boa.env.timestamp + options.get("seconds", DAY)
    return bytes(
        settled.settlement.post_job(SPEC, token, payment, worker, deadline, sender=requester.address)
    )


def _claimed(settled: Settled, requester: Person, worker: Person) -> bytes:
    job = _post(settled, requester, worker.address)
    settled.settlement.claim(job, sender=worker.address)
    return job


def _completed(settled: Settled, requester: Person, worker: Person) -> bytes:
    job = _claimed(settled, requester, worker)
    settled.settlement.complete(job, *HASHES, sender=worker.address)
    return job


def _state(settled: Settled, job: bytes) -> int:
    return int(settled.settlement.jobs(job).state)


def test_job_is_paid_after_its_window(settled: Settled, alice: Person, bob: Person, mallory: Person) -> None:
    contract = settled.settlement
    job = _post(settled, alice, bob.address)
    fields = {
        "job": job, "requester": alice.address, "token": settled.token.address, "spec_hash": SPEC,
        "payment": PAYMENT, "worker": bob.address, "deadline": boa.env.timestamp + DAY,
    }  # fmt: skip
    assert events(contract) == [("JobPosted", fields)]
    assert settled.deposit_of(alice) == 90 * UNIT
    contract.claim(job, sender=bob.address)
    assert events(contract) == [("JobClaimed", {"job": job, "worker": bob.address})]
    contract.complete(job, *HASHES, sender=bob.address)
    fields = {
        "job": job, "worker": bob.address, "execution_hash": EXECUTION, "log_hash": LOG,
        "metering_hash": METERING, "release_at": boa.env.timestamp + HOUR,
    }  # fmt: skip
    assert events(contract) == [("JobCompleted", fields)]
    boa.env.time_travel(seconds=HOUR - 1)
    with boa.reverts("too_soon"):
        contract.release_job(job, sender=mallory.address)
    boa.env.time_travel(seconds=1)
    contract.release_job(job, sender=mallory.address)
    amount, fee = PAYMENT * 97 // 100, PAYMENT * 3 // 100
    assert events(contract) == [
        ("JobPaid", {"job": job, "worker": bob.address, "amount": amount, "fee": fee})
    ]
    assert (settled.credit_of(bob), contract.fees(settled.token.address)) == (amount, fee)
    assert (_state(settled, job), contract.jobs(job).execution_hash) == (COMPLETED, EXECUTION)
    with boa.reverts("wrong_state"):
        contract.release_job(job)


def test_requester_accepts_early_and_only_it(settled: Settled, alice: Person, bob: Person) -> None:
    job = _completed(settled, alice, bob)
    with boa.reverts("not_requester"):
        settled.settlement.accept(job, sender=bob.address)
    settled.settlement.accept(job, sender=alice.address)
    assert settled.credit_of(bob) == PAYMENT * 97 // 100
    with boa.reverts("wrong_state"):
        settled.settlement.accept(job, sender=alice.address)


def test_unclaimed_job_is_cancelled_with_all_of_its_money(
    settled: Settled, alice: Person, bob: Person
) -> None:
    job = _post(settled, alice, bob.address)
    with boa.reverts("not_requester"):
        settled.settlement.cancel(job, sender=bob.address)
    settled.settlement.cancel(job, sender=alice.address)
    assert events(settled.settlement) == [("JobCancelled", {"job": job, "by": alice.address})]
    assert (_state(settled, job), settled.deposit_of(alice)) == (CANCELLED, 100 * UNIT)


def test_worker_gives_up_and_the_requester_has_its_money_back(
    settled: Settled, alice: Person, bob: Person
) -> None:
    job = _claimed(settled, alice, bob)
    with boa.reverts("not_worker"):
        settled.settlement.fail(job, sender=alice.address)
    settled.settlement.fail(job, sender=bob.address)
    fields = {"job": job, "worker": bob.address, "by": bob.address}
    assert events(settled.settlement) == [("JobFailed", fields)]
    assert (_state(settled, job), settled.deposit_of(alice)) == (FAILED, 100 * UNIT)


@pytest.mark.parametrize(("is_claimed", "state"), [(False, CANCELLED), (True, FAILED)])
def test_deadline_gives_the_money_back(
    settled: Settled, alice: Person, bob: Person, mallory: Person, is_claimed: bool, state: int
) -> None:
    job = _claimed(settled, alice, bob) if is_claimed else _post(settled, alice, bob.address)
    boa.env.time_travel(seconds=DAY)
    with boa.reverts("too_soon"):
        settled.settlement.expire(job)
    boa.env.time_travel(seconds=1)
    settled.settlement.expire(job, sender=mallory.address)
    assert (_state(settled, job), settled.deposit_of(alice)) == (state, 100 * UNIT)


def test_late_worker_neither_claims_nor_completes(settled: Settled, alice: Person, bob: Person) -> None:
    claimed, posted = _claimed(settled, alice, bob), _post(settled, alice, bob.address)
    boa.env.time_travel(seconds=DAY)
    with boa.reverts("too_late"):
        settled.settlement.claim(posted, sender=bob.address)
    boa.env.time_travel(seconds=1)
    with boa.reverts("too_late"):
        settled.settlement.complete(claimed, *HASHES, sender=bob.address)


def test_open_job_is_for_active_nodes(settled: Settled, alice: Person, carol: Person) -> None:
    job = _post(settled, alice, ETH)
    with boa.reverts("not_active"):
        settled.settlement.claim(job, sender=carol.address)
    settled.active.set_active(carol.address, True)
    settled.settlement.claim(job, sender=carol.address)
    assert settled.settlement.jobs(job).worker == carol.address


def test_named_job_is_for_its_worker(settled: Settled, alice: Person, bob: Person, carol: Person) -> None:
    job = _post(settled, alice, bob.address)
    settled.active.set_active(carol.address, True)
    with boa.reverts("not_worker"):
        settled.settlement.claim(job, sender=carol.address)
    settled.settlement.claim(job, sender=bob.address)
    with boa.reverts("not_worker"):
        settled.settlement.complete(job, *HASHES, sender=carol.address)


def test_jobs_that_cannot_be_are_refused(settled: Settled, alice: Person, bob: Person) -> None:
    for seconds in (0, 366 * DAY + 1):
        with boa.reverts("bad_deadline"):
            _post(settled, alice, bob.address, seconds=seconds)
    with boa.reverts("no_payment"):
        _post(settled, alice, bob.address, payment=0)
    with boa.reverts("deposit_too_small"):
        _post(settled, alice, bob.address, payment=100 * UNIT + 1)
    with boa.reverts("deposit_too_small"):
        _post(settled, alice, bob.address, token=ETH)
    settled.pause()
    with boa.reverts("paused"):
        _post(settled, alice, bob.address)


CALLS = ("claim", "complete", "accept", "release_job", "cancel", "fail", "expire")
LEGAL = {
    POSTED: {"claim", "cancel", "expire"},
    CLAIMED: {"complete", "fail", "expire"},
    COMPLETED: {"accept", "release_job"},
    FAILED: set(),
    CANCELLED: set(),
}


def _in_state(settled: Settled, state: int, alice: Person, bob: Person) -> bytes:
    if state == CLAIMED:
        return _claimed(settled, alice, bob)
    if state == COMPLETED:
        return _completed(settled, alice, bob)
    job = _claimed(settled, alice, bob) if state == FAILED else _post(settled, alice, bob.address)
    if state == FAILED:
        settled.settlement.fail(job, sender=bob.address)
    if state == CANCELLED:
        settled.settlement.cancel(job, sender=alice.address)
    return job


@pytest.mark.parametrize("state", LEGAL)
def test_what_is_not_legal_in_a_state_changes_nothing(
    settled: Settled, alice: Person, bob: Person, state: int
) -> None:
    job = _in_state(settled, state, alice, bob)
    before = settled.settlement.jobs(job), settled.deposit_of(alice), settled.credit_of(bob)
    boa.env.time_travel(seconds=2 * DAY)
    for call in set(CALLS) - LEGAL[state]:
        sender = alice if call in ("accept", "cancel") else bob
        with boa.reverts("wrong_state"):
            getattr(settled.settlement, call)(
                job, *(HASHES if call == "complete" else ()), sender=sender.address
            )
    assert (settled.settlement.jobs(job), settled.deposit_of(alice), settled.credit_of(bob)) == before


def test_arbiter_gives_the_payment_back(settled: Settled, alice: Person, bob: Person) -> None:
    job = _completed(settled, alice, bob)
    settled.arbiter.freeze_job(job)
    with boa.reverts("disputed"):
        settled.settlement.accept(job, sender=alice.address)
    with boa.reverts("disputed"):
        settled.arbiter.freeze_job(job)
    boa.env.time_travel(seconds=2 * HOUR)
    with boa.reverts("disputed"):
        settled.settlement.release_job(job)
    settled.arbiter.resolve_job(job, True)
    assert (_state(settled, job), settled.deposit_of(alice)) == (FAILED, 100 * UNIT)
    with boa.reverts("not_disputed"):
        settled.arbiter.resolve_job(job, True)


def test_arbiter_lets_the_payment_go(settled: Settled, alice: Person, bob: Person, mallory: Person) -> None:
    job = _completed(settled, alice, bob)
    settled.arbiter.freeze_job(job)
    boa.env.time_travel(seconds=2 * HOUR)
    settled.arbiter.resolve_job(job, False)
    settled.settlement.release_job(job)
    assert settled.credit_of(bob) == PAYMENT * 97 // 100
    for call in (
        lambda: settled.settlement.freeze_job(job),
        lambda: settled.settlement.resolve_job(job, True),
    ):
        with boa.reverts("not_arbiter"):
            call()


def test_arbiter_comes_inside_the_window_of_a_completed_job(
    settled: Settled, alice: Person, bob: Person
) -> None:
    with boa.reverts("wrong_state"):
        settled.arbiter.freeze_job(_claimed(settled, alice, bob))
    job = _completed(settled, alice, bob)
    boa.env.time_travel(seconds=HOUR)
    with boa.reverts("too_late"):
        settled.arbiter.freeze_job(job)


def test_unknown_job_is_refused(settled: Settled, alice: Person) -> None:
    for call in ("claim", "release_job", "expire", "fail"):
        with boa.reverts("wrong_state"):
            getattr(settled.settlement, call)(bytes(32), sender=alice.address)
