"""A market of decisions: who bids, who wins, what is checked, what everybody hears. One seed, no nodes, no messages.

The same jobs, bidders and prices come to every rule; only what the rule decides differs. Values are in v, the mean
value of a job; an epoch is a day.
"""

import math
import random
from dataclasses import dataclass, field

from bench.trust._attacks import Attack, is_cheating_time
from bench.trust._rules import NoRule, Said
from skyops_p2p.core.reputation.ratings import Kind
from skyops_p2p.core.reputation.uses import PROBATION_PERMILLE, PROBATION_STAKE
from skyops_p2p.core.reputation.voices import Stake

MICRO = 1_000_000
ATTACKERS, ATTACKERS_STAKE = 0.3, 0.1
"""Of all identities, of all stake."""
MEAN_STAKE = 40.0
JOBS_PER_IDENTITY = 0.4
"""In an epoch, unless said otherwise."""
PRICES = (0.75, 0.95)
"""Asked for each v by who computes."""
JOBS_MAX = 3
"""That one worker takes in an epoch."""
BIDDERS = 12
UNDERBID = 0.8
SOFT_FAILS, SILENT_ERRORS = 0.032, 0.001
NEWCOMERS, NEWCOMERS_AT = 0.06, 40
FEE = 0.03
SLASH = 10.0
REGISTRATION = 5.0
"""What a new identity burns where stake is needed."""
UNBONDING = 14
INTERVAL = 1 / 60
"""Part of a job that is unpaid at most."""
PRICE_FLOOR = 0.6
FORK_NOTICED = 0.9
ECLIPSED_BIDDERS = 0.8
JURORS = 31
"""Of the last appeal."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a world is like, whatever happens in it."""

    identities: int
    epochs: int
    busyness: float = 1.0
    """Jobs are so many times JOBS_PER_IDENTITY."""
    is_price_fixed: bool = True
    """A worker asks for the same in each tender; else anew each time, and nobody is cheap for ever."""


@dataclass(slots=True)
class Person:
    """Somebody behind one identity at a time."""

    account: bytes
    is_attacker: bool
    price: float
    """Asked for each v, where that is fixed."""
    discount: float
    """UNDERBID or 1."""
    stake: float
    starts: int = 0
    is_spy: bool = False
    is_working: bool = True
    names: int = 1
    returning: list[tuple[int, float]] = field(default_factory=list)
    """Stake that leaves an old name: (epoch, v)."""
    earned: float = 0.0
    awards: float = 0.0
    jobs_now: int = 0
    open_value: float = 0.0


@dataclass(slots=True)
class Report:
    """What came of it, in v."""

    value: float = 0.0
    lost: float = 0.0
    lost_late: float = 0.0
    value_late: float = 0.0
    to_attackers: float = 0.0
    income: float = 0.0
    fees: float = 0.0
    slashed: float = 0.0
    honest_slashed: float = 0.0
    jobs: int = 0
    checked: int = 0
    jobs_late: int = 0
    """In the last quarter."""
    checked_late: int = 0
    unserved: int = 0
    newcomers: float = 0.0
    value_since_newcomers: float = 0.0
    earnings: list[float] = field(default_factory=list)
    """Of each honest worker that was there from the start."""
    evidence: float | None = None
    """The attackers' part of counted evidence in the end."""
    curve: list[float] = field(default_factory=list)
    """Lost part of each epoch's value."""


class World:
    """One world under one rule.

    Args:
        rule: What decides.
        attack: What the attackers do.
        seed: Of everything.
        setting: Its size and kind.
    """

    def __init__(self, rule: NoRule, attack: Attack, seed: int, setting: Setting) -> None:
        self.rule, self.attack, self.seed, self.setting = rule, attack, seed, setting
        identities, self.epochs = setting.identities, setting.epochs
        self.scale = identities / 500
        jobs = identities * JOBS_PER_IDENTITY * setting.busyness
        self.jobs = round(jobs * (0.25 if attack.is_eclipsing else 1))
        self.jobs_max = round(JOBS_MAX * setting.busyness)
        self.people = _people(random.Random(f"people {seed}"), attack, identities)
        self.bad = [person for person in self.people if person.is_attacker]
        self.good = [person for person in self.people if not person.is_attacker]
        self.victim = self.good[0]
        self.report = Report()
        self.epoch = 0
        whole = sum(person.stake for person in self.people)
        share = sum(person.stake for person in self.bad) / whole
        self.colluders = attack.verifier_share if attack.verifier_share is not None else share

    def run(self) -> Report:
        """Let all epochs pass."""
        for epoch in range(self.epochs):
            self.epoch = epoch
            self.rule.turn(epoch, self._stakes())
            lost, value = self.report.lost, self.report.value
            jobs, checked = self.report.jobs, self.report.checked
            self._act(random.Random(f"acts {self.seed} {epoch}"))
            present = [person for person in self.people if person.starts <= epoch]
            for person in present:
                person.jobs_now, person.open_value = 0, 0.0
            for number in range(self.jobs):
                self._job(random.Random(f"job {self.seed} {epoch} {number}"), present, number)
            part = (self.report.lost - lost) / max(1e-9, self.report.value - value)
            self.report.curve.append(part)
            if epoch >= self.epochs * 3 // 4:
                self.report.lost_late += self.report.lost - lost
                self.report.value_late += self.report.value - value
                self.report.jobs_late += self.report.jobs - jobs
                self.report.checked_late += self.report.checked - checked
        self.rule.turn(self.epochs, self._stakes())
        self.report.evidence = self.rule.share_of(person.account for person in self.bad)
        self.report.earnings = [person.earned for person in self.good if person.starts == 0]
        self.report.newcomers = sum(person.awards for person in self.good if person.starts)
        return self.report

    # --- what attackers do besides work -----------------------------------------------------------------------------
    def _act(self, draw: random.Random) -> None:
        attack, scale = self.attack, self.scale
        for person in self.bad:
            person.stake += sum(stake for due, stake in person.returning if due <= self.epoch)
            person.returning = [entry for entry in person.returning if entry[0] > self.epoch]
        if attack.is_whitewashing:
            for person in self.bad:
                self._rename(person)
        workers = [person for person in self.bad if person.is_working]
        raters = [person for person in self.bad if not person.is_working] or self.bad
        for _ in range(round(attack.fakes * scale)):
            rater, rated = draw.choice(raters), draw.choice(workers)
            if rater is not rated:
                self.report.fees += FEE
                self._hear(rater, rated, Kind.GOOD, 1.0)
        best = sorted(self.good, key=lambda person: (-self.rule.trust(person.account), person.account))
        best = best[: max(1, len(self.good) * 2 // 7)]
        for _ in range(round(attack.complaints * scale)):
            self._hear(draw.choice(self.bad), draw.choice(best), Kind.SOFT, 1.0)
        for _ in range(round(60 * scale) if attack.is_undermetering else 0):
            self._undermeter(draw)

    def _rename(self, person: Person) -> None:
        if person.is_spy or self.rule.trust(person.account) >= self.rule.stranger():
            return
        if self.rule.has_stake:
            self.report.fees += REGISTRATION
            if person.stake:
                person.returning.append((self.epoch + UNBONDING, person.stake))
                person.stake = 0.0
        person.names += 1
        person.account = person.account.partition(b"/")[0] + b"/%d" % person.names

    def _undermeter(self, draw: random.Random) -> None:
        """An attacker hires an honest worker, and does not pay an interval, unless it must pay ahead."""
        requester, worker = draw.choice(self.bad), draw.choice(self.good)
        if self.rule.pays_ahead(requester.account):
            return
        self.report.income += INTERVAL
        self.rule.hear_requester(Said(worker.account, requester.account, Kind.SOFT, INTERVAL, self.epoch))

    # --- work -------------------------------------------------------------------------------------------------------
    def _job(self, draw: random.Random, present: list[Person], number: int) -> None:
        requester = self.victim if self.attack.is_eclipsing else draw.choice(self.good)
        value = draw.lognormvariate(-0.18, 0.6)
        bidders = self._bidders(draw, requester, present)
        is_lane = draw.random() * 1000 < PROBATION_PERMILLE
        points = {id(person): 0.2 * draw.random() + 0.1 * draw.random() for person in bidders}
        luck = draw.random()
        if not self.setting.is_price_fixed:
            prices = random.Random(f"prices {self.seed} {self.epoch} {number}")
            for person in bidders:
                person.price = prices.uniform(*PRICES) * person.discount
        able = [person for person in bidders if person.jobs_now < self.jobs_max]
        able = [p for p in able if self.rule.has_room(p.account, value, p.open_value)]
        worker = self._lane(able, value, luck) if is_lane else None
        worker = worker or self._best(able, points)
        if worker is None:
            self.report.unserved += 1
            return
        worker.jobs_now += 1
        self._done(draw, requester, worker, value)

    def _bidders(self, draw: random.Random, requester: Person, present: list[Person]) -> list[Person]:
        able = [person for person in present if person.is_working and person is not requester]
        if self.attack.is_eclipsing:
            bad = round(BIDDERS * ECLIPSED_BIDDERS)
            return [
                *draw.sample([person for person in able if person.is_attacker], bad),
                *draw.sample([person for person in able if not person.is_attacker], BIDDERS - bad),
            ]
        chosen = draw.sample(able, min(BIDDERS, len(able)))
        hidden = self.attack.withholds
        return [person for person in chosen if not (person.is_attacker and draw.random() < hidden)]

    def _lane(self, able: list[Person], value: float, luck: float) -> Person | None:
        """Draw one of those on probation by stake."""
        fit = [
            person
            for person in able
            if self.rule.is_new(person.account) and value <= 1 and person.stake >= PROBATION_STAKE * value
        ]
        left = luck * sum(person.stake for person in fit)
        for person in fit:
            left -= person.stake
            if left <= 0:
                return person
        return None

    def _best(self, able: list[Person], points: dict[int, float]) -> Person | None:
        admitted = [person for person in able if self.rule.is_admitted(person.account)] or able

        def score(person: Person) -> tuple[float, bytes]:
            price = min(1.0, (1 - person.price) / (1 - PRICE_FLOOR))
            trust = 0.3 * self.rule.trust(person.account)
            return 0.4 * price + trust + points[id(person)], person.account

        return max(admitted, key=score, default=None)

    def _done(self, draw: random.Random, requester: Person, worker: Person, value: float) -> None:
        report, attack = self.report, self.attack
        report.jobs += 1
        report.value += value
        worker.awards += value
        if self.epoch >= NEWCOMERS_AT:
            report.value_since_newcomers += value
        chance = self.rule.check_chance(worker.account, value, worker.open_value)
        is_checked, fate, luck = draw.random() < chance, draw.random(), draw.random()
        worker.open_value += value
        report.checked += is_checked
        is_bad = worker.is_attacker and not worker.is_spy
        report.to_attackers += value if worker.is_attacker else 0
        if is_bad and attack.is_overmetering:
            report.income += INTERVAL * value
            self._hear(requester, worker, Kind.SOFT, value, is_checked=True)
            return
        if fate < SOFT_FAILS and not worker.is_attacker:
            self._hear(requester, worker, Kind.SOFT, value, is_checked=True)
            return
        wrong = SILENT_ERRORS if not is_bad else attack.cheats
        is_wrong = luck < wrong and (not is_bad or is_cheating_time(attack, self.epoch))
        self._judge(draw, requester, worker, value, is_wrong=is_wrong, is_checked=is_checked)

    def _judge(
        self,
        draw: random.Random,
        requester: Person,
        worker: Person,
        value: float,
        *,
        is_wrong: bool,
        is_checked: bool,
    ) -> None:
        attack, report = self.attack, self.report
        first, second = draw.random() < self.colluders, draw.random() < self.colluders
        is_drawn = self.rule.has_stake
        passes = is_checked and is_drawn and worker.is_attacker and first
        is_framed = is_drawn and attack.is_framing and not worker.is_attacker and first and second
        is_framed = is_framed and draw.random() < _wrong_jury(
            self.colluders
        )  # who is right appeals to the end
        if attack.is_copying and is_checked and is_drawn and first:
            report.checked += 1  # their verifier has no answer that fits, and another is drawn
            passes = False
        is_caught = is_checked and ((is_wrong and not passes) or is_framed)
        if is_checked:
            self.rule.checked(worker.account, is_right=not is_caught)
        if is_caught:
            self._caught(draw, requester, worker, value)
            return
        if is_wrong:
            report.lost += value
            report.income += value * worker.price if worker.is_attacker else 0
        worker.earned += value * worker.price
        self._hear(requester, worker, Kind.GOOD, value, is_checked=is_checked)

    def _caught(self, draw: random.Random, requester: Person, worker: Person, value: float) -> None:
        part = SLASH * value
        if worker.is_attacker and draw.random() < self.attack.forks:
            is_noticed = self.rule.has_stake and draw.random() < FORK_NOTICED
            if not is_noticed:
                return
            self.rule.ban(worker.account)
            part = worker.stake
        self._hear(requester, worker, Kind.WRONG, value, is_checked=True)
        if self.rule.has_stake:
            lost = min(worker.stake, part)
            worker.stake -= lost
            if worker.is_attacker:
                self.report.slashed += lost
            else:
                self.report.honest_slashed += lost

    def _hear(
        self, rater: Person, rated: Person, kind: Kind, value: float, *, is_checked: bool = False
    ) -> None:
        if self.attack.is_eclipsing and not rater.is_attacker and rater is not self.victim:
            return
        self.rule.hear(Said(rater.account, rated.account, kind, value, self.epoch, is_checked))

    def _stakes(self) -> dict[bytes, Stake]:
        return {
            person.account: Stake(int(person.stake * MICRO), person.starts if person.starts else -20)
            for person in self.people
            if person.starts <= self.epoch
        }


def _wrong_jury(part: float) -> float:
    """Return how likely most of the last jury are the attackers'."""
    return sum(
        math.comb(JURORS, n) * part**n * (1 - part) ** (JURORS - n)
        for n in range(JURORS // 2 + 1, JURORS + 1)
    )


def _people(draw: random.Random, attack: Attack, identities: int) -> list[Person]:
    bad = round(identities * ATTACKERS)
    good = identities - bad
    people = [_person(draw, b"honest%04d" % number, is_attacker=False) for number in range(good)]
    theirs = sum(person.stake for person in people) * ATTACKERS_STAKE / (1 - ATTACKERS_STAKE)
    is_cheap = attack.cheats > 0  # who does not compute can ask for less
    attackers = [
        _person(draw, b"mallory%04d" % number, is_attacker=True, is_cheap=is_cheap) for number in range(bad)
    ]
    whales = round(attack.whales * identities / 500) or (1 if attack.whales else 0)
    for number, person in enumerate(attackers):
        person.stake = theirs / (whales or bad) if not whales or number < whales else 0.0
        person.is_working = not whales or number < whales
        person.is_spy = number < attack.spies * bad
    late = [
        _person(draw, b"newcomer%04d" % number, is_attacker=False)
        for number in range(round(identities * NEWCOMERS))
    ]
    for person in late:
        person.starts = NEWCOMERS_AT
    return [*people, *attackers, *late]


def _person(draw: random.Random, account: bytes, *, is_attacker: bool, is_cheap: bool = False) -> Person:
    discount = UNDERBID if is_cheap else 1.0
    price = draw.uniform(*PRICES) * discount
    return Person(account, is_attacker, price, discount, MEAN_STAKE * draw.lognormvariate(-0.18, 0.6))
