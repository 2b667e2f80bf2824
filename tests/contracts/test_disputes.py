"""Disputes: opening, verdicts, appeals, the payout table, and proofs of equivocation."""

import boa
import pytest

from tests.contracts.chain import DAY, ETH, HOUR, UNIT, Person, deploy, events, person, sha256
from tests.contracts.court import APPEAL, FEE, RIGHT, STAKE, WRONG, Court
from tests.contracts.settled import pay_parts

EVIDENCE = sha256(b"evidence")
PRICE = 20 * UNIT
BOND = 10 * UNIT  # half of the price


@pytest.fixture(scope="module")
def founded() -> Court:
    return Court()


@pytest.fixture
def court(founded: Court, _fresh_chain: None) -> Court:
    return founded


def test_worker_in_the_wrong_loses_stake_and_holdback(
    court: Court, alice: Person, bob: Person, carol: Person
) -> None:
    dispute = court.open(carol, alice, bob, PRICE)
    ((_, fields),) = [entry for entry in events(court.disputes) if entry[0] == "Opened"]
    assert (fields["bond"], fields["amount"], fields["challenger"]) == (BOND, PRICE, carol.address)
    held = pay_parts(PRICE + 2 * UNIT)[1]
    seated = court.draw(dispute)
    assert len(seated) == 7
    supply = court.token.totalSupply()
    court.vote(dispute, [(juror, WRONG) for juror in seated[:5]] + [(seated[5], RIGHT), (seated[6], 0)])
    court.finish(dispute)
    fields = {"dispute": dispute, "verdict": WRONG, "seized": held, "slashed": 5 * PRICE, "juror_pay": FEE}
    assert events(court.disputes) == [("Closed", fields)]
    # of ten prices half is burned; then come the jurors, the victim up to one price, and the challenger
    assert court.stake_of(bob) == STAKE - 10 * PRICE
    assert court.token.totalSupply() == supply - 5 * PRICE
    assert court.owed(alice) == PRICE - held
    assert court.owed(carol) == BOND + 5 * PRICE - 7 * FEE - (PRICE - held)
    assert court.settled.state(alice, bob).held == 0
    assert court.settled.deposit_of(alice) == held
    assert court.registry.nodes(bob.address).holds == 0
    court.disputes.settle_jury(dispute, 0)
    assert [court.owed(juror) for juror in seated] == [FEE] * 5 + [0] * 2
    assert [court.stake_of(juror) for juror in seated[5:]] == [99 * UNIT] * 2
    assert court.owed(person("fund")) == 2 * FEE + 2 * UNIT // 2
    court.assert_nothing_is_left()


def test_challenger_in_the_wrong_loses_the_bond(court: Court, alice: Person, bob: Person) -> None:
    dispute = court.open(alice, alice, bob, PRICE)
    held = court.settled.state(alice, bob).held
    seated = court.draw(dispute)
    supply = court.token.totalSupply()
    court.vote(dispute, [(juror, RIGHT) for juror in seated])
    court.finish(dispute)
    rest = BOND - 7 * FEE
    assert (court.owed(bob), court.owed(alice)) == (rest // 2, 0)
    assert court.token.totalSupply() == supply - (rest - rest // 2)
    assert court.stake_of(bob) == STAKE
    assert court.settled.state(alice, bob).held == held
    court.settled.settlement.release(alice.address, bob.address, court.token.address)
    court.assert_nothing_is_left((dispute, 0))


def test_tie_and_majority(court: Court, alice: Person, bob: Person) -> None:
    dispute = court.open(alice, alice, bob, PRICE)
    seated = court.draw(dispute)
    votes = (
        [(juror, WRONG) for juror in seated[:3]]
        + [(juror, RIGHT) for juror in seated[3:6]]
        + [(seated[6], 0)]
    )
    court.vote(dispute, votes)
    assert events(court.disputes) == [("Ruled", {"dispute": dispute, "round": 0, "verdict": RIGHT})]


@pytest.mark.parametrize("count", [0, 2])
def test_without_enough_jurors_nothing_happens(court: Court, alice: Person, bob: Person, count: int) -> None:
    dispute = court.open(alice, alice, bob, PRICE)
    court.draw(dispute, court.jurors[:count])
    assert court.disputes.cases(dispute).is_closed
    assert (court.owed(alice), court.stake_of(bob)) == (BOND, STAKE)
    court.assert_nothing_is_left((dispute, 0))
    assert all(court.stake_of(juror) == 100 * UNIT for juror in court.jurors)


def test_jurors_who_all_keep_silent_lose_and_nobody_else(court: Court, alice: Person, bob: Person) -> None:
    dispute = court.open(alice, alice, bob, PRICE)
    seated = court.draw(dispute)
    court.vote(dispute, [(juror, 0) for juror in seated])
    assert court.disputes.cases(dispute).is_closed
    assert (court.owed(alice), court.stake_of(bob)) == (BOND, STAKE)
    court.disputes.settle_jury(dispute, 0)
    assert [court.stake_of(juror) for juror in seated] == [99 * UNIT] * 7
    assert court.owed(person("fund")) == 7 * UNIT // 2
    court.assert_nothing_is_left()


def _ruled(court: Court, alice: Person, bob: Person, choice: int) -> bytes:
    dispute = court.open(alice, alice, bob, PRICE)
    court.vote(dispute, [(juror, choice) for juror in court.draw(dispute)])
    return dispute


def test_appeal_overturns_and_the_bond_comes_back(court: Court, alice: Person, bob: Person) -> None:
    dispute = _ruled(court, alice, bob, WRONG)
    with boa.reverts("not_loser"):
        court.disputes.appeal(dispute, EVIDENCE, sender=alice.address)
    court.disputes.appeal(dispute, EVIDENCE, sender=bob.address)
    assert court.disputes.juries(court.jury(dispute, 1)).size == 15
    assert court.disputes.appeals(dispute, 1).bond == 2 * BOND
    court.vote(dispute, [(juror, RIGHT) for juror in court.draw(dispute, number=1)], number=1)
    court.finish(dispute)
    assert court.stake_of(bob) == STAKE
    pay = court.disputes.cases(dispute).juror_pay
    rest = BOND - 16 * pay
    assert pay == BOND // 16  # seven and nine jurors, and a bond that is too small for all
    assert court.owed(bob) == 2 * BOND + rest // 2
    court.assert_nothing_is_left((dispute, 0), (dispute, 1))


def test_appeal_that_fails_costs_its_bond(court: Court, alice: Person, bob: Person, carol: Person) -> None:
    dispute = _ruled(court, alice, bob, RIGHT)
    for stranger in (bob, carol):
        with boa.reverts("not_loser"):
            court.disputes.appeal(dispute, EVIDENCE, sender=stranger.address)
    court.disputes.appeal(dispute, EVIDENCE, sender=alice.address)
    court.vote(dispute, [(juror, RIGHT) for juror in court.draw(dispute, number=1)], number=1)
    court.finish(dispute)
    rest = 3 * BOND - 16 * FEE
    assert (court.owed(alice), court.owed(bob)) == (0, rest // 2)
    court.assert_nothing_is_left((dispute, 0), (dispute, 1))


def test_appeal_that_finds_no_jury_changes_nothing(court: Court, alice: Person, bob: Person) -> None:
    dispute = _ruled(court, alice, bob, WRONG)
    court.disputes.appeal(dispute, EVIDENCE, sender=bob.address)
    court.draw(dispute, [], number=1)
    assert court.disputes.cases(dispute).is_closed
    assert court.stake_of(bob) == STAKE - 10 * PRICE
    assert court.owed(bob) == 2 * BOND
    court.assert_nothing_is_left((dispute, 0), (dispute, 1))


def test_two_appeals_and_not_three(court: Court, alice: Person, bob: Person) -> None:
    dispute = _ruled(court, alice, bob, WRONG)
    court.disputes.appeal(dispute, EVIDENCE, sender=bob.address)
    court.vote(dispute, [(juror, RIGHT) for juror in court.draw(dispute, number=1)], number=1)
    court.disputes.appeal(dispute, EVIDENCE, sender=alice.address)
    assert court.disputes.juries(court.jury(dispute, 2)).size == 31
    court.vote(dispute, [(juror, WRONG) for juror in court.draw(dispute, number=2)], number=2)
    with boa.reverts("no_more_appeals"):
        court.disputes.appeal(dispute, EVIDENCE, sender=bob.address)
    court.disputes.close(dispute)  # at once
    assert court.stake_of(bob) == STAKE - 10 * PRICE
    court.assert_nothing_is_left((dispute, 0), (dispute, 1), (dispute, 2))


def test_appeal_comes_in_time_or_not_at_all(court: Court, alice: Person, bob: Person) -> None:
    dispute = _ruled(court, alice, bob, WRONG)
    with boa.reverts("too_soon"):
        court.disputes.close(dispute)
    boa.env.time_travel(seconds=APPEAL)
    with boa.reverts("wrong_phase"):
        court.disputes.appeal(dispute, EVIDENCE, sender=bob.address)
    court.disputes.close(dispute)
    with boa.reverts("wrong_phase"):
        court.disputes.close(dispute)
    with boa.reverts("wrong_phase"):
        court.disputes.rule(dispute)


@pytest.mark.parametrize(("choice", "back"), [(WRONG, 100 * UNIT), (RIGHT, 80 * UNIT)])
def test_job_in_escrow_is_judged(court: Court, alice: Person, bob: Person, choice: int, back: int) -> None:
    settlement, token = court.settled.settlement, court.token.address
    court.settled.deposit(alice, 100 * UNIT)
    deadline = boa.env.timestamp + DAY
    job = settlement.post_job(bytes(32), token, PRICE, bob.address, deadline, sender=alice.address)
    settlement.claim(job, sender=bob.address)
    with boa.reverts("wrong_state"):
        court.disputes.open_job(job, EVIDENCE, sender=alice.address)
    settlement.complete(job, bytes(32), bytes(32), bytes(32), sender=bob.address)
    dispute = court.disputes.open_job(job, EVIDENCE, sender=alice.address)
    assert dispute == job
    court.vote(dispute, [(juror, choice) for juror in court.draw(dispute)])
    court.finish(dispute)
    assert court.settled.deposit_of(alice) == back
    if choice == RIGHT:
        settlement.release_job(job)
    court.assert_nothing_is_left((dispute, 0))


def test_disputes_that_cannot_be_are_refused(
    court: Court, alice: Person, bob: Person, mallory: Person
) -> None:
    proof = court.paid_job(alice, bob, PRICE)
    where = (alice.address, bob.address, court.token.address)
    with boa.reverts("no_such_receipt"):
        court.disputes.open_receipt(
            *where, proof[0]._replace(amount=1), *proof[1:], EVIDENCE, sender=alice.address
        )
    with boa.reverts("is_party"):
        court.disputes.open_receipt(*where, *proof, EVIDENCE, sender=bob.address)
    with boa.reverts("allowance_too_small"):
        court.disputes.open_receipt(*where, *proof, EVIDENCE, sender=mallory.address)
    court.disputes.open_receipt(*where, *proof, EVIDENCE, sender=alice.address)
    with boa.reverts("disputed_already"):
        court.disputes.open_receipt(*where, *proof, EVIDENCE, sender=alice.address)
    boa.env.time_travel(seconds=HOUR)
    with boa.reverts("too_late"):
        court.disputes.open_receipt(*where, *proof, EVIDENCE, sender=alice.address)
    boa.env.time_travel(seconds=7 * DAY)
    with boa.reverts("too_old"):
        court.disputes.open_receipt(*where, *proof, EVIDENCE, sender=alice.address)


def test_receipt_over_more_than_was_ever_paid_is_refused(court: Court, alice: Person, bob: Person) -> None:
    proof = court.paid_job(alice, bob, PRICE)
    court.settled.deposit(alice, UNIT)
    root = proof[0]._replace(amount=100 * UNIT).leaf  # a tree of one leaf
    court.settled.redeem(alice, bob, PRICE + 3 * UNIT, root=root)
    where = (alice.address, bob.address, court.token.address)
    with boa.reverts("amount_too_large"):
        court.disputes.open_receipt(
            *where, proof[0]._replace(amount=100 * UNIT), 0, 1, [], EVIDENCE, sender=alice.address
        )


def test_bond_covers_the_jury_and_half_of_the_value(court: Court, alice: Person) -> None:
    token = court.token.address
    assert court.disputes.bond_for(token, 100 * UNIT) == 50 * UNIT
    assert court.disputes.bond_for(token, UNIT) == 7 * FEE
    assert court.disputes.bond_for(ETH, UNIT) == 500 * UNIT
    assert court.disputes.bond_for(alice.address, 10**30) == 7 * FEE  # of unknown worth


def test_evidence_is_added_while_the_dispute_is_open(court: Court, alice: Person, bob: Person) -> None:
    with boa.reverts("wrong_phase"):
        court.disputes.add_evidence(bytes(32), EVIDENCE)
    dispute = court.open(alice, alice, bob, PRICE)
    court.disputes.add_evidence(dispute, EVIDENCE, sender=bob.address)
    assert events(court.disputes) == [
        ("EvidenceAdded", {"dispute": dispute, "by": bob.address, "evidence": EVIDENCE})
    ]
    court.draw(dispute, [])
    with boa.reverts("wrong_phase"):
        court.disputes.add_evidence(dispute, EVIDENCE)


def test_stake_stays_while_a_dispute_is_open(court: Court, alice: Person, bob: Person) -> None:
    court.registry.unstake(STAKE, sender=bob.address)
    boa.env.time_travel(seconds=14 * DAY)
    dispute = court.open(alice, alice, bob, PRICE)
    with boa.reverts("disputed"):
        court.registry.withdraw_stake(bob.address, sender=bob.address)
    court.draw(dispute, [])
    court.registry.withdraw_stake(bob.address, sender=bob.address)


def test_jury_is_settled_once_and_after_the_end(court: Court, alice: Person, bob: Person) -> None:
    dispute = _ruled(court, alice, bob, RIGHT)
    with boa.reverts("wrong_phase"):
        court.disputes.settle_jury(dispute, 0)
    court.finish(dispute)
    with boa.reverts("wrong_phase"):
        court.disputes.settle_jury(dispute, 1)
    court.disputes.settle_jury(dispute, 0)
    with boa.reverts("settled_already"):
        court.disputes.settle_jury(dispute, 0)
    with boa.reverts("bad_address"):
        court.disputes.collect(ETH)


LANE = sha256(b"receipts")
CONTENTS = [sha256(b"the one"), sha256(b"the other")]


def _two_signatures(
    court: Court, signer: Person, contents: list[bytes], sequence: int = 7
) -> tuple[list[bytes], list[bytes]]:
    signed = [court.statement(signer, LANE, sequence, content) for content in contents]
    return [r for r, _ in signed], [vs for _, vs in signed]


def test_two_signatures_over_one_place_cost_everything(court: Court, bob: Person, carol: Person) -> None:
    court.registry.unstake(STAKE // 2, sender=bob.address)
    proof = (LANE, 7, CONTENTS, *_two_signatures(court, bob, CONTENTS))
    supply = court.token.totalSupply()
    assert court.disputes.prove_equivocation(bob.address, *proof, sender=carol.address) == STAKE // 2
    assert [name for name, _ in events(court.disputes)] == ["Equivocated"]
    assert (court.stake_of(bob), court.registry.nodes(bob.address).state) == (0, 4)
    assert court.token.totalSupply() == supply - STAKE // 2
    with boa.reverts("nothing_at_stake"):
        court.disputes.prove_equivocation(bob.address, *proof, sender=carol.address)
    court.assert_nothing_is_left()


def test_what_is_no_equivocation_slashes_nobody(court: Court, bob: Person, mallory: Person) -> None:
    rs, vss = _two_signatures(court, bob, CONTENTS)
    prove = court.disputes.prove_equivocation
    with boa.reverts("same_content"):
        prove(bob.address, LANE, 7, [CONTENTS[0]] * 2, [rs[0]] * 2, [vss[0]] * 2)
    for lane, sequence, account in ((EVIDENCE, 7, bob), (LANE, 8, bob), (LANE, 7, mallory)):
        with boa.reverts("bad_signature"):
            prove(account.address, lane, sequence, CONTENTS, rs, vss)
    forged = _two_signatures(court, mallory, CONTENTS)
    with boa.reverts("bad_signature"):
        prove(bob.address, LANE, 7, CONTENTS, [rs[0], forged[0][1]], [vss[0], forged[1][1]])
    with boa.reverts("bad_signature"):
        prove(ETH, LANE, 7, CONTENTS, [bytes(32)] * 2, [bytes(32)] * 2)
    assert court.stake_of(bob) == STAKE


def test_deployment_needs_its_addresses(court: Court) -> None:
    good = [court.settled.parameters.address, court.registry.address, court.settled.settlement.address]
    for position in range(3):
        with boa.reverts("bad_address"):
            deploy("Disputes", *[ETH if n == position else address for n, address in enumerate(good)])
