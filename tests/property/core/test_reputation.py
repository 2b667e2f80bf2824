"""The invariants of chapter 08 that mechanisms rest on: I1 to I9 of the design, over random markets."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from skyops_p2p.core.reputation.accuracy import Tally, accuracy, capped, prior_of
from skyops_p2p.core.reputation.conduct import EPOCH_MS, Day
from skyops_p2p.core.reputation.deals import Check, Deal, Offence, PairMoney, ratings_of
from skyops_p2p.core.reputation.findings import Finding
from skyops_p2p.core.reputation.fixed import MILLION, ONE, decay, geometric, root
from skyops_p2p.core.reputation.ledger import Ledger
from skyops_p2p.core.reputation.parameters import DEFAULTS
from skyops_p2p.core.reputation.ratings import Kind, Rating, RatingBook, Role, Sums
from skyops_p2p.core.reputation.standings import Assessment, Inputs, Standing, credibility, personal
from skyops_p2p.core.reputation.uses import CHECK_FLOOR, Record, check_chance, has_room
from skyops_p2p.core.reputation.voices import Stake, budgets, credit, seeds, spend_of
from skyops_p2p.core.settlement.receipts import ChainPlace
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.types import UnixMs

TODAY = 20_000
NOW = UnixMs(TODAY * EPOCH_MS + 1)
UNIT = DEFAULTS.unit
SKY = 10**18
PEOPLE = 8
WHO = st.integers(0, PEOPLE - 1)
VALUE = st.integers(0, 20 * UNIT)
AMOUNTS = st.integers(0, 200 * UNIT)


def name(number: int) -> bytes:
    return number.to_bytes(20, "big")


RATINGS = st.lists(
    st.builds(
        lambda rater, rated, kind, value, age: Rating(name(rater), name(rated), kind, value, TODAY - age),
        WHO, WHO, st.sampled_from([Kind.GOOD, *Kind]), VALUE, st.integers(-1, 400),
    ),
    max_size=60,
)  # fmt: skip
STAKES = st.dictionaries(
    WHO.map(name),
    st.builds(Stake, st.integers(0, 200 * UNIT), st.integers(TODAY - 30, TODAY)),
    max_size=PEOPLE,
)


def assessed(ratings: list[Rating], stakes: dict[bytes, Stake], role: Role = Role.WORKER) -> Assessment:
    book = RatingBook(DEFAULTS)
    book.add(ratings)
    return Assessment(book, role, Inputs(stakes), epoch=TODAY)


# --- arithmetic -------------------------------------------------------------------------------------------------
@given(st.integers(0, 2**300), st.integers(1, 64))
def test_roots_are_exact_floors(value: int, degree: int) -> None:  # REP-1
    found = root(value, degree)
    assert found**degree <= value < (found + 1) ** degree


@given(st.integers(0, 4000), st.integers(1, 60))
def test_decay_falls_and_halves(age: int, half_life: int) -> None:  # REP-1
    assert ONE >= decay(age, half_life) >= decay(age + 1, half_life) >= 0
    assert abs(decay(age + half_life, half_life) - decay(age, half_life) // 2) <= 1


@given(st.lists(st.integers(0, MILLION), min_size=3, max_size=3))
def test_a_mean_is_between_its_parts(parts: list[int]) -> None:
    found = geometric(tuple(zip(parts, (12, 5, 3), strict=True)))
    assert min(parts) <= found <= max(parts)


# --- I1: a set of evidence has one score ------------------------------------------------------------------------
@st.composite
def evidence(draw: st.DrawFn) -> list[tuple[str, object]]:
    """Everything that a ledger takes, of pairs that have money."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    items: list[tuple[str, object]] = []
    deals = []
    for number in range(draw(st.integers(0, 40))):
        requester, worker = rng.sample(range(PEOPLE), 2)
        halves = rng.choice([(True, True), (True, True), (True, False), (False, True)])
        place = ChainPlace(number + 1, sha256(b"%d" % number))
        deal = Deal(
            receipt=sha256(b"receipt %d" % number), requester=name(requester), worker=name(worker),
            outcome=rng.choice(["succeeded", "succeeded", "run_lost", "program_failed"]),
            ended_unix_ms=UnixMs(NOW - rng.randrange(300 * EPOCH_MS)), metered_ms=rng.randrange(10**6),
            rate=rng.randrange(3 * SKY), amount=rng.randrange(3 * SKY), cumulative=rng.randrange(9 * SKY),
            requester_place=place if halves[0] else None, worker_place=place if halves[1] else None,
            class_milli=rng.choice([0, 1000, 6100]), result=sha256(b"result %d" % number),
        )  # fmt: skip
        deals.append(deal)
        items.append(("deal", deal))
        if rng.random() < 0.5:
            proof = sha256(b"check %d" % number)
            is_right = rng.random() < 0.7
            compared = (deal.answered, *(its.answered for its in rng.sample(deals, min(2, len(deals)))))
            items.append(("check", Check(proof, deal.receipt, rng.randrange(1, 4), is_right, UnixMs(NOW),
                                         compared if is_right else (), (b"somebody",))))  # fmt: skip
    for number in range(draw(st.integers(0, 12))):
        rater, rated, *checkers = rng.sample(range(PEOPLE), 4)
        named = (
            rng.choice(deals).result if deals and rng.random() < 0.5 else sha256(b"result %d" % (number // 2))
        )
        items.append(("finding", Finding(
            sha256(b"finding %d" % number), sha256(b"verdict"), name(rater), name(rated), named, rng.choice((1, 2)),
            rng.random() < 0.5, UnixMs(NOW - rng.randrange(90 * EPOCH_MS)), rng.randrange(3 * UNIT),
            tuple(map(name, checkers)), tuple(its.answered for its in rng.sample(deals, min(3, len(deals)))),
        )))  # fmt: skip
    for number in range(draw(st.integers(0, 3))):
        victim, account = rng.sample(range(PEOPLE), 2)
        items.append(("offence", Offence(sha256(b"offence %d" % number), name(account), rng.choice(list(Role)),
                                         name(victim), rng.randrange(3 * UNIT), UnixMs(NOW))))  # fmt: skip
    if deals and rng.random() < 0.3:  # somebody has two pasts
        other = deals[0]
        twin = ChainPlace(1, sha256(b"twin"))
        items.append(("deal", Deal(
            sha256(b"twin"), other.requester, other.worker, "succeeded", other.ended_unix_ms, 1, 1, 1, 1, twin, twin
        )))  # fmt: skip
    days = {name(one): {TODAY - n: Day(100, rng.randrange(101)) for n in range(9)} for one in range(3)}
    items.append(("days", days))
    return items


MONEY = {
    (name(one), name(other)): PairMoney((one + 1) * SKY, (one + other + 1) * SKY, 1)
    for one in range(PEOPLE)
    for other in range(PEOPLE)
    if one != other
}


def put(ledger: Ledger, item: tuple[str, object]) -> None:
    match item:
        case "deal", Deal() as deal:
            assert ledger.add_deal(deal, now=NOW)
        case "check", Check() as check:
            assert ledger.add_check(check)
        case "finding", Finding() as finding:
            assert ledger.add_finding(finding)
        case "offence", Offence() as offence:
            assert ledger.add_offence(offence)
        case "days", dict() as days:
            ledger.set_days(days)


def scores(ledger: Ledger, stakes: dict[bytes, Stake], *, epoch: int = TODAY) -> list[Standing]:
    return [one for role in Role for one in ledger.assess(role, stakes, epoch=epoch).standings()]


def filled(items: list[tuple[str, object]]) -> Ledger:
    ledger = Ledger()
    for (requester, worker), money in MONEY.items():
        ledger.set_money(requester, worker, money)
    for item in items:
        put(ledger, item)
    return ledger


@settings(max_examples=25)
@given(evidence(), STAKES, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(
    items: list[tuple[str, object]], stakes: dict[bytes, Stake], draw: random.Random
) -> None:  # REP-4, REP-6, REP-8, REP-17
    shuffled = [*items, *items[::3]]
    draw.shuffle(shuffled)
    assert scores(filled(items), stakes) == scores(filled(shuffled), stakes)


@settings(max_examples=25)
@given(evidence(), STAKES, st.lists(st.integers(0, 40), max_size=5))
def test_scores_from_what_changed_are_those_from_scratch(
    items: list[tuple[str, object]], stakes: dict[bytes, Stake], stops: list[int]
) -> None:  # REP-10
    ledger = filled([])
    for number, item in enumerate(items):
        put(ledger, item)
        if number in stops:  # at several epochs, so that nothing that was remembered can stay
            assert scores(ledger, stakes, epoch=TODAY + number % 3) == scores(
                filled(items[: number + 1]), stakes, epoch=TODAY + number % 3
            )
    assert scores(ledger, stakes) == scores(filled(items), stakes)


# --- I2, I3, I7, I9 ---------------------------------------------------------------------------------------------
@settings(max_examples=50)
@given(RATINGS, STAKES, st.sampled_from(Role))
def test_every_score_is_between_0_and_1(
    ratings: list[Rating], stakes: dict[bytes, Stake], role: Role
) -> None:
    for one in assessed(ratings, stakes, role).standings():  # REP-20
        parts = (one.accuracy, one.availability, one.efficiency, one.credibility)
        assert all(0 <= part <= MILLION for part in parts)
        assert one.accuracy >= DEFAULTS.gate or one.credibility < DEFAULTS.gate


@settings(max_examples=50)
@given(RATINGS, STAKES)
def test_credit_is_conserved(ratings: list[Rating], stakes: dict[bytes, Stake]) -> None:  # REP-11, REP-12
    book = RatingBook(DEFAULTS)
    book.add(ratings)
    seed = seeds(stakes, TODAY, DEFAULTS)
    found = credit(book.sums(TODAY), seed, DEFAULTS)
    assert all(share >= 0 for share in found.values())
    if seed:
        assert ONE - 2 * PEOPLE <= sum(found.values()) <= ONE
    else:
        assert not any(found.values())


@given(AMOUNTS)
def test_a_stranger_is_below_the_gate_and_stake_lifts_it_in_time(stake: int) -> None:  # REP-15
    found = assessed([], {name(0): Stake(stake, TODAY)})
    assert found.standing(name(1)).accuracy == DEFAULTS.prior < DEFAULTS.gate
    assert found.standing(name(1)).credibility < DEFAULTS.gate
    assert (found.standing(name(0)).accuracy >= DEFAULTS.gate) == (stake >= DEFAULTS.stake_reference * 4 // 5)


@settings(max_examples=50)
@given(RATINGS, STAKES, WHO)
def test_two_pasts_count_for_nothing(
    ratings: list[Rating], stakes: dict[bytes, Stake], who: int
) -> None:  # REP-21
    book = RatingBook(DEFAULTS)
    book.add(ratings)
    banned = Assessment(book, Role.WORKER, Inputs(stakes, banned=frozenset({name(who)})), epoch=TODAY)
    without = [one for one in ratings if name(who) not in (one.rater, one.rated)]
    rest = assessed(without, {key: stake for key, stake in stakes.items() if key != name(who)})
    assert banned.standing(name(who)).credibility == banned.standing(name(who)).accuracy == 0
    for other in range(PEOPLE):
        if other != who:
            assert banned.standing(name(other)) == rest.standing(name(other))


# --- I4, I5: volume and names buy nothing -----------------------------------------------------------------------
@settings(max_examples=50)
@given(RATINGS, STAKES, st.sets(WHO), st.lists(st.tuples(WHO, WHO, VALUE), max_size=60))
def test_a_group_never_fills_more_than_twice_its_credit(
    ratings: list[Rating], stakes: dict[bytes, Stake], group: set[int], fakes: list[tuple[int, int, int]]
) -> None:  # REP-13
    inside = [
        Rating(name(a), name(b), Kind.GOOD, 1000 * value, TODAY) for a, b, value in fakes if {a, b} <= group
    ]
    found = assessed([*ratings, *inside], stakes)
    raters = [who for who, spent in found.spend.items() if spent and found.credit.get(who)]
    whole = sum(found.credit[who] for who in raters)
    mine = [who for who in raters if int.from_bytes(who, "big") in group]
    filled_up = sum(found.part_of(who) * found.spend[who] for who in mine)
    bound = DEFAULTS.loudness * sum(found.credit[who] for who in mine) * (found.budgets.counted + 1) * ONE
    assert filled_up * whole <= bound


@settings(max_examples=50)
@given(RATINGS, STAKES, WHO, st.integers(2, 10))
def test_a_rater_in_many_parts_is_heard_no_more(
    ratings: list[Rating], stakes: dict[bytes, Stake], who: int, parts: int
) -> None:  # REP-13
    one = name(who)
    many = [b"part %02d of one rater!" % n for n in range(parts)]
    others = [rating for rating in ratings if one not in (rating.rater, rating.rated)]
    said = [rating for rating in ratings if rating.rater == one != rating.rated]
    stake = stakes.get(one, Stake(0, TODAY))
    rest = {key: its for key, its in stakes.items() if key != one}
    whole = [replace(rating, value=parts * rating.value) for rating in said]
    split = [replace(rating, rater=part) for rating in said for part in many]
    before = assessed([*others, *whole], {**rest, one: replace(stake, amount=parts * stake.amount)})
    after = assessed([*others, *split], {**rest, **dict.fromkeys(many, stake)})
    heard_before = before.part_of(one) * before.spend.get(one, 0) // ONE
    heard_after = sum(after.part_of(part) * after.spend.get(part, 0) // ONE for part in many)
    assert heard_after * 100 <= heard_before * 102 + 100 * (parts + 1) * (len(said) + 1)  # and rounding


@settings(max_examples=50)
@given(RATINGS, STAKES)
def test_what_is_said_of_oneself_changes_nothing(ratings: list[Rating], stakes: dict[bytes, Stake]) -> None:
    praise = [Rating(name(n), name(n), Kind.GOOD, 10**12, TODAY) for n in range(PEOPLE)]  # REP-9
    assert assessed(ratings, stakes).standings() == assessed([*ratings, *praise], stakes).standings()


@given(st.dictionaries(st.integers(0, 9).map(name), st.integers(0, 2**70)), STAKES)
def test_all_evidence_that_counts_is_what_budgets_hold(
    spend: dict[bytes, int], stakes: dict[bytes, Stake]
) -> None:
    shares = seeds(stakes, TODAY, DEFAULTS)  # REP-13
    found = budgets(spend, shares, DEFAULTS)
    counted = sum(found.part.get(who, 0) * spent for who, spent in spend.items()) // ONE
    assert (
        found.counted - (max(spend.values(), default=0) // ONE + 1) * len(spend) - 1
        <= counted
        <= found.counted
    )
    assert bool(found.counted) == any(spent and shares.get(who) for who, spent in spend.items())


# --- I6: what is said once more ---------------------------------------------------------------------------------
TALLIES = st.builds(Tally, AMOUNTS, AMOUNTS, AMOUNTS)
PRIORS = st.integers(DEFAULTS.prior, DEFAULTS.prior + DEFAULTS.prior_of_stake)


@given(TALLIES, PRIORS, st.integers(1, 9 * UNIT))
def test_good_work_never_lowers_accuracy_and_fraud_always_does(found: Tally, prior: int, value: int) -> None:
    now = accuracy(found, prior, DEFAULTS)  # REP-15, REP-16
    assert accuracy(Tally(found.good + value, found.bad, found.fraud), prior, DEFAULTS) >= now
    assert accuracy(Tally(found.good, found.bad + value, found.fraud), prior, DEFAULTS) <= now
    wrong = Tally(found.good, found.bad + DEFAULTS.wrong_weight * UNIT, found.fraud + UNIT)
    assert accuracy(wrong, prior, DEFAULTS) <= now
    assert accuracy(wrong, prior, DEFAULTS) < now or now < UNIT // 1000, (
        "below a thousandth rounding may hide it"
    )


@given(VALUE, VALUE)
def test_a_pair_is_capped(one: int, more: int) -> None:  # REP-14
    cap = DEFAULTS.pair_cap * UNIT
    assert capped(one, DEFAULTS) <= capped(one + more, DEFAULTS) <= cap
    assert capped(one, DEFAULTS) <= one


@given(AMOUNTS, AMOUNTS)
def test_more_stake_never_lowers_the_prior(stake: int, more: int) -> None:  # REP-15
    assert DEFAULTS.prior <= prior_of(stake, DEFAULTS) <= prior_of(stake + more, DEFAULTS) < MILLION


@given(st.lists(st.integers(0, MILLION), min_size=3, max_size=3), st.integers(0, 2), st.integers(0, MILLION))
def test_credibility_rises_with_each_part(parts: list[int], which: int, more: int) -> None:  # REP-20
    better = list(parts)
    better[which] = min(MILLION, better[which] + more)
    assert credibility((parts[0], parts[1], parts[2])) <= credibility((better[0], better[1], better[2]))


@given(VALUE, VALUE, VALUE, st.integers(0, MILLION))
def test_a_view_is_between_own_and_common(good: int, wrong: int, soft: int, common: int) -> None:  # REP-22
    against = DEFAULTS.wrong_weight * wrong + soft
    own = good * MILLION // (good + against) if good + against else common
    assert min(own, common) <= personal(Sums(good, wrong, soft), common) <= max(own, common)


# --- I8: money counts once --------------------------------------------------------------------------------------
@given(
    st.lists(st.tuples(st.integers(0, 9 * SKY), st.integers(0, 20 * SKY), st.booleans()), max_size=20),
    st.integers(0, 20 * SKY),
    st.integers(0, 20 * SKY),
)
def test_receipts_of_a_pair_never_count_for_more_than_it_moved(
    rows: list[tuple[int, int, bool]], redeemed: int, allotted: int
) -> None:  # REP-4, REP-5, REP-7
    place = ChainPlace(1, bytes(32))
    deals = [
        Deal(sha256(b"%d" % n), name(1), name(2), "succeeded" if ok else "run_lost", UnixMs(NOW), 1, SKY, amount,
             cumulative, place, place)
        for n, (amount, cumulative, ok) in enumerate(rows)
    ]  # fmt: skip
    checks = {deal.receipt: Check(deal.receipt, deal.receipt, 2, True, UnixMs(NOW)) for deal in deals}
    for known, part in (({}, 4), (checks, 1)):
        found = ratings_of(deals, known, PairMoney(redeemed, redeemed + allotted, 1))
        for role in Role:
            said = {kind: sum(one.value for one in found.ratings[role] if one.kind is kind) for kind in Kind}
            assert said[Kind.GOOD] * 10**12 * part <= redeemed
            assert said[Kind.SOFT] * 10**12 <= redeemed + allotted
            assert said[Kind.WRONG] == 0


# --- V2 ---------------------------------------------------------------------------------------------------------
@given(st.integers(0, 10**6), st.integers(0, 10**6), AMOUNTS, AMOUNTS, AMOUNTS)
def test_a_check_is_never_less_likely_than_the_law(
    streak: int, checked: int, stake: int, open_value: int, value: int
) -> None:  # REP-25, REP-27
    record = Record(streak, checked, stake, open_value)
    chance = check_chance(record, value)
    assert CHECK_FLOOR <= chance <= MILLION
    assert chance * (value + stake) >= value * MILLION
    assert chance == MILLION or chance * chance * streak >= MILLION * MILLION
    if streak < 10 or checked < 10 or not has_room(record, value):
        assert chance == MILLION
    assert check_chance(Record(0, checked, stake, open_value), value) == MILLION


@settings(max_examples=50)
@given(RATINGS, STAKES)
def test_spend_is_the_sum_of_all_kinds(ratings: list[Rating], stakes: dict[bytes, Stake]) -> None:
    found = assessed(ratings, stakes)
    assert found.spend == spend_of(
        {(rater, who): sums for who in found.accounts() for rater, sums in found.heard_of(who).items()}
    )
