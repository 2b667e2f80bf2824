"""Hidden items with known answers in a batch: whoever skips items skips some of these too. Pure.

Cheaper than computing all of it twice. Where they are placed follows from a secret, so neither the worker nor anybody
who sees the batch can tell them from the others, as long as they look alike; that is the requester's task. Source: the
ringers of Golle and Mironov 2001. Spec: protocol/06-verification.md, "Canaries".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

from skyops_p2p import limits
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import LocalProtocolError

_DOMAIN = b"skyops/canary/1"

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Canary(Generic[Item, Answer]):
    """An item whose answer is known, from a job that several workers have agreed on."""

    item: Item
    answer: Answer


@dataclass(frozen=True, slots=True)
class Batch(Generic[Item, Answer]):
    """Items with canaries among them."""

    items: tuple[Item, ...]
    canaries: Mapping[int, Answer]
    """Place -> the answer that is known; never leaves the requester."""

    def own(self, answers: Sequence[Answer]) -> tuple[Answer, ...]:
        """Return the answers to what was asked for, without those to canaries."""
        assert len(answers) == len(self.items)
        return tuple(answer for place, answer in enumerate(answers) if place not in self.canaries)


@dataclass(frozen=True, slots=True)
class CanaryJudgement:
    """What the canaries say of a batch."""

    asked: int
    missed: tuple[int, ...]
    """Places of canaries with another answer, ascending."""

    @property
    def is_right(self) -> bool:
        """All canaries have the answers that are known."""
        return not self.missed


def hide(
    items: Sequence[Item], canaries: Sequence[Canary[Item, Answer]], secret: bytes
) -> Batch[Item, Answer]:
    """Put canaries among items; the items stay in their order.

    Args:
        items: What is to be computed, at least one.
        canaries: Never used for this worker's owner before.
        secret: 32 random bytes of this batch alone.

    Raises:
        LocalProtocolError: `canaries_too_many`: more of them than items, or than CANARIES_MAX.

    Rules: VER-22.
    """
    if len(canaries) > min(len(items), limits.CANARIES_MAX):
        raise LocalProtocolError(
            f"{len(canaries)} canaries for {len(items)} items",
            code="canaries_too_many",
            hint="Take fewer, or make the batch larger.",
        )
    total = len(items) + len(canaries)
    places = sorted(range(total), key=lambda place: sha256(_DOMAIN + secret + place.to_bytes(8, "big")))
    chosen = dict(zip(places, canaries, strict=False))
    rest = iter(items)
    mixed = tuple(chosen[place].item if place in chosen else next(rest) for place in range(total))
    return Batch(mixed, {place: chosen[place].answer for place in sorted(chosen)})


def judge_batch(
    batch: Batch[Item, Answer], answers: Sequence[Answer], is_equal: Callable[[Answer, Answer], bool]
) -> CanaryJudgement:
    """Compare a worker's answers with those that are known.

    Args:
        batch: As it was sent.
        answers: One for each of its items.
        is_equal: By the class of the job; called with the known answer first.

    Rules: VER-22.
    """
    assert len(answers) == len(batch.items)
    missed = [place for place, known in batch.canaries.items() if not is_equal(known, answers[place])]
    return CanaryJudgement(len(batch.canaries), tuple(missed))


def chance_to_be_caught(canaries: int, items: int, skipped: int) -> Fraction:
    """Return how likely it is that a worker who makes up some answers is caught.

    It is never less than 1 - (1 - x)^m for m canaries and the part x of all items.

    Args:
        canaries: Among the items.
        items: All, canaries included.
        skipped: Whose answers are made up, at most `items`.

    Rules: VER-22.
    """
    assert 0 <= skipped <= items
    assert 0 <= canaries <= items
    missed = Fraction(1)
    for number in range(canaries):
        missed *= Fraction(max(0, items - skipped - number), items - number)
    return 1 - missed


def canaries_needed(items: int, part: Fraction, chance: Fraction) -> int:
    """Return how many canaries catch whoever makes up a part of all answers, with at least this chance.

    Args:
        items: That are to be computed, at least 1.
        part: Of all answers, above 0, at most 1.
        chance: Below 1.

    Returns:
        At most the smaller of `items` and CANARIES_MAX, even if that does not reach the chance.

    Rules: VER-22.
    """
    most = min(items, limits.CANARIES_MAX)
    enough: Iterable[int] = (count for count in range(most) if 1 - (1 - part) ** count >= chance)
    return next(iter(enough), most)
