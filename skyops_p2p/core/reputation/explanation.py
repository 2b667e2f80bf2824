"""Why an account has its score: the parts, the raters and receipts behind them, and what would change it. Pure data.

Every "what if" is worked out by the same functions as the score itself. Spec: protocol/08-reputation.md, "Explanation".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from skyops_p2p import limits
from skyops_p2p.core.reputation.accuracy import Tally, capped, prior_of
from skyops_p2p.core.reputation.conduct import Day
from skyops_p2p.core.reputation.deals import Deal
from skyops_p2p.core.reputation.fixed import MILLION, ONE_BITS
from skyops_p2p.core.reputation.ratings import Rating, Role, Sums
from skyops_p2p.core.reputation.standings import Assessment, Standing, credibility
from skyops_p2p.types import UnixMs


@dataclass(frozen=True, slots=True)
class Voice:
    """What one rater adds."""

    rater: bytes
    part: int
    """Of its evidence that counts, millionths."""
    sums: Sums
    """What it says, before that."""
    good: int
    """Microcredits that it adds for the account."""
    bad: int
    """And against it."""


@dataclass(frozen=True, slots=True)
class Source:
    """A receipt or a verdict, and what it says."""

    rating: Rating
    unix_ms: UnixMs
    """When the job ended, or the verdict was made."""
    deal: Deal | None
    """Of the receipt; None: there is none, and the verdict alone says it."""
    verdict: bytes = b""
    """Digest of the enveloped verdict that decides; empty: none has compared the result."""

    @property
    def receipt(self) -> bytes:
        """SHA-256 of the encoded Receipt; empty where there is none."""
        return b"" if self.deal is None else self.deal.receipt

    @property
    def outcome(self) -> str:
        """Of the receipt; `result_wrong` where there is none."""
        return "result_wrong" if self.deal is None else self.deal.outcome


@dataclass(frozen=True, slots=True)
class Change:
    """What the credibility would be if one thing were otherwise."""

    code: str
    """`verified_job`, `unverified_job`, `soft_fail`, `wrong_result`, `full_stake`, `full_uptime`, `full_speed`."""
    credibility: int
    accuracy: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it."""

    standing: Standing
    voices: tuple[Voice, ...]
    """The weightiest first."""
    sources: tuple[Source, ...]
    """The newest first."""
    changes: tuple[Change, ...]
    slots: Day
    """Probed slots of all days that count, without decay."""
    has_contradicted: bool
    """As a witness it has signed two statements of one watch."""


def explain(assessment: Assessment, account: bytes, sources: Sequence[Source] = ()) -> Explanation:
    """Say why an account has its score.

    Args:
        assessment: Of its role.
        account: Whose.
        sources: From `Ledger.sources_of`.

    Returns:
        At most REPUTATION_EXPLAINED_MAX raters and sources.
    """
    standing = assessment.standing(account)
    voices = [_voice(assessment, rater, sums) for rater, sums in sorted(assessment.heard_of(account).items())]
    voices.sort(key=lambda voice: (-(voice.good + voice.bad), voice.rater))
    newest = sorted(sources, key=lambda one: (-one.unix_ms, one.receipt, one.verdict))
    most = limits.REPUTATION_EXPLAINED_MAX
    return Explanation(
        standing,
        tuple(voices[:most]),
        tuple(newest[:most]),
        () if standing.is_banned else tuple(_changes(assessment, standing)),
        assessment.slots_of(account),
        assessment.has_contradicted(account),
    )


def _voice(assessment: Assessment, rater: bytes, sums: Sums) -> Voice:
    part, parameters = assessment.part_of(rater), assessment.parameters
    against = parameters.wrong_weight * (sums.wrong + sums.found) + sums.soft
    return Voice(
        rater=rater,
        part=part * MILLION >> ONE_BITS,
        sums=sums,
        good=part * capped(sums.good, parameters) >> ONE_BITS,
        bad=part * against >> ONE_BITS,
    )


def _changes(assessment: Assessment, now: Standing) -> list[Change]:
    """Return what a unit more of each kind would do, from a rater who is heard in full, and what one can do oneself."""
    parameters = assessment.parameters
    unit = parameters.unit
    wrong = Tally(0, parameters.wrong_weight * unit, unit)
    evidence = {
        "verified_job": Tally(capped(unit, parameters), 0, 0),
        "unverified_job": Tally(capped(unit // 4, parameters), 0, 0),
        "soft_fail": Tally(0, unit, 0),
        "wrong_result": wrong,
    }
    changes = []
    for code, more in evidence.items():
        total = Tally(now.tally.good + more.good, now.tally.bad + more.bad, now.tally.fraud + more.fraud)
        then = assessment.standing_with(now.account, total, now.prior)
        changes.append(Change(code, then.credibility, then.accuracy))
    whole = prior_of(parameters.stake_reference, parameters)
    staked = assessment.standing_with(now.account, now.tally, whole)
    changes.append(Change("full_stake", staked.credibility, staked.accuracy))
    if now.role is Role.WORKER:
        for code, then in (
            ("full_uptime", replace(now, availability=MILLION)),
            ("full_speed", replace(now, efficiency=MILLION)),
        ):
            parts = (then.accuracy, then.availability, then.efficiency)
            changes.append(Change(code, credibility(parts, parameters), then.accuracy))
    return changes
