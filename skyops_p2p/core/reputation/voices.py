"""Who may speak, and how loud: credit that flows from stake along paid work, and a budget for each rater. Pure.

Step A is a walk with restart at stake, so that money which circulates inside a clique circulates only the clique's own
credit. Step B gives each rater room for evidence in proportion to its credit, so that volume buys nothing. Sources:
Cheng and Friedman (2005): no identity-blind rule is proof against Sybils; Nasrulin et al., MeritRank (2022), for the
decay along paths. Spec: protocol/08-reputation.md, "Voices".
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key

from skyops_p2p.core.reputation.fixed import ONE
from skyops_p2p.core.reputation.parameters import Parameters
from skyops_p2p.core.reputation.ratings import Pair, Sums


@dataclass(frozen=True, slots=True)
class Stake:
    """What the chain says of an account at the assessment's block."""

    amount: int
    """Microcredits, what is unbonding left out."""
    since_epoch: int
    """In which it came."""
    is_slashed: bool = False
    """For good, as for a double history."""
    registered_unix_s: int = 0
    """When its account was registered."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """How much of each rater's evidence counts."""

    counted: int
    """All evidence that counts, microcredits, rounded down (M)."""
    part: Mapping[bytes, int]
    """Rater -> part of its evidence that counts, in units of 1 / ONE (omega); one that is not there: 0."""


def seeds(stakes: Mapping[bytes, Stake], epoch: int, parameters: Parameters) -> dict[bytes, int]:
    """Return each account's part of all stake, by age, in units of 1 / ONE.

    Args:
        stakes: Of those who rate or are rated, without banned and slashed accounts.
        epoch: Now.
        parameters: How old a stake must be to speak in full.

    Rules: REP-11.
    """
    weights = {
        account: stake.amount * max(0, min(1 + epoch - stake.since_epoch, parameters.stake_epochs))
        for account, stake in stakes.items()
    }
    total = sum(weights.values())
    return {account: weight * ONE // total for account, weight in weights.items() if weight} if total else {}


def spend_of(sums: Mapping[Pair, Sums]) -> dict[bytes, int]:
    """Return what each rater has spent in all, microcredits."""
    spend: defaultdict[bytes, int] = defaultdict(int)
    for (rater, _), found in sums.items():
        spend[rater] += found.total
    return dict(spend)


def credit(sums: Mapping[Pair, Sums], seed: Mapping[bytes, int], parameters: Parameters) -> dict[bytes, int]:
    """Return each account's credit, in units of 1 / ONE; together never above ONE.

    Args:
        sums: All ratings in one role.
        seed: From `seeds`.
        parameters: Propagation and rounds.

    Rules: REP-12.
    """
    names = sorted({*seed, *(account for pair in sums for account in pair)})
    place = {account: number for number, account in enumerate(names)}
    edges = [(place[rater], place[rated], found.good, found.dealt) for (rater, rated), found in sums.items()]
    start = [seed.get(account, 0) for account in names]
    found_credit = start
    for _ in range(parameters.rounds):
        passed = _passed_on(edges, found_credit)
        found_credit = [
            (mine * (1000 - parameters.propagation_permille) + got * parameters.propagation_permille) // 1000
            for mine, got in zip(start, passed, strict=True)
        ]
        rest = ONE - sum(found_credit)
        found_credit = [share + mine * rest // ONE for share, mine in zip(found_credit, start, strict=True)]
    return dict(zip(names, found_credit, strict=True))


def _passed_on(edges: Sequence[tuple[int, int, int, int]], shares: Sequence[int]) -> list[int]:
    """Return what each account gets when all pass on what they have: raters to those who served them well, and these
    to those who paid them. Who never bought from anybody passes its own credit on like that too.

    Args:
        edges: Rater, rated, good value, all value.
        shares: What each has.
    """
    paid_out, taken_in = [0] * len(shares), [0] * len(shares)
    for rater, rated, good, total in edges:
        paid_out[rater] += good
        taken_in[rated] += total
    trust = [0 if paid else share for paid, share in zip(paid_out, shares, strict=True)]
    for rater, rated, good, _ in edges:
        if good:
            trust[rated] += shares[rater] * good // paid_out[rater]
    passed = [0] * len(shares)
    for rater, rated, _, total in edges:
        if total:
            passed[rater] += trust[rated] * total // taken_in[rated]
    return passed


def budgets(spend: Mapping[bytes, int], found_credit: Mapping[bytes, int], parameters: Parameters) -> Budgets:
    """Return how much of each rater's evidence counts.

    M is the largest solution of M = sum of min(spend, kappa * credit share * M), the share being of the credit of all
    raters. So a group never fills more of M than kappa times its share, however much it spends.

    Rules: REP-13.
    """
    able = ((spent, found_credit.get(rater, 0)) for rater, spent in spend.items() if spent)
    raters = _by_need(pair for pair in able if pair[1])
    whole = sum(share for _, share in raters)
    filled, room, kappa = sum(spent for spent, _ in raters), 0, parameters.loudness
    for spent, share in reversed(raters):  # until the neediest of those that count in full fits its budget
        left = whole - kappa * room
        assert left > 0
        if filled * kappa * share >= spent * left:
            part = {
                rater: min(ONE, kappa * found_credit[rater] * filled * ONE // (left * spent))
                for rater, spent in spend.items()
                if spent and found_credit.get(rater)
            }
            return Budgets(filled * whole // left, part)
        filled -= spent
        room += share
    return Budgets(0, {})


def _by_need(raters: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort by what a rater spends for each part of credit, the least first, without division."""

    def compare(one: tuple[int, int], other: tuple[int, int]) -> int:
        return one[0] * other[1] - other[0] * one[1]

    return sorted(raters, key=cmp_to_key(compare))
