"""VER-9 to VER-15: who is drawn, whose answer stands, and that a verdict in a file can be checked again."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.core.verification.check import check_verdict
from skyops_p2p.core.verification.draw import candidates_of, draw, draw_commitment, seed_of, weight_of
from skyops_p2p.core.verification.verdict import Answer, Outcome, judge
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.wire.messages.verification import ComparisonPart
from tests.vectors.people import ALICE, BOB, CAROL, MALLORY, Person
from tests.vectors.verification_examples import (
    CANDIDATES,
    DAVE,
    ERIN,
    SECRET,
    WORKERS,
    Part,
    candidate,
    drawn_after,
    raw,
    sealed_verdict,
)

ROOTS = {letter: sha256(letter.encode()) for letter in "abcdef"}


def judged(answers: str) -> tuple[str, int | None, str]:
    """Judge answers written as letters: a to f an answer, "-" no reveal, "!" a lie; faults by their first letters."""
    found = judge([Answer(ROOTS.get(letter), has_lied=letter == "!") for letter in answers])
    faults = {"none": ".", "wrong": "w", "lied": "l", "no_reveal": "n"}
    return found.outcome.value, found.winner, "".join(faults[fault] for fault in found.faults)


# --- whose answer stands ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ("aa", ("agreed", 0, "..")),
        ("aaa", ("agreed", 0, "...")),
        ("ab", ("flagged", None, "..")),
        ("aba", ("decided", 0, ".w.")),
        ("baa", ("decided", 1, "w..")),
        ("abc", ("flagged", None, "...")),
        ("abcb", ("flagged", None, "....")),
        ("abcbb", ("decided", 1, "w.w..")),
        ("aabb", ("flagged", None, "....")),
        ("aabba", ("decided", 0, "..ww.")),
        ("a-", ("flagged", None, ".n")),
        ("a", ("flagged", None, ".")),
        ("--", ("flagged", None, "nn")),
        ("aa-", ("decided", 0, "..n")),
        ("aa!", ("decided", 0, "..l")),
        ("!a", ("flagged", None, "l.")),
        ("abcdefa", ("unresolved", None, ".......")),
        ("aaabbb-", ("unresolved", None, "......n")),
        ("aaaabbb", ("decided", 0, "....www")),
    ],
)
def test_majority_of_opened_answers_wins(answers: str, wanted: tuple[str, int | None, str]) -> None:  # VER-13
    assert judged(answers) == wanted


def test_nobody_is_wrong_without_a_majority() -> None:  # VER-13
    for length in range(1, limits.VERIFICATION_WORKERS_MAX + 1):
        for answers in itertools.product("ab-", repeat=length):
            outcome, winner, faults = judged("".join(answers))
            assert ("w" in faults) <= (outcome == "decided")
            assert (winner is None) == (outcome in ("flagged", "unresolved"))
            if winner is not None:
                most = answers.count(answers[winner])
                assert most >= 2
                assert 2 * most > length - answers.count("-")
                assert answers.index(answers[winner]) == winner


def test_tolerance_takes_the_place_of_equal_roots() -> None:  # VER-12, VER-13
    near = {(0, 1), (1, 2)}
    answers = [Answer(ROOTS[letter]) for letter in "abc"]
    found = judge(answers, lambda first, second: (first, second) in near)
    assert (found.outcome, found.winner) == (Outcome.AGREED, 1)


# --- the draw ---------------------------------------------------------------------------------------------------------
def test_draw_needs_both_sides() -> None:  # VER-9
    commits = [Part(BOB).commit().digest, Part(BOB, output=2).commit().digest]
    seeds = {seed_of(commit, secret) for commit in commits for secret in (SECRET, bytes(32))}
    assert len(seeds) == 4
    assert draw_commitment(SECRET) not in seeds
    orders = {tuple(one.peer for one in draw(CANDIDATES, sha256(b"%d" % n))) for n in range(40)}
    assert len(orders) > 30


def test_draw_leaves_out_wallets_that_compute_already() -> None:  # VER-10
    names = [one.peer for one in draw(CANDIDATES, bytes(32), computing={candidate(BOB).wallet})]
    assert sorted(names) == sorted(raw(who) for who in WORKERS if who is not BOB)


def test_one_wallet_is_drawn_once_whatever_its_names() -> None:  # VER-10
    shared = [candidate(who).model_copy(update={"wallet": bytes([1] * 20)}) for who in (BOB, CAROL, MALLORY)]
    found = candidates_of([*shared, candidate(DAVE)])
    assert sorted(one.wallet for one in found) == sorted({bytes([1] * 20), candidate(DAVE).wallet})
    seed = sha256(b"seed")
    alone = draw(candidates_of([shared[0], candidate(DAVE)]), seed)
    assert [one.wallet for one in draw(found, seed)] == [one.wallet for one in alone]


def test_only_the_heaviest_are_candidates() -> None:  # VER-10
    many = [
        candidate(BOB).model_copy(update={"peer": b"%034d" % n, "wallet": b"%020d" % n, "weight": n})
        for n in range(limits.VERDICT_CANDIDATES_MAX + 1)
    ]
    found = candidates_of(reversed(many))
    assert [one.weight for one in found] == list(range(1, limits.VERDICT_CANDIDATES_MAX + 1))


def test_draw_follows_weight() -> None:  # VER-10
    heavy, light = candidate(BOB, 300), candidate(CAROL, 100)
    first = [draw((heavy, light), sha256(b"%d" % n))[0] for n in range(1000)]
    assert 700 <= first.count(heavy) <= 800


def test_weight_is_credible_stake_in_whole_credits() -> None:  # VER-10
    assert weight_of(100_000_000, 500_000) == 50
    assert weight_of(1_000_000, 999_999) == 0
    assert weight_of(2**90, 10**6) == 2**53 - 1


# --- verdicts in files ------------------------------------------------------------------------------------------------
BOBS = Part(BOB)
FIRST, SECOND, THIRD, FOURTH, *_ = drawn_after(BOBS)
THREE = [BOBS, Part(FIRST), Part(SECOND)]


def rules_of(parts: list[Part], who: Person = ALICE, **changes: Any) -> set[str]:
    found = check_verdict(sealed_verdict(parts, who, **changes))
    assert found.holds == (not found.findings)
    assert found.holds or not found.judged
    return {finding.rule for finding in found.findings}


def test_verdict_of_three_who_agree_holds() -> None:  # VER-14, VER-15
    found = check_verdict(sealed_verdict(THREE))
    assert found.holds
    assert (found.winner, found.is_drawn, found.is_reworked) == (0, True, True)
    assert [one.worker for one in found.judged] == [part.who.node_key.peer_id for part in THREE]
    assert [one.wallet for one in found.judged] == [candidate(part.who).wallet for part in THREE]
    assert [one.receipt for one in found.judged] == [part.receipt().digest for part in THREE]
    assert {one.fault for one in found.judged} == {"none"}


def test_wrong_primary_is_named_and_another_answer_stands() -> None:  # VER-13
    parts = [BOBS, Part(FIRST, output=2), Part(SECOND, output=2)]
    found = check_verdict(sealed_verdict(parts))
    assert found.winner == 1
    assert [one.fault for one in found.judged] == ["wrong", "none", "none"]


def test_further_replica_decides() -> None:  # VER-8, VER-13
    parts = [BOBS, Part(FIRST, output=2), Part(SECOND, round=1)]
    found = check_verdict(sealed_verdict(parts))
    assert found.holds
    assert [one.fault for one in found.judged] == ["none", "wrong", "none"]


def test_liar_is_caught_by_its_own_signatures() -> None:  # VER-7, VER-13
    found = check_verdict(sealed_verdict([*THREE[:2], Part(SECOND, shows=9)]))
    assert [one.fault for one in found.judged] == ["none", "none", "lied"]


def test_who_reveals_nothing_is_named() -> None:  # VER-13
    found = check_verdict(sealed_verdict([*THREE[:2], Part(SECOND, is_silent=True)]))
    assert [one.fault for one in found.judged] == ["none", "none", "no_reveal"]
    assert found.judged[2].receipt is None


def changed(part: Part, **changes: Any) -> list[Part]:
    return [*THREE[:2], replace(part, **changes)]


@pytest.mark.parametrize(
    ("parts", "changes", "rule"),
    [
        (THREE, {"outcome": "decided"}, "VER-13"),
        (THREE, {"requester": raw(BOB)}, "IDN-3"),
        (THREE, {"secret": bytes(32)}, "VER-9"),
        (THREE, {"candidates": CANDIDATES[::-1]}, "VER-10"),
        (THREE, {"candidates": (CANDIDATES[0], *CANDIDATES)}, "VER-10"),
        ([BOBS, BOBS], {}, "VER-14"),
        ([BOBS, Part(ALICE)], {}, "VER-4"),
        (changed(THREE[2], commit_changes=(("spec_digest", bytes(32)),)), {}, "VER-14"),
        (changed(THREE[2], commit_changes=(("job_id", BOBS.commit().message.job_id),)), {}, "VER-14"),
        (changed(THREE[2], commit_changes=(("worker", raw(MALLORY)),)), {}, "VER-4"),
        (changed(THREE[2], reveal_changes=(("seen", ()),)), {}, "VER-8"),
        (changed(THREE[2], reveal_changes=(("commit", bytes(32)),)), {}, "VER-7"),
        (changed(THREE[2], receipt_changes=(("code", "execution_timeout"),)), {}, "VER-2"),
        ([*THREE[:2], replace(THREE[2], round=2)], {}, "VER-14"),
        ([replace(part, verification="numeric") for part in THREE], {}, "VER-12"),
    ],
)  # fmt: skip
def test_verdict_that_does_not_hold_names_the_rule(
    parts: list[Part], changes: Any, rule: str
) -> None:  # VER-14
    assert rule in rules_of(parts, **changes)


def test_verdict_signed_by_another_does_not_hold() -> None:  # VER-14
    assert "VER-14" in rules_of(THREE, MALLORY)


def test_faults_that_do_not_follow_do_not_hold() -> None:  # VER-13
    good = check_verdict(sealed_verdict(THREE)).verdict
    assert good is not None
    framed = good.answers[1].model_copy(update={"fault": "wrong"})
    answers = (good.answers[0], framed, good.answers[2])
    assert rules_of(THREE, answers=answers, outcome="decided") == {"VER-13"}


def test_verdict_with_a_flipped_byte_does_not_hold() -> None:  # VER-14
    data = bytearray(sealed_verdict(THREE))
    for place in range(0, len(data), 97):
        changed_data = bytes(data[:place]) + bytes([data[place] ^ 1]) + bytes(data[place + 1 :])
        assert not check_verdict(changed_data).holds, place


def test_verdict_of_another_network_does_not_hold() -> None:  # VER-14
    assert not check_verdict(sealed_verdict(THREE), network="skyops").holds


# --- who was drawn ----------------------------------------------------------------------------------------------------
def test_as_many_may_be_passed_over_as_there_are_replicas() -> None:  # VER-15
    one_over = check_verdict(sealed_verdict([BOBS, Part(SECOND)]))
    assert one_over.holds
    assert one_over.is_drawn
    two_over = check_verdict(sealed_verdict([BOBS, Part(THIRD)]))
    assert two_over.holds
    assert not two_over.is_drawn


def test_replica_that_was_no_candidate_counts_for_nobody_else() -> None:  # VER-15
    without = tuple(one for one in CANDIDATES if one.peer != raw(FIRST))
    found = check_verdict(sealed_verdict([BOBS, Part(FIRST)], candidates=without))
    assert found.holds
    assert not found.is_drawn


def test_verdict_without_bindings_counts_for_nobody_else() -> None:  # VER-15
    whole = check_verdict(sealed_verdict(THREE)).verdict
    assert whole is not None
    bare = tuple(answer.model_copy(update={"binding": None}) for answer in whole.answers)
    found = check_verdict(sealed_verdict(THREE, answers=bare))
    assert found.holds
    assert not found.is_drawn
    assert {one.wallet for one in found.judged} == {None}


def test_answer_of_a_worker_that_was_asked_alone_proves_nothing() -> None:  # VER-8
    early = replace(BOBS, reveal_changes=(("seen", ()),))
    assert "VER-8" in rules_of([early, *THREE[1:]])


# --- numeric ----------------------------------------------------------------------------------------------------------
def comparisons(*within: int) -> tuple[ComparisonPart, ...]:
    pairs = itertools.combinations(range(3), 2)
    return tuple(
        ComparisonPart(first=first, second=second, is_equal=near >= 999, elements=1000, within=near)
        for (first, second), near in zip(pairs, within, strict=True)
    )


def test_numeric_verdict_rests_on_the_requesters_measurements() -> None:  # VER-12, VER-15
    parts = [replace(part, verification="numeric", output=number) for number, part in enumerate(THREE, 1)]
    found = check_verdict(sealed_verdict(parts, comparisons=comparisons(1000, 500, 999 - 500)))
    assert found.holds
    assert not found.is_reworked
    assert [one.fault for one in found.judged] == ["none", "none", "wrong"]


def test_numeric_verdict_may_not_call_equal_what_is_not() -> None:  # VER-12
    parts = [replace(part, verification="numeric", output=number) for number, part in enumerate(THREE, 1)]
    first, *others = comparisons(998, 1000, 1000)
    said = (first.model_copy(update={"is_equal": True}), *others)
    assert "VER-12" in rules_of(parts, comparisons=said)


def test_people_are_enough() -> None:
    assert {FIRST, SECOND, THIRD, FOURTH} <= set(WORKERS) - {BOB}
    assert {DAVE, ERIN} <= set(WORKERS)
