"""Availability from witnessed probes, efficiency from metered against reference time. Pure.

Nothing that an account says of itself counts. Spec: protocol/08-reputation.md, "Availability" and "Efficiency".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core.reputation.fixed import MILLION, ONE_BITS, clip, decay
from skyops_p2p.core.reputation.parameters import Parameters

SLOT_MS = 600_000
EPOCH_MS = 86_400_000
SLOTS_PER_EPOCH = EPOCH_MS // SLOT_MS
WITNESSES = 5
"""Drawn for each slot."""
WITNESSES_NEEDED = 3
"""Of them, for a slot to count."""
EFFICIENCY_UNKNOWN = MILLION // 2
"""What is assumed of an account whose speed nobody has compared, millionths; weighs one unit."""


@dataclass(frozen=True, slots=True)
class Day:
    """An account's slots of one epoch."""

    probed: int
    """Slots in which enough witnesses asked, 0 to SLOTS_PER_EPOCH."""
    answered: int
    """Of them, those in which enough got an answer."""


@dataclass(frozen=True, slots=True)
class Pace:
    """One comparison of speed: a job's time against what a check says that it takes."""

    ratio: int
    """Reference over metered time, millionths, 1 at most counts as one."""
    weight: int
    """Microcredits, what of the rater's voice counts."""


def day_of(slots: Iterable[Mapping[bytes, bool]]) -> Day:
    """Count one epoch's slots. Rules: REP-17.

    Args:
        slots: For each slot what the drawn witnesses signed: whether the probe was answered.
    """
    probed = answered = 0
    for said in slots:
        heard = sum(said.values())
        if heard >= WITNESSES_NEEDED:
            answered += 1
        if max(heard, len(said) - heard) >= WITNESSES_NEEDED:
            probed += 1
    return Day(probed, answered)


def uptime(days: Mapping[int, Day], epoch: int, parameters: Parameters) -> int:
    """Return the answered part of the probed slots, recent ones first, with the prior in it, millionths.

    Args:
        days: By epoch.
        epoch: Now.
        parameters: Half-life and prior.

    Rules: REP-18.
    """
    probed = answered = 0
    for then, day in days.items():
        if 0 <= epoch - then <= limits.REPUTATION_UPTIME_EPOCHS:
            factor = decay(epoch - then, parameters.uptime_half_life)
            probed += day.probed * factor
            answered += day.answered * factor
    weight = parameters.uptime_prior_slots << ONE_BITS
    assumed = (parameters.uptime_floor + parameters.uptime_full) // 2
    return (answered * MILLION + weight * assumed) // (probed + weight)


def availability(days: Mapping[int, Day], epoch: int, parameters: Parameters) -> int:
    """Return U, millionths: 0 at the floor, 1 at the full uptime, a half where nothing is known. Rules: REP-18."""
    low, high = parameters.uptime_floor, parameters.uptime_full
    return clip((uptime(days, epoch, parameters) - low) * MILLION // (high - low), 0, MILLION)


def efficiency(paces: Iterable[Pace], parameters: Parameters) -> int:
    """Return E, millionths: the weighted median, so that less than half of the weight cannot move it. Rules: REP-19."""
    found = [(min(pace.ratio, MILLION), pace.weight) for pace in paces if pace.weight > 0]
    found.append((EFFICIENCY_UNKNOWN, parameters.unit))
    half = sum(weight for _, weight in found)
    reached = 0
    for ratio, weight in sorted(found):
        reached += 2 * weight
        if reached >= half:
            return ratio
    return EFFICIENCY_UNKNOWN
