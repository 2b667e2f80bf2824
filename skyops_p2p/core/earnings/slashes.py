"""What faults cost a stake, and where the money goes. Integers, rounded down. Pure.

At least half is burned, so that slashing oneself through a friend never moves money out. Spec:
protocol/08-reputation.md, "Slashes". Source: contracts/README.md, which carries out those that a contract can prove.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from skyops_p2p.core.settlement.prices import BP

WRONG_VALUES = 10
"""Job values that a wrong result costs."""
AMNESTY_VALUES = 2
"""The same for a worker that holds an amnesty."""
AMNESTY_EVERY = 1000
"""Results that others have checked and found right, for one amnesty."""
FALSE_HARDWARE_BP = 2500
BURNED_BP = 5000
"""Of every slash, at least."""


class Fault(Enum):
    """What a stake answers for."""

    WRONG_RESULT = "wrong_result"
    """Proof: a verdict."""
    NO_SHOW = "no_show"
    """In `commit` and `priority`. Proof: the award, missing heartbeats and an escrow that ran out."""
    FALSE_HARDWARE = "false_hardware"
    """Proof: two proofs of compute of one device at once, or two failed memory challenges."""
    EQUIVOCATION = "equivocation"
    """Proof: two signatures."""


@dataclass(frozen=True, slots=True)
class Case:
    """A fault with its proof."""

    proof: bytes
    """32 bytes; one proof is carried out once."""
    fault: Fault
    value: int = 0
    """Of the job."""
    hour_rate: int = 0
    """What an hour of it costs."""
    has_amnesty: bool = False


@dataclass(frozen=True, slots=True)
class Slash:
    """What is taken; the three parts are `taken`."""

    proof: bytes
    taken: int
    burned: int
    to_victim: int
    to_reporter: int
    """To who proved it: challenger, jurors, verifiers."""


def amnesties(checked_right: int, used: int) -> int:
    """Return how many amnesties a worker holds: one is refilled slowly, and none is there at the start.

    Args:
        checked_right: Results of it that others have checked and found right.
        used: Amnesties that it has used.
    """
    return max(0, min(1, checked_right // AMNESTY_EVERY - used))


def slash_of(case: Case, stake: int) -> Slash:
    """Return what a fault costs.

    Args:
        case: The fault.
        stake: What is there to take, unbonding stake included.

    Rules: REP-32, REP-33.
    """
    match case.fault:
        case Fault.WRONG_RESULT:
            wanted = case.value * (AMNESTY_VALUES if case.has_amnesty else WRONG_VALUES)
        case Fault.NO_SHOW:
            wanted = case.hour_rate
        case Fault.FALSE_HARDWARE:
            wanted = stake * FALSE_HARDWARE_BP // BP
        case Fault.EQUIVOCATION:
            wanted = stake
    taken = min(wanted, stake)
    passed_on = taken * (BP - BURNED_BP) // BP
    to_victim = min(case.value, passed_on)
    return Slash(case.proof, taken, taken - passed_on, to_victim, passed_on - to_victim)


def slash_all(cases: Iterable[Case], stake: int) -> tuple[tuple[Slash, ...], int]:
    """Carry out several cases one after the other; a proof that was there before costs nothing again.

    Returns:
        What each new proof took, and what is left of the stake.

    Rules: REP-33.
    """
    done: dict[bytes, Slash] = {}
    for case in cases:
        if case.proof not in done:
            done[case.proof] = slash_of(case, stake)
            stake -= done[case.proof].taken
    return tuple(done.values()), stake
