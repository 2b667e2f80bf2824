"""Availability from witnessed probes, efficiency from metered against reference time. Pure.

Nothing that an account says of itself counts. Spec: protocol/08-reputation.md, "Availability" and "Efficiency".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

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
ANNOUNCED_PERMILLE = 20
"""Part of all slots that an announced absence may be without being held against anybody, thousandths."""
EFFICIENCY_UNKNOWN = MILLION // 2
"""What is assumed of an account whose speed nobody has compared, millionths; weighs one unit."""


class Outcome(IntEnum):
    """What one witness says of one slot, as two bits. Rules: PRB-7."""

    UNASKED = 0
    ANSWERED = 1
    SILENT = 2
    ANNOUNCED = 3
    """Silent, and had said goodbye."""


@dataclass(frozen=True, slots=True)
class Day:
    """An account's slots of one epoch, as far as enough witnesses agree."""

    probed: int
    """Slots in which it answered or was silent."""
    answered: int
    """Of them, those in which it answered."""
    announced: int = 0
    """Other slots, in which it was silent and had said goodbye."""
    voices: int = 0
    """Witnesses that were heard in all of these together."""

    def __add__(self, other: "Day") -> "Day":
        return Day(
            self.probed + other.probed,
            self.answered + other.answered,
            self.announced + other.announced,
            self.voices + other.voices,
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """One comparison of speed: a job's time against what a check says that it takes."""

    ratio: int
    """Reference over metered time, millionths, 1 at most counts as one."""
    weight: int
    """Microcredits, what of the rater's voice counts."""


def day_of(slots: Iterable[Sequence[Outcome]]) -> Day:
    """Count one epoch's slots; one on which fewer than WITNESSES_NEEDED agree is none. Rules: REP-17.

    Args:
        slots: For each slot what at most WITNESSES drawn witnesses signed.
    """
    probed = answered = announced = voices = 0
    for said in slots:
        heard = said.count(Outcome.ANSWERED)
        silent, away = said.count(Outcome.SILENT), said.count(Outcome.ANNOUNCED)
        if max(heard, silent) >= WITNESSES_NEEDED:
            probed += 1
            answered += heard >= WITNESSES_NEEDED
        elif away >= WITNESSES_NEEDED:
            announced += 1
        else:
            continue
        voices += heard + silent + away
    return Day(probed, answered, announced, voices)


def uptime(days: Mapping[int, Day], epoch: int, parameters: Parameters) -> int:
    """Return the answered part of the probed slots, recent ones first, with the prior in it, millionths.

    Announced slots count as silent ones, as far as they are more than ANNOUNCED_PERMILLE of all.

    Args:
        days: By epoch.
        epoch: Now.
        parameters: Half-life and prior.

    Rules: REP-18.
    """
    probed = answered = announced = 0
    for then, day in days.items():
        if 0 <= epoch - then <= limits.REPUTATION_UPTIME_EPOCHS:
            factor = decay(epoch - then, parameters.uptime_half_life)
            probed += day.probed * factor
            answered += day.answered * factor
            announced += day.announced * factor
    probed += max(0, announced - (probed + announced) * ANNOUNCED_PERMILLE // 1000)
    weight = parameters.uptime_prior_slots << ONE_BITS
    assumed = (parameters.uptime_floor + parameters.uptime_full) // 2
    return (answered * MILLION + weight * assumed) // (probed + weight)


def availability(days: Mapping[int, Day], epoch: int, parameters: Parameters) -> int:
    """Return U, millionths: 1 at full uptime, a half where nothing is known, never below its least. Rules: REP-18."""
    low, high = parameters.uptime_floor, parameters.uptime_full
    return clip(
        (uptime(days, epoch, parameters) - low) * MILLION // (high - low), parameters.uptime_least, MILLION
    )


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
