"""Whose answer stands: from what workers committed to, opened, and how their answers compare. Pure.

The majority of the opened answers wins, two equal ones at the least. Who opens nothing gets nothing, and who opens
something else than it committed to is caught by its own signatures. Spec: protocol/06-verification.md, "Verdict".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from skyops_p2p import limits
from skyops_p2p.wire.messages.verification import FaultName

ANSWERS_LEAST = 2
"""Equal answers without which nothing is decided."""

IsEqual = Callable[[int, int], bool]
"""Tells whether the answers at two places are equal; asked only for those that were opened, the first less."""


class Outcome(Enum):
    """What a comparison has come to."""

    AGREED = "agreed"
    """All that was opened is equal, and everybody opened."""
    DECIDED = "decided"
    """A majority is equal, or the requester has run it; somebody is at fault, but for a canary that is right."""
    FLAGGED = "flagged"
    """No majority yet: one more worker has to compute it."""
    UNRESOLVED = "unresolved"
    """No majority, and no more workers may be asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One worker's part, in the order in which they were drawn; the primary's is the first."""

    root: bytes | None
    """Answer root of what it opened, 32 bytes; None: it opened nothing, or not what it committed to."""
    has_lied: bool = False
    """It opened something that it had not committed to."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whose answer stands."""

    outcome: Outcome
    winner: int | None
    """Place of the answer that most are equal to, the first drawn of several; None: nothing is decided, or it is
    that nobody is right."""
    faults: tuple[FaultName, ...]
    """Of each worker; `wrong` only where something is decided."""

    @property
    def is_decided(self) -> bool:
        """An answer stands."""
        return self.winner is not None


def judge(answers: Sequence[Answer], is_equal: IsEqual | None = None) -> Judgement:
    """Say whose answer stands.

    Args:
        answers: Of all workers that committed, 1 to VERIFICATION_WORKERS_MAX.
        is_equal: How answers are compared; None: by their roots.

    Rules: VER-11, VER-13.
    """
    assert 1 <= len(answers) <= limits.VERIFICATION_WORKERS_MAX
    opened = [place for place, answer in enumerate(answers) if answer.root is not None]
    groups = {place: _equal_to(place, opened, is_equal or _by_root(answers)) for place in opened}
    winner = max(opened, key=lambda place: (len(groups[place]), -place), default=None)
    largest = () if winner is None else groups[winner]
    if len(largest) < ANSWERS_LEAST or 2 * len(largest) <= len(opened):
        is_last = len(answers) == limits.VERIFICATION_WORKERS_MAX
        outcome = Outcome.UNRESOLVED if is_last else Outcome.FLAGGED
        return Judgement(outcome, None, _faults(answers, opened))
    faults = _faults(answers, largest)
    outcome = Outcome.AGREED if set(faults) == {"none"} else Outcome.DECIDED
    return Judgement(outcome, winner, faults)


def judge_by_stretch(answers: Sequence[Answer], right: int) -> Judgement:
    """Say whose answer stands where one stretch was executed: who has another one than the right one is wrong.

    Args:
        answers: Of all workers that committed.
        right: Place of the answer that the stretch leads to.

    Rules: VER-25.
    """
    group = [place for place, answer in enumerate(answers) if answer.root == answers[right].root]
    return Judgement(Outcome.DECIDED, group[0], _faults(answers, group))


def judge_by_known(answers: Sequence[Answer], known: bytes) -> Judgement:
    """Say whose answer stands where the requester has computed it itself: who has another one is wrong, also all.

    Args:
        answers: Of all workers that committed; one at least was opened.
        known: Answer root that the requester came to, 32 bytes.

    Rules: VER-30.
    """
    right = [place for place, answer in enumerate(answers) if answer.root == known]
    return Judgement(Outcome.DECIDED, next(iter(right), None), _faults(answers, right))


def _by_root(answers: Sequence[Answer]) -> IsEqual:
    return lambda first, second: answers[first].root == answers[second].root


def _equal_to(place: int, opened: Sequence[int], is_equal: IsEqual) -> tuple[int, ...]:
    """Return the places whose answers are equal to one, itself among them, ascending."""
    return tuple(
        other for other in opened if other == place or is_equal(min(place, other), max(place, other))
    )


def _faults(answers: Sequence[Answer], right: Sequence[int]) -> tuple[FaultName, ...]:
    return tuple(_fault(answer, is_right=place in right) for place, answer in enumerate(answers))


def _fault(answer: Answer, *, is_right: bool) -> FaultName:
    if answer.has_lied:
        return "lied"
    if answer.root is None:
        return "no_reveal"
    return "none" if is_right else "wrong"
