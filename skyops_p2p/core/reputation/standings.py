"""The score: everything that a node's evidence comes to at one epoch, for both roles. Pure.

Same evidence, same stakes, same parameters: same integers. Spec: protocol/08-reputation.md, "Credibility".
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from skyops_p2p import limits
from skyops_p2p.core.reputation.accuracy import Tally, accuracy, prior_of, remembered, tally
from skyops_p2p.core.reputation.conduct import Day, Pace, availability, efficiency
from skyops_p2p.core.reputation.fixed import MILLION, ONE, ONE_BITS, decay, geometric
from skyops_p2p.core.reputation.parameters import DEFAULTS, Parameters
from skyops_p2p.core.reputation.ratings import RatingBook, Role, Sums
from skyops_p2p.core.reputation.voices import Budgets, Stake, budgets, credit, seeds, spend_of

WEIGHTS = (12, 5, 3)
"""Of accuracy, availability and efficiency in the geometric mean: 0.60, 0.25, 0.15."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How fast a job was done, beside others that gave the same answer to it."""

    rater: bytes
    """Requester of the job."""
    rated: bytes
    value: int
    """Microcredits that the job counts for."""
    epoch: int
    ratio: int
    """Reference over metered time, millionths; classes of devices are made equal."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an assessment is made from."""

    stakes: Mapping[bytes, Stake]
    days: Mapping[bytes, Mapping[int, Day]] = field(default_factory=dict)
    """Account -> epoch -> its slots."""
    comparisons: tuple[Comparison, ...] = ()
    banned: frozenset[bytes] = frozenset()
    """Accounts with a double history."""
    doubled: frozenset[bytes] = frozenset()
    """Witnesses that have contradicted themselves: they have no availability."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is thought of one account in one role; all in millionths but for the tally."""

    account: bytes
    role: Role
    credibility: int
    """C: what awards, checks, holdback and exposure go by."""
    accuracy: int
    availability: int
    efficiency: int
    prior: int
    """What the accuracy would be without evidence."""
    memory: int
    """What fraud memory leaves of it."""
    tally: Tally
    raters: int
    """How many raters count."""
    is_banned: bool = False

    @property
    def permille(self) -> int:
        """C as it is shown, 0 to 1000."""
        return self.credibility // 1000


class Assessment:
    """All scores of one role at one epoch.

    Args:
        book: The role's ratings.
        role: Which role.
        inputs: Everything else.
        epoch: Days since 1970.
        parameters: The network's.

    Rules: REP-11 to REP-21.
    """

    def __init__(
        self,
        book: RatingBook,
        role: Role,
        inputs: Inputs,
        *,
        epoch: int,
        parameters: Parameters = DEFAULTS,
    ) -> None:
        self.role, self.epoch, self.parameters = role, epoch, parameters
        self._inputs = inputs
        slashed = {account for account, stake in inputs.stakes.items() if stake.is_slashed}
        self._out = inputs.banned | slashed
        heard = {pair: sums for pair, sums in book.sums(epoch).items() if self._out.isdisjoint(pair)}
        heard_of = {account for pair in heard for account in pair}
        stakes = {who: stake for who, stake in inputs.stakes.items() if who in heard_of}  # REP-11
        self.credit: Mapping[bytes, int] = credit(heard, seeds(stakes, epoch, parameters), parameters)
        self.spend: Mapping[bytes, int] = spend_of(heard)
        self.budgets: Budgets = budgets(self.spend, self.credit, parameters)
        self._of: defaultdict[bytes, dict[bytes, Sums]] = defaultdict(dict)
        """Rated -> rater -> sums."""
        for (rater, rated), sums in heard.items():
            self._of[rated][rater] = sums
        self._paces: defaultdict[bytes, list[Pace]] = defaultdict(list)
        for found in inputs.comparisons:
            self._add_pace(found)

    def accounts(self) -> list[bytes]:
        """Return all accounts that were rated or have a stake, ascending."""
        return sorted({*self._of, *self._inputs.stakes})

    def heard_of(self, account: bytes) -> Mapping[bytes, Sums]:
        """Return what each rater says of an account."""
        return self._of.get(account, {})

    def part_of(self, rater: bytes) -> int:
        """Return the part of a rater's evidence that counts, in units of 1 / ONE."""
        return self.budgets.part.get(rater, 0)

    def slots_of(self, account: bytes) -> Day:
        """Return an account's slots of all days that count, without decay."""
        days = self._inputs.days.get(account, {})
        oldest = self.epoch - limits.REPUTATION_UPTIME_EPOCHS
        return sum((day for epoch, day in days.items() if oldest <= epoch <= self.epoch), Day(0, 0))

    def has_contradicted(self, account: bytes) -> bool:
        """Tell whether a witness has contradicted itself. Rules: PRB-14."""
        return account in self._inputs.doubled

    def tally_of(self, account: bytes) -> Tally:
        """Return what counts for and against an account."""
        heard = self.heard_of(account)
        return tally(((self.part_of(rater), sums) for rater, sums in heard.items()), self.parameters)

    def standing(self, account: bytes) -> Standing:
        """Return an account's score; one that nobody knows has that of a stranger. Rules: REP-20, REP-21."""
        stake = self._inputs.stakes.get(account)
        is_banned = account in self._out
        prior = prior_of(stake.amount if stake else 0, self.parameters)
        return self.standing_with(account, self.tally_of(account), prior, is_banned=is_banned)

    def standing_with(self, account: bytes, found: Tally, prior: int, *, is_banned: bool = False) -> Standing:
        """Return the score that an account would have with another tally or prior: what explanations are made of."""
        parameters = self.parameters
        up, pace = MILLION, MILLION
        if self.role is Role.WORKER:
            up = availability(self._inputs.days.get(account, {}), self.epoch, parameters)
            up = 0 if account in self._inputs.doubled else up  # PRB-14
            pace = efficiency(self._paces.get(account, ()), parameters)
        right = accuracy(found, prior, parameters)
        return Standing(
            account=account,
            role=self.role,
            credibility=0 if is_banned else credibility((right, up, pace), parameters),
            accuracy=0 if is_banned else right,
            availability=up,
            efficiency=pace,
            prior=prior,
            memory=remembered(found, parameters) * MILLION >> ONE_BITS,
            tally=found,
            raters=sum(1 for rater in self.heard_of(account) if self.part_of(rater)),
            is_banned=is_banned,
        )

    def standings(self) -> list[Standing]:
        """Return the scores of all known accounts, ascending by account."""
        return [self.standing(account) for account in self.accounts()]

    def _add_pace(self, found: Comparison) -> None:
        age = self.epoch - found.epoch
        if age >= 0:
            part = self.part_of(found.rater) * decay(age, self.parameters.half_life)
            self._paces[found.rated].append(Pace(found.ratio, found.value * part // ONE**2))


def credibility(parts: tuple[int, int, int], parameters: Parameters = DEFAULTS) -> int:
    """Return C from A, U and E, millionths; below the gate whenever A is. Rules: REP-20."""
    found = geometric(tuple(zip(parts, WEIGHTS, strict=True)))
    return found if parts[0] >= parameters.gate else min(found, parameters.gate - 1)


def personal(own: Sums, common: int, parameters: Parameters = DEFAULTS) -> int:
    """Return a node's own view of an accuracy, millionths, for its own jobs only. Rules: REP-22.

    Args:
        own: What the node itself has seen of the account, at full weight whether settled or checked or not.
        common: The accuracy that everybody computes.
        parameters: How soon own experience counts.
    """
    against = parameters.wrong_weight * own.wrong + own.soft
    seen, weight = own.good + against, parameters.own_weight * parameters.unit
    return (own.good * MILLION + weight * common) // (seen + weight)


def seen_by(own: Sums, common: Standing, parameters: Parameters = DEFAULTS) -> Standing:
    """Return a standing as a node sees it that has its own experience of the account. Rules: REP-22.

    Args:
        own: As for `personal`.
        common: What everybody computes; not of a banned account.
        parameters: How soon own experience counts.
    """
    right = personal(own, common.accuracy, parameters)
    parts = (right, common.availability, common.efficiency)
    return replace(common, accuracy=right, credibility=credibility(parts, parameters))
