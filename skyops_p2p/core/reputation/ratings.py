"""Ratings: what one account's dealings say of another, in sums by pair and epoch. Pure.

A book holds integers that only ever add up, so neither the order in which ratings come matters nor whether some were
taken out and put in again. Spec: protocol/08-reputation.md, "Ratings".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from skyops_p2p import limits
from skyops_p2p.core.reputation.fixed import ONE_BITS, decay
from skyops_p2p.core.reputation.parameters import Parameters

Pair = tuple[bytes, bytes]
"""Rater, rated."""


class Role(Enum):
    """As what an account is rated; the other side of the deal rates it."""

    WORKER = "worker"
    REQUESTER = "requester"


class Kind(Enum):
    """What is said of it."""

    GOOD = "good"
    WRONG = "wrong"
    """Adjudicated, never by the rater alone."""
    FOUND = "found"
    """Wrong by a verdict, where no receipt says what it cost: it counts as far as the rater is heard."""
    SOFT = "soft"
    """It failed, or somebody complains."""


_PLACE = {Kind.GOOD: 0, Kind.WRONG: 1, Kind.SOFT: 2, Kind.FOUND: 3}


@dataclass(frozen=True, slots=True)
class Rating:
    """One entry."""

    rater: bytes
    rated: bytes
    kind: Kind
    value: int
    """Microcredits, with the weight of its proof applied; at least 0."""
    epoch: int
    """In which it came about: days since 1970."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What is left of a pair's ratings at some epoch, decayed, microcredits."""

    good: int = 0
    wrong: int = 0
    soft: int = 0
    fraud: int = 0
    """The wrong ones once more, with the longer memory."""
    found: int = 0
    """Wrong without a receipt."""
    found_fraud: int = 0
    """These once more, with the longer memory."""

    @property
    def dealt(self) -> int:
        """What the rater spent on it, as receipts say."""
        return self.good + self.wrong + self.soft

    @property
    def total(self) -> int:
        """All that the rater says of it."""
        return self.dealt + self.found


class RatingBook:
    """All ratings in one role. Whoever fills it bounds them (ledger.py).

    Args:
        parameters: Half-lives.
    """

    def __init__(self, parameters: Parameters) -> None:
        ages = range(limits.REPUTATION_HORIZON_EPOCHS + 1)
        self._factors = tuple(decay(age, parameters.half_life) for age in ages)
        self._fraud_factors = tuple(decay(age, parameters.fraud_half_life) for age in ages)
        self._cells: dict[Pair, dict[int, list[int]]] = {}
        """Pair -> epoch -> values by kind; what has come to nothing is dropped."""
        self._sums: dict[Pair, Sums] = {}
        self._sums_epoch: int | None = None
        """The epoch that the sums are of."""
        self._changed: set[Pair] = set()
        """Pairs whose sums are out of date."""

    def add(self, ratings: Iterable[Rating]) -> None:
        """Take ratings in; what an account says of itself counts nothing. Rules: REP-9."""
        for rating in ratings:
            self._apply(rating, 1)

    def remove(self, ratings: Iterable[Rating]) -> None:
        """Take out what was added before."""
        for rating in ratings:
            self._apply(rating, -1)

    def sums(self, epoch: int) -> Mapping[Pair, Sums]:
        """Return the decayed sums of all pairs that have any; only pairs that changed are added up anew.

        Args:
            epoch: Now; ratings from later ones do not count yet, and those older than the horizon no more.

        Rules: REP-10.
        """
        if epoch != self._sums_epoch:
            self._sums, self._sums_epoch = {}, epoch
            self._changed = set(self._cells)
        for pair in self._changed:
            found = self._sum_up(pair, epoch)
            if found.total or found.fraud or found.found_fraud:
                self._sums[pair] = found
            else:
                self._sums.pop(pair, None)
        self._changed.clear()
        return self._sums

    def _apply(self, rating: Rating, sign: int) -> None:
        if rating.rater == rating.rated or rating.value == 0:  # REP-9
            return
        pair = (rating.rater, rating.rated)
        epochs = self._cells.setdefault(pair, {})
        cell = epochs.setdefault(rating.epoch, [0] * len(_PLACE))
        cell[_PLACE[rating.kind]] += sign * rating.value
        if not any(cell):
            del epochs[rating.epoch]
            if not epochs:
                del self._cells[pair]
        self._changed.add(pair)

    def _sum_up(self, pair: Pair, epoch: int) -> Sums:
        good = wrong = soft = fraud = found = found_fraud = 0
        for then, cell in self._cells.get(pair, {}).items():
            age = epoch - then
            if 0 <= age <= limits.REPUTATION_HORIZON_EPOCHS:
                factor = self._factors[age]
                good += cell[0] * factor
                wrong += cell[1] * factor
                soft += cell[2] * factor
                fraud += cell[1] * self._fraud_factors[age]
                found += cell[3] * factor
                found_fraud += cell[3] * self._fraud_factors[age]
        return Sums(*(value >> ONE_BITS for value in (good, wrong, soft, fraud, found, found_fraud)))
