"""What a verdict charges a worker with, and when a dispute is about it."""

from dataclasses import replace

import pytest

from skyops_p2p.core.verification.charge import Charge, charges_of, doubts_about
from skyops_p2p.core.verification.check import CheckedVerdict, check_verdict
from tests.vectors.people import ALICE, BOB, MALLORY, NOW, RULES
from tests.vectors.verification_examples import PRICE, Part, candidate, drawn_after, sealed_verdict

WRONG = Part(BOB, output=2)
OTHERS = [Part(who) for who in drawn_after(WRONG)[:2]]
MICRO = 10**12


def decided(**changes: object) -> CheckedVerdict:
    return check_verdict(sealed_verdict([WRONG, *OTHERS], **changes))


def only_charge(checked: CheckedVerdict) -> Charge:
    (found,) = charges_of(checked)
    return found


def test_charge_says_what_both_have_signed() -> None:  # VER-28
    checked = decided()
    found = only_charge(checked)
    assert (found.requester, found.worker) == (candidate(ALICE).wallet, candidate(BOB).wallet)
    assert (found.amount, found.made_unix_s) == (PRICE * MICRO, NOW // 1000)
    assert (found.commitment, found.proof) == (WRONG.commit().digest, checked.digest)


@pytest.mark.parametrize(
    "change",
    [
        {"requester": bytes(20)},
        {"worker": bytes(20)},
        {"amount": 1},
        {"made_unix_s": 1},
        {"commitment": bytes(32)},
        {"proof": bytes(32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_is_said_otherwise_is_another_dispute(change: dict[str, object]) -> None:  # VER-28
    found = only_charge(decided())
    assert replace(found, **change).dispute != found.dispute  # type: ignore[arg-type]


def test_second_verdict_on_the_same_answers_charges_for_the_same_commitment() -> None:  # W6, VER-28
    first, second = only_charge(decided()), only_charge(decided(made_unix_ms=NOW + 1))
    assert first.commitment == second.commitment
    assert first.dispute != second.dispute


def test_nobody_is_charged_who_is_right_or_showed_nothing() -> None:  # VER-28
    right = replace(WRONG, output=1)
    drawn = drawn_after(right)[:2]
    all_right = [right, *map(Part, drawn)]
    silent = [*all_right[:2], replace(all_right[2], is_silent=True)]
    apart = [right, Part(drawn[0], output=2)]
    for parts in (all_right, silent, apart):
        assert list(charges_of(check_verdict(sealed_verdict(parts)))) == []


def test_liar_is_charged_whoever_was_drawn() -> None:  # VER-28
    right = replace(WRONG, output=1)
    first, second = drawn_after(right)[:2]
    liar = Part(second, shows=9)
    checked = check_verdict(sealed_verdict([right, Part(first), liar], candidates=()))
    assert only_charge(checked).commitment == liar.commit().digest


def test_verdict_that_does_not_say_whose_it_is_charges_nobody() -> None:  # VER-28
    assert list(charges_of(decided(binding=None))) == []
    free = replace(WRONG, commit_changes=(("price", 0),))
    parts = [free, *map(Part, drawn_after(free)[:2])]
    assert list(charges_of(check_verdict(sealed_verdict(parts)))) == []


def test_juror_sees_whether_a_dispute_is_about_a_verdict() -> None:  # VER-29
    checked = decided()
    found = only_charge(checked)
    assert doubts_about(checked, found.dispute) == ()
    less = replace(found, amount=found.amount // 2)  # type: ignore[arg-type]
    (doubt,) = doubts_about(checked, less.dispute)
    assert "is not what the verdict says" in doubt
    assert doubts_about(decided(made_unix_ms=NOW + 2000), found.dispute) != ()


def test_verdict_that_does_not_hold_bears_nothing_out() -> None:  # VER-29
    found = only_charge(decided())
    forged = check_verdict(sealed_verdict([WRONG, *OTHERS], MALLORY))
    assert list(charges_of(forged)) == []
    assert any(doubt.startswith("VER-14") for doubt in doubts_about(forged, found.dispute))
    data = sealed_verdict([WRONG, *OTHERS])
    elsewhere = check_verdict(data, network=RULES.network, chain_id=RULES.chain_id + 1)
    assert doubts_about(elsewhere, found.dispute) != ()
