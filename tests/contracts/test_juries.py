"""Disputes: how a jury is drawn, commits and reveals."""

import boa
import pytest

from tests.contracts.chain import HOUR, UNIT, Person, events, person
from tests.contracts.court import (
    COMMIT,
    DRAW,
    FINDING,
    JUROR_STAKE,
    REVEAL,
    RIGHT,
    SALT,
    SEAT,
    WRONG,
    Court,
    best_ticket,
    commitment,
)

PRICE = 20 * UNIT


@pytest.fixture(scope="module")
def founded() -> Court:
    return Court()


@pytest.fixture
def court(founded: Court, _fresh_chain: None) -> Court:
    return founded


@pytest.fixture
def dispute(court: Court, alice: Person, bob: Person) -> bytes:
    return court.open(alice, alice, bob, PRICE)


def _seeded(court: Court, dispute: bytes) -> bytes:
    jury = court.jury(dispute)
    boa.env.time_travel(blocks=3)
    court.disputes.fix_seed(jury)
    return bytes(court.disputes.juries(jury).seed)


def test_best_tickets_get_the_seats_in_any_order(court: Court, dispute: bytes) -> None:
    seed = _seeded(court, dispute)
    ranked = sorted(court.jurors, key=lambda juror: best_ticket(seed, juror))
    for order in (ranked, ranked[::-1]):
        with boa.env.anchor():
            for juror in order:
                if order is ranked and juror in ranked[7:]:
                    with boa.reverts("seats_taken"):
                        court.disputes.enrol(dispute, best_ticket(seed, juror)[1], sender=juror.address)
                else:
                    court.disputes.enrol(dispute, best_ticket(seed, juror)[1], sender=juror.address)
            seated = set(court.disputes.seats_of(court.jury(dispute)))
            assert seated == {juror.address for juror in ranked[:7]}
            locked = [court.registry.nodes(juror.address).locked for juror in ranked]
            assert locked == [SEAT] * 7 + [0] * 2


def test_even_number_loses_its_worst(court: Court, dispute: bytes) -> None:
    seated = court.draw(dispute, court.jurors[:4])
    seed = court.disputes.juries(court.jury(dispute)).seed
    ranked = sorted(court.jurors[:4], key=lambda juror: best_ticket(seed, juror))
    assert set(seated) == set(ranked[:3])
    assert court.registry.nodes(ranked[3].address).locked == 0


def test_seed_comes_from_a_block_after_the_opening(court: Court, dispute: bytes) -> None:
    jury = court.jury(dispute)
    with boa.reverts("wrong_phase"):
        court.disputes.enrol(dispute, 0, sender=court.jurors[0].address)
    with boa.reverts("too_soon"):
        court.disputes.fix_seed(jury)
    seed = _seeded(court, dispute)
    assert seed != bytes(32)
    with boa.reverts("wrong_phase"):
        court.disputes.fix_seed(jury)
    with boa.reverts("wrong_phase"):
        court.disputes.fix_seed(bytes(32))


def test_seed_that_was_left_too_long_is_taken_from_a_later_block(court: Court, dispute: bytes) -> None:
    jury = court.jury(dispute)
    boa.env.time_travel(blocks=300)
    court.disputes.fix_seed(jury)
    assert [name for name, _ in events(court.disputes)] == ["JuryCalled"]
    found = court.disputes.juries(jury)
    assert found.seed == bytes(32)
    assert found.draw_ends == boa.env.timestamp + DRAW
    _seeded(court, dispute)


def test_jurors_who_cannot_be_are_refused(
    court: Court, dispute: bytes, alice: Person, bob: Person, mallory: Person
) -> None:
    seed = _seeded(court, dispute)
    for party in (alice, bob):
        with boa.reverts("is_party"):
            court.disputes.enrol(dispute, 0, sender=party.address)
    with boa.reverts("no_juror"):
        court.disputes.enrol(dispute, 0, sender=mallory.address)
    court.stake(mallory, JUROR_STAKE)
    with boa.reverts("no_juror"):  # registered when the seed was known already
        court.disputes.enrol(dispute, 0, sender=mallory.address)
    juror = court.jurors[0]
    with boa.reverts("no_such_ticket"):
        court.disputes.enrol(dispute, JUROR_STAKE // SEAT, sender=juror.address)
    court.disputes.enrol(dispute, best_ticket(seed, juror)[1], sender=juror.address)
    with boa.reverts("seated_already"):
        court.disputes.enrol(dispute, 0, sender=juror.address)
    boa.env.time_travel(seconds=DRAW)
    with boa.reverts("wrong_phase"):
        court.disputes.enrol(dispute, 0, sender=court.jurors[1].address)


def test_draw_is_closed_once_when_its_time_is_over(court: Court, dispute: bytes) -> None:
    with boa.reverts("wrong_phase"):
        court.disputes.close_draw(dispute)
    court.draw(dispute)
    with boa.reverts("wrong_phase"):
        court.disputes.close_draw(dispute)
    with boa.reverts("wrong_phase"):
        court.disputes.close_draw(bytes(32))


def test_jurors_commit_once_and_in_time(court: Court, dispute: bytes, mallory: Person) -> None:
    jury = court.jury(dispute)
    juror, other = court.draw(dispute)[:2]
    hidden = commitment(jury, juror, WRONG)
    with boa.reverts("not_seated"):
        court.disputes.commit(jury, hidden, sender=mallory.address)
    with boa.reverts("bad_commitment"):
        court.disputes.commit(jury, bytes(32), sender=juror.address)
    court.disputes.commit(jury, hidden, sender=juror.address)
    assert events(court.disputes) == [("VoteCommitted", {"jury": jury, "juror": juror.address})]
    with boa.reverts("committed_already"):
        court.disputes.commit(jury, hidden, sender=juror.address)
    with boa.reverts("wrong_phase"):
        court.disputes.reveal(jury, WRONG, FINDING, SALT, sender=juror.address)
    boa.env.time_travel(seconds=COMMIT)
    with boa.reverts("wrong_phase"):
        court.disputes.commit(jury, commitment(jury, other, WRONG), sender=other.address)


def test_only_what_was_committed_is_revealed(court: Court, dispute: bytes, mallory: Person) -> None:
    jury = court.jury(dispute)
    juror, thief, silent = court.draw(dispute)[:3]
    hidden = commitment(jury, juror, WRONG)
    court.disputes.commit(jury, hidden, sender=juror.address)
    court.disputes.commit(jury, hidden, sender=thief.address)  # a copied commitment opens for nobody else
    boa.env.time_travel(seconds=COMMIT)
    for vote in (0, 3):
        with boa.reverts("bad_vote"):
            court.disputes.reveal(jury, vote, FINDING, SALT, sender=juror.address)
    for sender in (thief, silent, mallory):
        with boa.reverts("bad_commitment"):
            court.disputes.reveal(jury, WRONG, FINDING, SALT, sender=sender.address)
    for vote, finding, salt in ((RIGHT, FINDING, SALT), (WRONG, SALT, SALT), (WRONG, FINDING, FINDING)):
        with boa.reverts("bad_commitment"):
            court.disputes.reveal(jury, vote, finding, salt, sender=juror.address)
    court.disputes.reveal(jury, WRONG, FINDING, SALT, sender=juror.address)
    fields = {"jury": jury, "juror": juror.address, "vote": WRONG, "finding": FINDING}
    assert events(court.disputes) == [("VoteRevealed", fields)]
    with boa.reverts("revealed_already"):
        court.disputes.reveal(jury, WRONG, FINDING, SALT, sender=juror.address)
    with boa.reverts("wrong_phase"):
        court.disputes.rule(dispute)
    boa.env.time_travel(seconds=REVEAL)
    with boa.reverts("wrong_phase"):
        court.disputes.reveal(jury, WRONG, FINDING, SALT, sender=juror.address)
    court.disputes.rule(dispute)
    assert court.disputes.cases(dispute).verdict == WRONG


def test_nothing_is_ruled_before_a_jury_was_drawn(court: Court, dispute: bytes) -> None:
    boa.env.time_travel(seconds=24 * HOUR)
    for unknown in (dispute, bytes(32)):
        with boa.reverts("wrong_phase"):
            court.disputes.rule(unknown)
    with boa.reverts("wrong_phase"):
        court.disputes.close(dispute)
    assert court.registry.nodes(person("bob").address).holds == 1


def test_jury_whose_draw_was_closed_is_not_drawn_again(court: Court, dispute: bytes) -> None:
    """Who enrolled after the juries were settled would have the seat's stake locked for good."""
    boa.env.time_travel(seconds=DRAW)
    boa.env.time_travel(blocks=300)
    court.disputes.close_draw(dispute)
    court.disputes.settle_jury(dispute, 0)
    with boa.reverts("wrong_phase"):
        court.disputes.fix_seed(court.jury(dispute))
