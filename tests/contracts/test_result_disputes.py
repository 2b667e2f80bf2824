"""Disputes over results that a verdict calls wrong: only the stake answers for them, and once."""

import boa
import pytest

from tests.contracts.chain import DAY, ETH, UNIT, Person, events, person, sha256
from tests.contracts.court import APPEAL, FEE, MADE_AGO, RIGHT, STAKE, WRONG, Court

COMMIT, PROOF = sha256(b"commitment"), sha256(b"verdict")
VALUE = 20 * UNIT
BOND = 10 * UNIT  # half of the value
LEAST = 14 * UNIT // 10  # ten of it, half of which is burned, pay seven jurors


@pytest.fixture(scope="module")
def founded() -> Court:
    return Court()


@pytest.fixture
def court(founded: Court, _fresh_chain: None) -> Court:
    return founded


def _decide(court: Court, dispute: bytes, choice: int) -> None:
    court.vote(dispute, [(juror, choice) for juror in court.draw(dispute)])
    court.finish(dispute)


def test_worker_of_a_wrong_result_pays_jury_victim_and_challenger(
    court: Court, alice: Person, bob: Person, carol: Person
) -> None:
    supply = court.token.totalSupply()
    dispute = court.open_result(carol, (alice, bob, VALUE), COMMIT, PROOF)
    ((_, fields),) = [entry for entry in events(court.disputes) if entry[0] == "Opened"]
    assert (fields["bond"], fields["amount"], fields["evidence"]) == (BOND, VALUE, PROOF)
    assert (fields["worker"], fields["challenger"], fields["job"]) == (bob.address, carol.address, bytes(32))
    noted = court.disputes.results(dispute)
    assert (noted.commitment, noted.proof) == (COMMIT, PROOF)
    assert noted.made_at == court.disputes.cases(dispute).opened_at - MADE_AGO
    assert court.registry.nodes(bob.address).holds == 1
    assert court.settled.state(alice, bob).disputes == 0  # there is no money of a pair to freeze
    _decide(court, dispute, WRONG)
    closed = {"dispute": dispute, "verdict": WRONG, "seized": 0, "slashed": 5 * VALUE, "juror_pay": FEE}
    assert events(court.disputes) == [("Closed", closed)]
    assert court.stake_of(bob) == STAKE - 10 * VALUE
    assert court.token.totalSupply() == supply - 5 * VALUE  # W4
    assert court.owed(alice) == VALUE
    assert court.owed(carol) == BOND + 5 * VALUE - 7 * FEE - VALUE
    assert court.registry.nodes(bob.address).holds == 0
    court.assert_nothing_is_left((dispute, 0))


def test_false_accusation_costs_its_bond(court: Court, alice: Person, bob: Person) -> None:
    supply = court.token.totalSupply()
    dispute = court.open_result(alice, (alice, bob, VALUE), COMMIT, PROOF)
    _decide(court, dispute, RIGHT)
    rest = BOND - 7 * FEE
    assert (court.stake_of(bob), court.owed(bob), court.owed(alice)) == (STAKE, rest // 2, 0)
    assert court.token.totalSupply() == supply - (rest - rest // 2)
    assert not court.disputes.is_charged(COMMIT)
    court.assert_nothing_is_left((dispute, 0))


def test_who_accuses_itself_through_a_friend_loses_more_than_comes_back(
    court: Court, alice: Person, bob: Person, carol: Person
) -> None:  # W4
    friends = (alice, bob, carol)
    before = sum(court.stake_of(one) + int(court.token.balanceOf(one.address)) for one in friends)
    dispute = court.open_result(carol, (alice, bob, VALUE), COMMIT, PROOF)
    _decide(court, dispute, WRONG)
    for one in friends:
        court.disputes.collect(one.address, sender=one.address)
    after = sum(court.stake_of(one) + int(court.token.balanceOf(one.address)) for one in friends)
    assert before - after == 5 * VALUE + 7 * FEE


def test_worker_is_charged_for_a_result_once(court: Court, alice: Person, bob: Person, carol: Person) -> None:
    """W6: the requester signs a second verdict over the same commitment, or opens both before either is closed."""
    first = court.open_result(alice, (alice, bob, VALUE), COMMIT, PROOF)
    court.vote(first, [(juror, WRONG) for juror in court.draw(first)])
    second = court.open_result(carol, (alice, bob, VALUE), COMMIT, sha256(b"another verdict"))
    court.vote(second, [(juror, WRONG) for juror in court.draw(second)])
    court.finish(first)
    assert court.disputes.is_charged(COMMIT)
    court.disputes.close(second)
    closed = {"dispute": second, "verdict": WRONG, "seized": 0, "slashed": 0, "juror_pay": 0}
    assert events(court.disputes) == [("Closed", closed)]
    assert court.stake_of(bob) == STAKE - 10 * VALUE
    assert court.owed(carol) == BOND  # as it came
    with boa.reverts("charged_already"):
        court.open_result(alice, (alice, bob, VALUE), COMMIT, sha256(b"a third one"))
    court.open_result(alice, (alice, bob, VALUE), sha256(b"another result"), PROOF)
    court.disputes.settle_jury(first, 0)
    court.disputes.settle_jury(second, 0)
    assert court.registry.nodes(bob.address).holds == 1


def test_one_verdict_is_disputed_once_for_a_worker(court: Court, alice: Person, bob: Person) -> None:
    made_at = boa.env.timestamp
    claim = (alice.address, bob.address, VALUE, made_at, COMMIT, PROOF)
    dispute = bytes(court.disputes.open_result(*claim, sender=alice.address))
    with boa.reverts("disputed_already"):
        court.disputes.open_result(*claim, sender=alice.address)
    _decide(court, dispute, RIGHT)
    with boa.reverts("disputed_already"):
        court.disputes.open_result(*claim, sender=alice.address)


def test_false_claim_of_a_friend_stands_in_nobodys_way(
    court: Court, alice: Person, bob: Person, carol: Person
) -> None:
    """A worker in the wrong has a friend accuse it of the same result for less, or by a verdict that is none."""
    for amount, proof in ((LEAST, PROOF), (VALUE, sha256(b"no verdict"))):
        _decide(court, court.open_result(carol, (alice, bob, amount), COMMIT, proof), RIGHT)
    dispute = court.open_result(alice, (alice, bob, VALUE), COMMIT, PROOF)
    _decide(court, dispute, WRONG)
    assert STAKE - court.stake_of(bob) == 10 * VALUE


def test_requester_may_appeal_where_somebody_else_has_lost_its_case(
    court: Court, alice: Person, bob: Person, carol: Person
) -> None:
    dispute = court.open_result(carol, (alice, bob, VALUE), COMMIT, PROOF)
    court.vote(dispute, [(juror, RIGHT) for juror in court.draw(dispute)])
    with boa.reverts("not_loser"):
        court.disputes.appeal(dispute, PROOF, sender=bob.address)
    court.disputes.appeal(dispute, PROOF, sender=alice.address)
    court.vote(dispute, [(juror, WRONG) for juror in court.draw(dispute, number=1)], number=1)
    court.finish(dispute)
    assert court.stake_of(bob) == STAKE - 10 * VALUE
    assert court.owed(alice) == 2 * BOND + VALUE
    court.assert_nothing_is_left((dispute, 0), (dispute, 1))


@pytest.mark.parametrize("count", [0, 2])
def test_without_a_jury_nobody_is_charged(court: Court, alice: Person, bob: Person, count: int) -> None:
    dispute = court.open_result(alice, (alice, bob, VALUE), COMMIT, PROOF)
    court.draw(dispute, court.jurors[:count])
    assert court.disputes.cases(dispute).is_closed
    assert (court.owed(alice), court.stake_of(bob)) == (BOND, STAKE)
    assert not court.disputes.is_charged(COMMIT)
    court.assert_nothing_is_left((dispute, 0))


def test_value_counts_up_to_what_the_worker_has_at_stake(court: Court, alice: Person, bob: Person) -> None:
    """The bond follows; what is slashed is all there is, either way."""
    court.registry.unstake(STAKE // 2, sender=bob.address)  # what is unbonding answers as well
    dispute = court.open_result(alice, (alice, bob, 50 * STAKE), COMMIT, PROOF)
    case = court.disputes.cases(dispute)
    assert (case.amount, case.worth, case.bond) == (50 * STAKE, STAKE, STAKE // 2)
    _decide(court, dispute, WRONG)
    node = court.registry.nodes(bob.address)
    assert (node.stake, node.unbonding) == (0, 0)
    with boa.reverts("nothing_at_stake"):
        court.open_result(alice, (alice, bob, VALUE), sha256(b"another result"), PROOF)


def test_jury_is_called_only_where_the_loser_can_pay_it(
    court: Court, alice: Person, bob: Person, carol: Person, mallory: Person
) -> None:
    with boa.reverts("amount_too_small"):
        court.open_result(alice, (alice, bob, LEAST - 1), COMMIT, PROOF)
    for worker in (alice, mallory):  # never registered
        with boa.reverts("nothing_at_stake"):
            court.open_result(carol, (alice, worker, VALUE), COMMIT, PROOF)
    dispute = court.open_result(alice, (alice, bob, LEAST), COMMIT, PROOF)
    assert court.disputes.cases(dispute).bond == 7 * FEE
    _decide(court, dispute, WRONG)
    assert court.disputes.cases(dispute).juror_pay == FEE
    court.assert_nothing_is_left((dispute, 0))


def test_accusations_that_cannot_be_are_refused(
    court: Court, alice: Person, bob: Person, mallory: Person
) -> None:
    with boa.reverts("is_party"):
        court.open_result(bob, (alice, bob, VALUE), COMMIT, PROOF)
    with boa.reverts("allowance_too_small"):
        court.open_result(mallory, (alice, bob, VALUE), COMMIT, PROOF)
    for commit, proof in ((bytes(32), PROOF), (COMMIT, bytes(32))):
        with boa.reverts("bad_result"):
            court.open_result(alice, (alice, bob, VALUE), commit, proof)
    now = boa.env.timestamp
    for made_at, code in ((now + 60, "too_soon"), (now - 7 * DAY - 60, "too_old")):
        claim = (alice.address, bob.address, VALUE, made_at, COMMIT, PROOF)
        with boa.reverts(code):
            court.disputes.open_result(*claim, sender=alice.address)
    court.open_result(alice, (alice, bob, VALUE), COMMIT, PROOF)


def test_stake_stays_while_a_result_is_disputed(court: Court, alice: Person, bob: Person) -> None:
    court.registry.unstake(STAKE, sender=bob.address)
    boa.env.time_travel(seconds=14 * DAY)
    dispute = court.open_result(alice, (alice, bob, VALUE), COMMIT, PROOF)
    with boa.reverts("disputed"):
        court.registry.withdraw_stake(bob.address, sender=bob.address)
    _decide(court, dispute, WRONG)
    assert court.registry.withdraw_stake(bob.address, sender=bob.address) == STAKE - 10 * VALUE


def test_parties_sit_in_no_jury_of_theirs(court: Court, bob: Person, carol: Person) -> None:
    requester, challenger = court.jurors[:2]
    court.token.transfer(challenger.address, BOND)
    court.token.approve(court.disputes.address, BOND, sender=challenger.address)
    dispute = court.open_result(challenger, (requester, bob, VALUE), COMMIT, PROOF)
    boa.env.time_travel(blocks=3)
    court.disputes.fix_seed(court.jury(dispute))
    for party in (requester, challenger, bob):
        with boa.reverts("is_party"):
            court.disputes.enrol(dispute, 0, sender=party.address)
    court.disputes.enrol(dispute, 0, sender=court.jurors[2].address)


def test_slash_of_a_result_leaves_the_pairs_money_alone(court: Court, alice: Person, bob: Person) -> None:
    """A receipt of the same pair is disputed meanwhile, and released by its own verdict alone."""
    held_in = court.open(alice, alice, bob, VALUE)
    held = court.settled.state(alice, bob).held
    dispute = court.open_result(alice, (alice, bob, VALUE), COMMIT, PROOF)
    _decide(court, dispute, WRONG)
    assert (court.settled.state(alice, bob).held, court.settled.state(alice, bob).disputes) == (held, 1)
    court.draw(held_in, [])
    assert court.settled.state(alice, bob).disputes == 0
    boa.env.time_travel(seconds=APPEAL)
    court.settled.settlement.release(alice.address, bob.address, court.token.address)
    assert court.owed(person("mallory")) == 0
    assert court.disputes.owed(ETH) == 0
