"""Accuracy: how likely an account is to do what it was paid for, from all raters' counted evidence. Pure.

A Beta mean with a pessimistic prior, times what fraud memory leaves. Sources: Josang and Ismail (2002); Friedman and
Resnick (2001), for why a stranger starts below the gate. Spec: protocol/08-reputation.md, "Accuracy".
"""

from collections.abc import Iterable
from dataclasses import dataclass

from skyops_p2p.core.reputation.fixed import MILLION, ONE, ONE_BITS
from skyops_p2p.core.reputation.parameters import Parameters
from skyops_p2p.core.reputation.ratings import Sums


@dataclass(frozen=True, slots=True)
class Tally:
    """What counts for and against an account, microcredits."""

    good: int = 0
    bad: int = 0
    fraud: int = 0
    """Adjudicated wrong value, with the longer memory."""


def capped(good: int, parameters: Parameters) -> int:
    """Return what one rater's good jobs come to: nearly all of a little, never more than the cap. Rules: REP-14.

    Args:
        good: Microcredits.
        parameters: Unit and cap.
    """
    cap = parameters.pair_cap * parameters.unit
    return cap * good // (good + cap)


def tally(heard: Iterable[tuple[int, Sums]], parameters: Parameters) -> Tally:
    """Add up what raters say.

    Args:
        heard: For each rater the part of its evidence that counts (units of 1 / ONE), and its sums.
        parameters: Weight of what is wrong, and the cap.

    Rules: REP-14.
    """
    good = bad = fraud = heard_fraud = 0
    for part, sums in heard:
        good += part * capped(sums.good, parameters)
        bad += part * (parameters.wrong_weight * (sums.wrong + sums.found) + sums.soft)
        fraud += sums.fraud
        heard_fraud += part * sums.found_fraud
    return Tally(good >> ONE_BITS, bad >> ONE_BITS, fraud + (heard_fraud >> ONE_BITS))


def prior_of(stake: int, parameters: Parameters) -> int:
    """Return what is assumed of an account without evidence, millionths. Rules: REP-15.

    Args:
        stake: Microcredits.
        parameters: Priors and the stake that gets all.
    """
    counted = min(stake, parameters.stake_reference)
    return parameters.prior + parameters.prior_of_stake * counted // parameters.stake_reference


def mean(found: Tally, prior: int, parameters: Parameters) -> int:
    """Return the mean of evidence and prior, millionths. Rules: REP-15."""
    weight = parameters.prior_weight * parameters.unit
    return (found.good * MILLION + weight * prior) // (found.good + found.bad + weight)


def remembered(found: Tally, parameters: Parameters) -> int:
    """Return what fraud memory leaves, in units of 1 / ONE: 1 / (1 + x + x^2 / 2). Rules: REP-16.

    x is half the fraud in units, less for those with much good evidence.
    """
    x = 10 * found.fraud * ONE // (20 * parameters.unit + found.good)
    return 2 * ONE**3 // (2 * ONE**2 + 2 * x * ONE + x * x)


def accuracy(found: Tally, prior: int, parameters: Parameters) -> int:
    """Return A, millionths. Rules: REP-15, REP-16."""
    return mean(found, prior, parameters) * remembered(found, parameters) >> ONE_BITS
