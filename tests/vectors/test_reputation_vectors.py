"""The vectors of chapter 08, by skyops_p2p (which wrote them) and by a second implementation that shares no code."""

from typing import Any

from skyops_p2p.core.reputation.fixed import decay, geometric, root
from skyops_p2p.core.reputation.parameters import DEFAULTS
from tests.vectors import second_reputation as second
from tests.vectors.reputation_cases import read
from tests.vectors.test_vectors import Case, everything, expect, raw


@everything("reputation-arithmetic")
def test_arithmetic(case: Case) -> None:  # REP-1, REP-2
    if "root" in case:
        for take in (root, second.root):
            assert str(take(int(case["value"]), case["degree"])) == case["root"]
    elif "factor" in case:
        for fall in (decay, second.decay):
            assert str(fall(case["age"], case["half_life"])) == case["factor"]
    elif "mean" in case:
        assert geometric(tuple(zip(case["parts"], (12, 5, 3), strict=True))) == case["mean"]
        assert second.mean(case["parts"]) == case["mean"]
    else:
        assert DEFAULTS.digest == second.parameters_digest() == raw(case, "digest")


@everything("reputation-pairs")
def test_pairs(case: Case) -> None:  # REP-3 to REP-7
    if "code" in case:
        ours: Any = lambda case: read(raw(case))  # noqa: E731
        expect(case, None, ours, lambda case: second.read_deal(raw(case), case))
    else:
        assert second.rate_pair(case) == (case["ratings"], case["comparisons"])


@everything("reputation-findings")
def test_findings(case: Case) -> None:  # REP-37
    assert second.found(case) == case["ratings"]


@everything("reputation-paces")
def test_paces(case: Case) -> None:  # REP-19
    assert second.rate_pair(case) == (case["ratings"], case["comparisons"])


@everything("reputation-scores")
def test_scores(case: Case) -> None:  # REP-9 to REP-16, REP-18 to REP-21
    found = second.assess(case)
    assert {name: case[name] for name in found} == found


@everything("reputation-uses")
def test_uses(case: Case) -> None:  # REP-17, REP-22, REP-25, REP-27
    if "slots" in case:
        assert second.day_of(case["slots"]) == case["day"]
    elif "chance" in case:
        numbers = (case[name] for name in ("streak", "checked", "stake", "value"))
        assert second.chance(*numbers) == case["chance"]
    else:
        assert second.own_view(case["own"], case["common"]) == case["view"]


@everything("earnings")
def test_earnings(case: Case) -> None:  # REP-29 to REP-33
    if "gross" in case:
        found = second.pay(int(case["gross"]), case["credibility"], case["availability"])
        amounts = [case["shortfall"], case["fee"], *case["claims"]]
        assert found == [case["multiplier_bp"], *map(int, amounts)]
    elif "pool" in case:
        assert second.share_pool(case["pool"], case["claims"]) == case["paid"]
    else:
        assert second.slash(case["faults"], case["stake"]) == (case["slashes"], case["left"])
