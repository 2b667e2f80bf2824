"""In which phase a dispute is, by the clock. Pure; source: contracts/README.md, "Disputes"."""

from dataclasses import dataclass
from typing import Literal

from skyops_p2p.core.settlement.contract_facts import DisputeCase, JuryState

Phase = Literal["seed", "draw", "drawn", "commit", "reveal", "count", "appeal", "close", "closed"]

APPEALS_MAX = 2
NO_SEED = bytes(32)


@dataclass(frozen=True, slots=True)
class PhaseNow:
    """Where a dispute stands."""

    phase: Phase
    """seed: somebody must fix it; draw: jurors enrol; drawn: somebody must close the draw; commit and reveal: jurors
    vote; count: somebody must count; appeal: who lost may appeal; close: somebody must carry the verdict out."""
    until_unix_s: int
    """0: until somebody goes on."""


def phase_of(case: DisputeCase, jury: JuryState, now_unix_s: int) -> PhaseNow:
    """Return the phase of a dispute that was opened.

    Args:
        case: As the contract has it.
        jury: Of its last round.
        now_unix_s: By the chain's clock.
    """
    if case.is_closed:
        return PhaseNow("closed", 0)
    if case.appeal_ends_unix_s:
        if case.round < APPEALS_MAX and now_unix_s < case.appeal_ends_unix_s:
            return PhaseNow("appeal", case.appeal_ends_unix_s)
        return PhaseNow("close", 0)
    if not jury.commit_ends_unix_s:
        if now_unix_s >= jury.draw_ends_unix_s:
            return PhaseNow("drawn", 0)
        return PhaseNow("seed" if jury.seed == NO_SEED else "draw", jury.draw_ends_unix_s)
    if now_unix_s < jury.commit_ends_unix_s:
        return PhaseNow("commit", jury.commit_ends_unix_s)
    if now_unix_s < jury.reveal_ends_unix_s:
        return PhaseNow("reveal", jury.reveal_ends_unix_s)
    return PhaseNow("count", 0)
