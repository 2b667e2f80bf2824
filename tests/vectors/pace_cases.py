"""Vectors of efficiency: what a job took beside equal answers, with their class indices and metered times."""

from dataclasses import replace
from typing import Any

from skyops_p2p.core.reputation.deals import Check, Deal
from skyops_p2p.core.reputation.pace import Paces, ratio_of
from tests.vectors.reputation_cases import SKY, check, pair_case, read, signed

Case = dict[str, Any]


def pace_cases() -> list[Case]:
    both = [signed(1), signed(2)]
    first, someone = read(both[0]), (bytes([9] * 20),)
    right = check(1, first, level=2, is_right=True, checkers=someone)
    wrong = check(2, first, level=2, is_right=False, checkers=someone)
    works = [
        ("two equal answers: the faster one is the reference", right, [(1000, 9000)]),
        ("it is the fastest itself", right, [(1000, 90_000_000)]),
        ("three: the middle one", right, [(1000, 9000), (1000, 400_000_000)]),
        ("four: the lower of the two in the middle", right, [(1000, 9000), (1000, 11_000), (1000, 90_000_000)]),
        ("classes are made equal", right, [(6100, 4000)]),
        ("a job without GPUs is one of the reference class", right, [(0, 9000)]),
        ("nobody else's time is known", right, []),
        ("others took no time at all", right, [(1000, 0)]),
        ("found wrong: nothing is compared", wrong, [(1000, 9000)]),
    ]  # fmt: skip
    return [_pace_case(*row, first=first, receipts=both) for row in works]


def _pace_case(
    name: str, found: Check, others: list[tuple[int, int]], *, first: Deal, receipts: list[bytes]
) -> Case:
    """Compare the first deal with answers of others: class index and metered time of each."""
    deals = [
        replace(first, worker=bytes([n] * 20), result=bytes([n] * 32), class_milli=milli, metered_ms=ms,
                receipt=bytes([n] * 32))
        for n, (milli, ms) in enumerate(others, 1)
    ]  # fmt: skip
    paces = Paces()
    for deal in (first, *deals):
        paces.put(deal)
    answers = tuple(its.answered for its in (first, *deals)) if found.is_right else ()
    check_of = replace(found, compared=answers)
    reference = paces.reference(first, check_of)
    ratios = {} if reference is None else {first.receipt: ratio_of(reference, first)}
    case = pair_case(name, receipts, [check_of], 2 * SKY, 2 * SKY, ratios=ratios)
    case["others"] = {first.receipt.hex(): [list(one) for one in others]}
    return case


FAMILIES = {"reputation-paces": ("08-reputation.md, Efficiency", pace_cases)}
