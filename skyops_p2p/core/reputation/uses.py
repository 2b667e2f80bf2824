"""What a score is used for: admission, checks, exposure, and the standing of a peer in gossip. Pure.

Reputation bounds how likely harm is, stake bounds how large it is; the exposure ties them together. Sources: BOINC's
adaptive replication, for trust after ten results. Spec: protocol/08-reputation.md, "Uses".
"""

from dataclasses import dataclass

from skyops_p2p.core.reputation.fixed import MILLION, root
from skyops_p2p.core.reputation.parameters import DEFAULTS, Parameters
from skyops_p2p.core.reputation.standings import Standing

PROBATION_CHECKED = 10
"""Results that others have checked, until a worker leaves the probation lane."""
PROBATION_PERMILLE = 120
"""Part of all tenders that is kept for those in it."""
PROBATION_STAKE = 2
"""Stake in it, in values of the job."""
CHECK_STREAK = 10
"""Right results in a row, checked by others, before one is left unchecked."""
CHECK_FLOOR = 120_000
"""Least chance of a check, millionths."""
EXPOSURE_PERMILLE = 1500
"""Stake for a worker's unchecked open value and the next job."""
GOSSIP_GOOD, GOSSIP_BANNED = 10, -1000
"""GossipSub application scores."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a worker besides its score."""

    streak: int
    """Right results in a row that others have checked."""
    checked: int
    """All results that others have checked."""
    stake: int
    """Microcredits."""
    open_value: int = 0
    """Of its jobs that run or are not checked yet, microcredits."""


def is_on_probation(record: Record) -> bool:
    """Tell whether a worker is in the probation lane."""
    return record.checked < PROBATION_CHECKED


def is_in_probation_lane(lot: int) -> bool:
    """Tell whether a tender is kept for workers on probation.

    Args:
        lot: 32 bits that nobody could choose, as of the tender's seed.
    """
    return lot * 1000 >> 32 < PROBATION_PERMILLE


def may_bid(
    standing: Standing, record: Record, value: int, *, is_lane: bool, parameters: Parameters = DEFAULTS
) -> bool:
    """Tell whether a worker may have a job.

    Args:
        standing: Its score.
        record: What else is known of it.
        value: Of the job, microcredits.
        is_lane: The tender is kept for workers on probation.
        parameters: Gate and unit.

    Rules: REP-24, REP-25, REP-26.
    """
    if standing.is_banned or not has_room(record, value):
        return False
    if is_lane:
        is_small = value <= parameters.unit and record.stake >= PROBATION_STAKE * value
        return is_on_probation(record) and is_small
    return standing.credibility >= parameters.gate


def has_room(record: Record, value: int) -> bool:
    """Tell whether a worker's stake covers its open value and one more job. Rules: REP-25."""
    return (record.open_value + value) * EXPOSURE_PERMILLE <= record.stake * 1000


def check_chance(record: Record, value: int) -> int:
    """Return how likely a result must be checked, millionths.

    Args:
        record: Of its worker.
        value: Of the job, microcredits.

    Rules: REP-27.
    """
    if record.streak < CHECK_STREAK or is_on_probation(record) or not has_room(record, value):
        return MILLION
    by_value = -(-value * MILLION // (value + record.stake)) if value else 0
    by_streak = _inverse_root(record.streak)
    return min(MILLION, max(CHECK_FLOOR, by_value, by_streak))


def gossip_score(standing: Standing, *, has_stake: bool, parameters: Parameters = DEFAULTS) -> int:
    """Return a peer's application score (P5); GossipSub's own scores never flow back. Rules: REP-28."""
    if standing.is_banned:
        return GOSSIP_BANNED
    return GOSSIP_GOOD if has_stake and standing.credibility >= parameters.gate else 0


def _inverse_root(count: int) -> int:
    """Return 1 / sqrt(count) in millionths, rounded up, so that a check is never less likely than the rule says."""
    found = root(MILLION**2 // count, 2)
    return found if found * found * count >= MILLION**2 else found + 1
