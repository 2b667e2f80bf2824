"""How fast workers are beside others that gave the same answer, whichever of receipts and verdicts comes first."""

import itertools
from dataclasses import replace

import pytest

from skyops_p2p.core.reputation.deals import Deal
from skyops_p2p.core.reputation.findings import Finding
from skyops_p2p.core.reputation.ratings import Role
from skyops_p2p.crypto.hashing import sha256
from tests.unit.core.reputation.test_ledger import ALICES, BOBS, CAROLS, DAVES, KNOWN, RICH, deal, ledger
from tests.vectors.people import NOW
from tests.vectors.reputation_cases import SKY, TODAY


def twin(number: int, metered_ms: int, **changes: object) -> Deal:
    """Return the deal of a worker that gave the same answer as Bob, whose is number 1."""
    worker = BOBS if number == 1 else bytes([number] * 20)
    worth = {"amount": 3 * SKY, "cumulative": 9 * SKY}  # more than the prior weighs
    return deal(
        number, worker=worker, metered_ms=metered_ms, result=sha256(b"of %d" % number), **worth, **changes
    )


def compared(*deals: Deal, level: int = 2) -> tuple[Finding, ...]:
    """Return what a verdict says of equal answers, each by itself."""
    answers = tuple(its.answered for its in deals)
    return tuple(
        Finding(
            proof=sha256(its.result), verdict=sha256(b"verdict"), rater=ALICES, rated=its.worker, result=its.result,
            level=level, is_right=True, decided_unix_ms=NOW, value=10**6, checkers=(DAVES,), compared=answers,
        )
        for its in deals
    )  # fmt: skip


def efficiency(*items: Deal | tuple[Finding, ...]) -> int:
    made = ledger()
    for item in items:
        if isinstance(item, tuple):
            for one in item:
                made.add_finding(one)
            continue
        made.set_money(item.requester, item.worker, RICH)
        made.add_deal(item, now=NOW)
        made.assess(Role.WORKER, KNOWN, epoch=TODAY)  # what comes later must still count
    return made.assess(Role.WORKER, KNOWN, epoch=TODAY).standing(BOBS).efficiency


def test_slow_worker_is_less_efficient_whatever_comes_first() -> None:  # REP-19
    first, second, third = twin(1, 40_000), twin(2, 10_000), twin(3, 10_000)
    check = compared(first, second, third)
    assert efficiency(first, second, third) == 500_000
    found = {efficiency(*items) for items in itertools.permutations((first, second, third, check))}
    assert found == {250_000}


def test_speed_is_that_of_the_class() -> None:  # REP-19
    first, second = twin(1, 40_000, class_milli=1000), twin(2, 10_000, class_milli=4000)
    pair = compared(first, second)
    assert efficiency(first, second, pair) == 1_000_000
    assert efficiency(replace(first, class_milli=4000), second, pair) == 250_000


@pytest.mark.parametrize("lacks", ["half", "requester", "check", "time", "other"])
def test_speed_that_nobody_proves_is_not_compared(lacks: str) -> None:  # REP-19
    first, second = twin(1, 40_000), twin(2, 10_000)
    check = compared(first, second)
    match lacks:
        case "half":
            second = replace(second, requester_place=None)
        case "requester":
            second = replace(second, requester=CAROLS)
        case "check":
            check = compared(first, second, level=1)
        case "time":
            second = replace(second, metered_ms=0)
        case _:
            second = replace(second, result=b"another")
    assert efficiency(first, second, check) == 500_000


def test_speed_follows_from_what_is_held() -> None:  # REP-19, REP-23
    first, second = twin(1, 40_000), twin(2, 10_000)
    made = ledger(first)
    made.set_money(ALICES, second.worker, RICH)
    made.add_deal(second, now=NOW)
    for one in compared(first, second):
        made.add_finding(one)
    assert made.assess(Role.WORKER, KNOWN, epoch=TODAY).standing(BOBS).efficiency == 250_000
    made.forget_deal(second.receipt)
    assert made.assess(Role.WORKER, KNOWN, epoch=TODAY).standing(BOBS).efficiency == 500_000
