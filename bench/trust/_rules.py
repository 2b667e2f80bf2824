"""The rules that are compared: none, plain average, Beta, EigenTrust, and ours with and without what stake pays for.

All see the same ratings. A rule says how well it thinks of a worker (0 to 1), whether it lets it bid, and how likely a
result is checked.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from skyops_p2p.core.reputation.accuracy import mean
from skyops_p2p.core.reputation.conduct import SLOTS_PER_EPOCH, Day
from skyops_p2p.core.reputation.fixed import MILLION
from skyops_p2p.core.reputation.parameters import DEFAULTS, Parameters
from skyops_p2p.core.reputation.ratings import Kind, Rating, RatingBook, Role
from skyops_p2p.core.reputation.standings import Assessment, Inputs, credibility
from skyops_p2p.core.reputation.uses import (
    Record,
    check_chance,
    has_room,
    is_on_probation,
)
from skyops_p2p.core.reputation.voices import Stake

FIXED_CHECK = 0.3
"""Chance that a wrong result is noticed under rules that do not check by themselves."""
STRANGER = 0.5
FAST = replace(DEFAULTS, half_life=5)


@dataclass(frozen=True, slots=True)
class Said:
    """One rating as a rule sees it."""

    rater: bytes
    rated: bytes
    kind: Kind
    value: float
    epoch: int
    is_checked: bool = False
    """Somebody whom neither side chose has looked."""


class NoRule:
    """Everybody is as good as anybody."""

    name = "none"
    has_stake = False

    def hear(self, said: Said) -> None:
        """Take a rating in."""

    def turn(self, epoch: int, stakes: dict[bytes, Stake]) -> None:
        """Begin an epoch."""

    def trust(self, worker: bytes) -> float:
        """Return what goes into the award, 0 to 1."""
        return 1.0

    def stranger(self) -> float:
        """Return what one would have whom nobody knows."""
        return 1.0

    def is_admitted(self, worker: bytes) -> bool:
        """Tell whether a worker passes the gate."""
        return True

    def has_room(self, worker: bytes, value: float, open_value: float) -> bool:
        """Tell whether its stake covers one more job."""
        return True

    def is_new(self, worker: bytes) -> bool:
        """Tell whether it is in a lane of its own."""
        return False

    def check_chance(self, worker: bytes, value: float, open_value: float) -> float:
        """Return how likely a result is checked."""
        return FIXED_CHECK

    def checked(self, worker: bytes, *, is_right: bool) -> None:
        """Hear of a check's outcome."""

    def ban(self, account: bytes) -> None:
        """Hear of a double history."""

    def hear_requester(self, said: Said) -> None:
        """Take a rating of a requester in."""

    def pays_ahead(self, requester: bytes) -> bool:
        """Tell whether workers ask a requester for an interval ahead."""
        return False

    def share_of(self, accounts: Iterable[bytes]) -> float | None:
        """Return the part of all counted evidence that is from some accounts, where the rule has such a thing."""
        return None


class Average(NoRule):
    """Good value through all value, for ever."""

    name = "average"

    def __init__(self) -> None:
        self._sums: defaultdict[bytes, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def hear(self, said: Said) -> None:
        self._sums[said.rated][said.kind is not Kind.GOOD] += said.value

    def trust(self, worker: bytes) -> float:
        good, bad = self._sums[worker]
        return good / (good + bad) if good + bad else STRANGER

    def stranger(self) -> float:
        return STRANGER


class Beta(Average):
    """Mean of a Beta distribution that forgets with the half-life that ours has (Josang and Ismail 2002)."""

    name = "Beta"

    def turn(self, epoch: int, stakes: dict[bytes, Stake]) -> None:
        for sums in self._sums.values():
            sums[:] = [value * 0.5 ** (1 / DEFAULTS.half_life) for value in sums]

    def trust(self, worker: bytes) -> float:
        good, bad = self._sums[worker]
        return (good + 1) / (good + bad + 2)


class EigenTrust(NoRule):
    """Power iteration over net satisfaction, with ten pre-trusted accounts (Kamvar et al. 2003), a = 0.15."""

    name = "EigenTrust"
    RESTART, ROUNDS = 0.15, 15

    def __init__(self, pretrusted: Iterable[bytes]) -> None:
        self._local: defaultdict[bytes, defaultdict[bytes, float]] = defaultdict(lambda: defaultdict(float))
        self._pretrusted = tuple(pretrusted)
        self._trust: dict[bytes, float] = {}
        self._typical = 1.0

    def hear(self, said: Said) -> None:
        self._local[said.rater][said.rated] += said.value if said.kind is Kind.GOOD else -said.value

    def turn(self, epoch: int, stakes: dict[bytes, Stake]) -> None:
        start = dict.fromkeys(self._pretrusted, 1 / len(self._pretrusted))
        rows = {}
        for rater, row in self._local.items():
            kept = {rated: value for rated, value in row.items() if value > 0}
            total = sum(kept.values())
            rows[rater] = {rated: value / total for rated, value in kept.items()} if total else start
        trust = start
        for _ in range(self.ROUNDS):
            flow: defaultdict[bytes, float] = defaultdict(float)
            for rater, share in trust.items():
                for rated, part in rows.get(rater, start).items():
                    flow[rated] += share * part * (1 - self.RESTART)
            for account, share in start.items():
                flow[account] += share * self.RESTART
            trust = flow
        self._trust, self._typical = dict(trust), 1 / max(1, len(stakes))

    def trust(self, worker: bytes) -> float:
        return min(1.0, self._trust.get(worker, 0.0) / self._typical)

    def stranger(self) -> float:
        return 0.0


class Ours(NoRule):
    """The production functions; without stake it is the score alone.

    Args:
        has_stake: With stake-backed priors, probation lane, adaptive checks, exposure and slashing.
        is_fast: With a second, faster window (the least of both counts).
        parameters: Of the score.
    """

    def __init__(self, *, has_stake: bool, is_fast: bool = False, parameters: Parameters = DEFAULTS) -> None:
        self.name = ("full" if has_stake else "score only") + (" + fast window" if is_fast else "")
        self.has_stake = has_stake
        self._parameters = parameters if has_stake else replace(parameters, prior_of_stake=0)
        self._book = RatingBook(self._parameters)
        self._requesters = RatingBook(self._parameters)
        self._fast = RatingBook(FAST) if is_fast else None
        self._banned: set[bytes] = set()
        self._streak: defaultdict[bytes, int] = defaultdict(int)
        self._checked: defaultdict[bytes, int] = defaultdict(int)
        self._stakes: dict[bytes, Stake] = {}
        self._scores: dict[bytes, int] = {}
        self._epoch = 0
        self.now = self._assess()

    def hear(self, said: Said) -> None:
        divisor = 1 if said.is_checked or said.kind is Kind.WRONG else 4
        value = int(said.value * MILLION) // divisor
        ratings = [Rating(said.rater, said.rated, said.kind, value, said.epoch)]
        self._book.add(ratings)
        if self._fast is not None:
            self._fast.add(ratings)

    def turn(self, epoch: int, stakes: dict[bytes, Stake]) -> None:
        self._epoch, self._stakes, self._scores = epoch, stakes, {}
        self.now = self._assess()

    def trust(self, worker: bytes) -> float:
        return min(1.0, self._score(worker) / 700_000)

    def stranger(self) -> float:
        return min(1.0, self._score(b"nobody") / 700_000)

    def is_admitted(self, worker: bytes) -> bool:
        return self._score(worker) >= self._parameters.gate

    def has_room(self, worker: bytes, value: float, open_value: float) -> bool:
        return not self.has_stake or has_room(self._record(worker, open_value), int(value * MILLION))

    def is_new(self, worker: bytes) -> bool:
        is_fit = worker not in self._banned and is_on_probation(self._record(worker, 0))
        return self.has_stake and is_fit

    def check_chance(self, worker: bytes, value: float, open_value: float) -> float:
        if not self.has_stake:
            return FIXED_CHECK
        return check_chance(self._record(worker, open_value), int(value * MILLION)) / MILLION

    def checked(self, worker: bytes, *, is_right: bool) -> None:
        self._checked[worker] += 1
        self._streak[worker] = self._streak[worker] + 1 if is_right else 0

    def ban(self, account: bytes) -> None:
        self._banned.add(account)

    def hear_requester(self, said: Said) -> None:
        value = int(said.value * MILLION) // 4
        self._requesters.add([Rating(said.rater, said.rated, said.kind, value, said.epoch)])

    def pays_ahead(self, requester: bytes) -> bool:
        inputs = Inputs(self._stakes, banned=frozenset(self._banned))
        found = Assessment(
            self._requesters, Role.REQUESTER, inputs, epoch=self._epoch, parameters=self._parameters
        )
        return found.standing(requester).credibility < self._parameters.gate

    def share_of(self, accounts: Iterable[bytes]) -> float:
        filled = sum(self.now.part_of(account) * self.now.spend.get(account, 0) >> 48 for account in accounts)
        return filled / self.now.budgets.counted if self.now.budgets.counted else 0.0

    def _assess(self) -> Assessment:
        day = {self._epoch: Day(SLOTS_PER_EPOCH, SLOTS_PER_EPOCH)}
        days = dict.fromkeys([*self._stakes, b"nobody"], day)  # everybody keeps its machine up
        inputs = Inputs(self._stakes, days, banned=frozenset(self._banned))
        return Assessment(self._book, Role.WORKER, inputs, epoch=self._epoch, parameters=self._parameters)

    def _score(self, worker: bytes) -> int:
        if worker not in self._scores:
            standing = self.now.standing(worker)
            found = standing.credibility
            if self._fast is not None and not standing.is_banned:
                found = min(found, self._fast_score(worker))
            self._scores[worker] = found
        return self._scores[worker]

    def _fast_score(self, worker: bytes) -> int:
        """Return what the score is with recent evidence only, and the slow accuracy as its prior."""
        assert self._fast is not None
        standing = self.now.standing(worker)
        recent = self._fast.sums(self._epoch)
        heard = ((rater, recent.get((rater, worker))) for rater in self.now.heard_of(worker))
        good = bad = 0
        for rater, sums in heard:
            if sums is not None:
                part = self.now.part_of(rater)
                cap = 5 * MILLION
                good += part * (cap * sums.good // (sums.good + cap))
                bad += part * (5 * sums.wrong + sums.soft)
        found = replace(standing.tally, good=good >> 48, bad=bad >> 48)
        quick = mean(found, standing.accuracy, self._parameters)
        return credibility((quick, standing.availability, standing.efficiency), self._parameters)

    def _record(self, worker: bytes, open_value: float) -> Record:
        stake = self._stakes.get(worker)
        return Record(
            streak=self._streak[worker],
            checked=self._checked[worker],
            stake=stake.amount if stake else 0,
            open_value=math.ceil(open_value * MILLION),
        )
