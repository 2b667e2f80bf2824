"""Vectors of chapter 08: roots and decays, receipts of a pair as ratings, whole assessments, pay and slashes."""

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from skyops_p2p.core.earnings.pay import multiplier_bp, pay_of, share_pool
from skyops_p2p.core.earnings.slashes import Case as FaultCase
from skyops_p2p.core.earnings.slashes import Fault, slash_all
from skyops_p2p.core.evidence.items import Scope, open_evidence
from skyops_p2p.core.reputation.conduct import EPOCH_MS, Day, Outcome, day_of
from skyops_p2p.core.reputation.deals import Check, Deal, PairMoney, deal_of, deciding, ratings_of
from skyops_p2p.core.reputation.findings import Findings, rating_of
from skyops_p2p.core.reputation.fixed import decay, geometric, root
from skyops_p2p.core.reputation.parameters import DEFAULTS
from skyops_p2p.core.reputation.ratings import Kind, Rating, RatingBook, Role, Sums
from skyops_p2p.core.reputation.standings import Assessment, Comparison, Inputs, Standing, personal
from skyops_p2p.core.reputation.uses import Record, check_chance
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.core.settlement.amounts import wei_to_bytes
from skyops_p2p.core.settlement.receipts import ChainPlace, DisputesDomain, sign_half, with_half
from skyops_p2p.core.verification.check import check_verdict
from skyops_p2p.core.verification.policy import findings_of
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.messages.settlement import Receipt
from skyops_p2p.wire.model import encode_message
from tests.vectors.execution_examples import USAGE
from tests.vectors.people import ALICE, BOB, NOW, RULES
from tests.vectors.settlement_examples import settlement_examples
from tests.vectors.verification_examples import WORKERS, Part, candidate, drawn_after, sealed_verdict

Case = dict[str, Any]
SKY = 10**18
DOMAIN = DisputesDomain(RULES.chain_id, bytes([0xD1] * 20))
(PLAIN,) = [message for message in settlement_examples() if isinstance(message, Receipt)]
SCOPE = Scope(RULES.network, RULES.chain_id, PLAIN.contract, DOMAIN.contract, PLAIN.token)
TODAY = NOW // EPOCH_MS
UNIT = DEFAULTS.unit


# --- arithmetic -------------------------------------------------------------------------------------------------
def root_cases() -> list[Case]:
    values = [(0, 3), (1, 20), (2**64, 2), (2**64 - 1, 2), (10**120, 20), (10**120 - 1, 20), (3**60 - 1, 60)]
    decays = [
        (0, 25),
        (1, 25),
        (24, 25),
        (25, 25),
        (360, 25),
        (1, 60),
        (360, 60),
        (28, 7),
        (336, 7),
        (337, 7),
    ]
    means = [(10**6, 10**6, 10**6), (200_000, 500_000, 500_000), (999_999, 10**6, 10**6), (0, 10**6, 10**6)]
    return [
        *({"name": f"root {degree} of {value}", "value": str(value), "degree": degree, "root": str(root(value, degree))}
          for value, degree in values),
        *({"name": f"decay at {age} of {half}", "age": age, "half_life": half, "factor": str(decay(age, half))}
          for age, half in decays),
        *({"name": f"mean of {parts}", "parts": list(parts),
           "mean": geometric(tuple(zip(parts, (12, 5, 3), strict=True)))} for parts in means),
        {"name": "parameters", "digest": DEFAULTS.digest.hex()},
    ]  # fmt: skip


# --- receipts as ratings ----------------------------------------------------------------------------------------
def signed(
    number: int,
    *,
    amount: int = SKY,
    cumulative: int | None = None,
    by: tuple[Wallet | None, Wallet | None] = (ALICE.wallet, BOB.wallet),
    **changes: Any,
) -> bytes:
    """Return the receipt of a pair's lane of some number, by default of one SKYOPS each."""
    fields = {
        "lane": sha256(b"lane %d" % number),
        "amount": wei_to_bytes(amount),
        "cumulative": wei_to_bytes(number * SKY if cumulative is None else cumulative),
        "rate": wei_to_bytes(2 * SKY),
        "outcome": "succeeded",
        **changes,
    }
    data = encode_message(PLAIN.model_copy(update=fields))
    place = ChainPlace() if number == 1 else ChainPlace(number - 1, sha256(b"link %d" % number))
    halves = [sign_half(data, place, wallet, DOMAIN)[0] if wallet else None for wallet in by]
    return with_half(data, requester=halves[0], worker=halves[1])


def read(data: bytes) -> Deal:
    """Check a receipt, and return what counts of it."""
    item, receipt, _ = open_evidence(data, SCOPE)
    return deal_of(item, receipt)


def check(number: int, deal: Deal, *, level: int, is_right: bool, **changes: Any) -> Check:
    return Check(sha256(b"check %d" % number), deal.receipt, level, is_right, UnixMs(NOW + number), **changes)


def pair_cases() -> list[Case]:
    both = [signed(1), signed(2)]
    first = read(both[0])
    mine, someone = (address_to_bytes(ALICE.wallet.address),), (bytes([9] * 20),)
    right = check(1, first, level=2, is_right=True, checkers=someone)
    wrong = check(2, first, level=2, is_right=False, checkers=someone)
    alone = [signed(1, by=(ALICE.wallet, None), outcome="sandbox_lost")]
    rows: list[tuple[str, list[bytes], list[Check], int, int]] = [
        ("two jobs, all redeemed", both, [], 2 * SKY, 2 * SKY),
        ("nothing redeemed", both, [], 0, 2 * SKY),
        ("half of the second", both, [], 3 * SKY // 2, 2 * SKY),
        ("receipts that say more than was paid", [signed(1, amount=9 * SKY), signed(2, amount=9 * SKY)], [],
         2 * SKY, 2 * SKY),
        ("less than a microcredit", [signed(1, amount=10**12 - 1)], [], SKY, SKY),
        ("checked and right", both, [right], 2 * SKY, 2 * SKY),
        ("the requester's own check", both, [check(3, first, level=1, is_right=True)], 2 * SKY, 2 * SKY),
        ("the requester's own check finds it wrong", both, [check(4, first, level=1, is_right=False)], SKY, SKY),
        ("found wrong", both, [wrong], 2 * SKY, 2 * SKY),
        ("two checks contradict each other", both, [right, wrong], 2 * SKY, 2 * SKY),
        ("a jury overrules them", both, [right, wrong, check(5, first, level=3, is_right=True, checkers=someone)],
         2 * SKY, 2 * SKY),
        ("a check by a party is none", both, [check(6, first, level=2, is_right=False, checkers=mine)], SKY, SKY),
        ("the worker failed", [signed(1, outcome="sandbox_lost")], [], SKY, 4 * SKY),
        ("the worker failed at once", [signed(1, outcome="run_lost", amount=0)], [], 0, SKY),
        ("failures beyond the pair's money", [signed(n, outcome="run_lost", amount=0) for n in (1, 2, 3)], [],
         0, 5 * SKY),
        ("the program failed", [signed(1, outcome="program_failed")], [], SKY, SKY),
        ("cancelled", [signed(1, outcome="cancelled")], [], SKY, SKY),
        ("a code that nobody knows", [signed(1, outcome="no_such_code")], [], SKY, SKY),
        ("the requester complains alone", alone, [], 0, SKY),
        ("the requester praises alone", [signed(1, by=(ALICE.wallet, None))], [], SKY, SKY),
        ("the worker complains alone", [signed(1, by=(None, BOB.wallet))], [], 0, SKY),
    ]  # fmt: skip
    bad = [
        ("of another network", signed(1, network="elsewhere"), "wrong_network"),
        ("of another chain", signed(1, chain_id=1), "wrong_network"),
        ("of another contract", signed(1, contract=bytes([1] * 20)), "wrong_contract"),
        ("in another token", signed(1, token=bytes(20)), "wrong_contract"),
        ("with oneself", signed(1, worker=mine[0], by=(ALICE.wallet, ALICE.wallet)), "bad_receipt"),
    ]
    return [*(pair_case(*row) for row in rows), *(_refused(name, data, code) for name, data, code in bad)]


def pair_case(
    name: str, receipts: list[bytes], checks: list[Check], redeemed: int, funded: int, **more: Any
) -> Case:
    deals = [read(data) for data in receipts]
    decided = {
        deal.receipt: deciding([c for c in checks if c.receipt == deal.receipt], deal) for deal in deals
    }
    found = ratings_of(
        deals, {key: its for key, its in decided.items() if its}, PairMoney(redeemed, funded, 1), **more
    )
    return {
        "name": name, **_market(), "receipts": [data.hex() for data in receipts],
        "checks": [
            {"proof": its.proof.hex(), "receipt": its.receipt.hex(), "level": its.level, "is_right": its.is_right,
             "checkers": [who.hex() for who in its.checkers]} for its in checks
        ],
        "redeemed": str(redeemed), "funded": str(funded),
        "ratings": {role.value: rows_of(found.ratings[role]) for role in Role},
        "comparisons": [[one.value, one.epoch, one.ratio] for one in found.comparisons],
    }  # fmt: skip


def _refused(name: str, data: bytes, code: str) -> Case:
    return {"name": name, **_market(), "bytes": data.hex(), "code": code}


def _market() -> Case:
    return {
        "network": SCOPE.network, "chain_id": SCOPE.chain_id, "contract": SCOPE.settlement.hex(),
        "token": SCOPE.token.hex(), "disputes": SCOPE.disputes.hex(),
    }  # fmt: skip


def rows_of(ratings: Iterable[Rating]) -> list[list[Any]]:
    """Write ratings down: rater, rated, kind, value, epoch, in any order; nothing for those of no value."""
    return sorted(
        [one.rater.hex(), one.rated.hex(), one.kind.value, one.value, one.epoch]
        for one in ratings
        if one.value
    )


# --- verdicts as ratings ----------------------------------------------------------------------------------------
def finding_cases() -> list[Case]:
    bobs = Part(BOB)
    wrong = replace(bobs, output=2)
    right = [Part(who) for who in drawn_after(wrong)[:2]]
    plain = sealed_verdict([wrong, *right])
    lied = sealed_verdict([bobs, Part(drawn_after(bobs)[0]), Part(drawn_after(bobs)[2], shows=9)])
    long = replace(wrong, receipt_changes=(("usage", USAGE.model_copy(update={"wall_ms": 10**7})),))
    slow = sealed_verdict([long, *(Part(who) for who in drawn_after(long)[:2])])
    known = dict.fromkeys((candidate(who).wallet for who in WORKERS), TODAY)
    young = known | {candidate(right[0].who).wallet: TODAY + 1}
    result = wrong.receipt().digest
    rows: list[tuple[str, list[bytes], dict[bytes, int], list[bytes]]] = [
        ("one is wrong", [plain], known, []),
        ("all are right", [sealed_verdict([bobs, *(Part(who) for who in drawn_after(bobs)[:2])])], known, []),
        ("a long run", [slow], known, []),
        ("nobody is registered", [plain], {}, []),
        ("one who checked it has registered since", [plain], young, []),
        ("one has lied, and nobody is registered", [lied], {}, []),
        ("two verdicts on one result", [plain, sealed_verdict([wrong, *right], made_unix_ms=NOW + 1)], known, []),
        ("a receipt names the result", [plain], known, [result]),
        ("a receipt names another result", [plain], known, [bytes(32)]),
        ("nobody says whose word it is", [sealed_verdict([wrong, *right], binding=None)], known, []),
        ("nobody was drawn", [sealed_verdict([wrong, *right], candidates=())], known, []),
    ]  # fmt: skip
    return [_finding_case(*row) for row in rows]


def _finding_case(name: str, verdicts: list[bytes], known: dict[bytes, int], named: list[bytes]) -> Case:
    found = Findings()
    for data in verdicts:
        for finding in findings_of(check_verdict(data)):
            found.add(finding)
    found.know({who: Stake(10**8, since) for who, since in known.items()}, ())
    whole = replace(read(signed(1)), requester_place=ChainPlace(), worker_place=ChainPlace())
    deals = [replace(whole, result=result) for result in named]
    ratings = [rating_of(one) for pair in found.pairs for one in found.lone_of(pair, deals)]
    return {
        "name": name, "network": RULES.network, "verdicts": [data.hex() for data in verdicts],
        "registered": {who.hex(): since for who, since in known.items()},
        "named": [result.hex() for result in named], "ratings": rows_of(ratings),
    }  # fmt: skip


# --- assessments ------------------------------------------------------------------------------------------------
def account(number: int) -> bytes:
    return sha256(b"account %d" % number)[:20]


def good(rater: int, rated: int, value: int, *, age: int = 0, kind: Kind = Kind.GOOD) -> Rating:
    return Rating(account(rater), account(rated), kind, value, TODAY - age)


def market_of(seed: int) -> tuple[list[Rating], Inputs]:
    """Return a small market: ten accounts, of which three trade with each other a great deal."""
    draw = random.Random(seed)
    ratings = [
        good(draw.randrange(7), draw.randrange(10), draw.randrange(4 * UNIT), age=draw.randrange(400),
             kind=draw.choices(list(Kind), (20, 1, 1, 3))[0])
        for _ in range(120)
    ]  # fmt: skip
    ratings += [
        good(7 + draw.randrange(3), 7 + draw.randrange(3), 9 * UNIT, age=draw.randrange(9)) for _ in range(60)
    ]
    stakes = {
        account(n): Stake(draw.randrange(200 * UNIT), TODAY - draw.randrange(20)) for n in range(0, 10, 2)
    }
    days = {
        account(n): {TODAY - age: Day(144, 144 - draw.randrange(12)) for age in range(draw.randrange(30))}
        for n in range(10)
    }
    comparisons = tuple(
        Comparison(account(draw.randrange(7)), account(draw.randrange(10)), draw.randrange(3 * UNIT),
                   TODAY - draw.randrange(30), draw.randrange(2 * 10**6))
        for _ in range(40)
    )  # fmt: skip
    return ratings, Inputs(stakes, days, comparisons)


def score_cases() -> list[Case]:
    plain = [good(0, 1, UNIT), good(0, 1, UNIT, age=25), good(2, 1, UNIT // 4)]
    staked = {account(0): Stake(100 * UNIT, TODAY - 30)}
    fraud = [good(0, 1, 5 * UNIT), good(0, 1, UNIT, kind=Kind.WRONG)]
    rows: list[tuple[str, list[Rating], Inputs]] = [
        ("nobody", [], Inputs({})),
        ("stake alone", [], Inputs({account(0): Stake(50 * UNIT, TODAY), account(1): Stake(10**12, TODAY - 9)})),
        ("ratings without any stake", plain, Inputs({})),
        ("one rater with stake", plain, Inputs(staked)),
        ("a worker's stake speaks for its customers", plain, Inputs({account(1): Stake(100 * UNIT, TODAY - 30)})),
        ("a stake of today is silent", plain, Inputs({account(0): Stake(100 * UNIT, TODAY)})),
        ("one wrong result", fraud, Inputs(staked)),
        ("of oneself", [good(0, 0, UNIT)], Inputs(staked)),
        ("of tomorrow, and too old", [good(0, 1, UNIT, age=-1), good(0, 1, UNIT, age=361)], Inputs(staked)),
        ("as old as may be", [good(0, 1, UNIT, age=360)], Inputs(staked)),
        ("the rater has two pasts", plain, Inputs(staked, banned=frozenset({account(0)}))),
        ("the rated one has two pasts", plain, Inputs(staked, banned=frozenset({account(1)}))),
        ("away as it said, and longer", plain, Inputs(staked, {account(1): {TODAY: Day(140, 139, 4)}})),
        ("slashed for good", plain, Inputs({**staked, account(1): Stake(UNIT, TODAY - 30, is_slashed=True)})),
        *((f"a market, seed {seed}", *market_of(seed)) for seed in (1, 2, 3)),
    ]  # fmt: skip
    return [_score_case(name, role, ratings, inputs) for name, ratings, inputs in rows for role in Role]


def _score_case(name: str, role: Role, ratings: list[Rating], inputs: Inputs) -> Case:
    book = RatingBook(DEFAULTS)
    book.add(ratings)
    found = Assessment(book, role, inputs, epoch=TODAY)
    strangers = [account(99)]
    return {
        "name": f"{name}, {role.value}s", "role": role.value, "epoch": TODAY, "ratings": rows_of(ratings),
        "stakes": {
            who.hex(): [its.amount, its.since_epoch, its.is_slashed] for who, its in inputs.stakes.items()
        },
        "days": {
            who.hex(): [[epoch, day.probed, day.answered, day.announced] for epoch, day in sorted(days.items())]
            for who, days in inputs.days.items() if days
        },
        "comparisons": [
            [one.rater.hex(), one.rated.hex(), one.value, one.epoch, one.ratio] for one in inputs.comparisons
        ],
        "banned": [who.hex() for who in sorted(inputs.banned)],
        "credit": {who.hex(): str(share) for who, share in sorted(found.credit.items()) if share},
        "counted": str(found.budgets.counted),
        "voices": {who.hex(): str(part) for who, part in sorted(found.budgets.part.items()) if part},
        "standings": [_standing(found.standing(who)) for who in [*found.accounts(), *strangers]],
    }  # fmt: skip


def _standing(one: Standing) -> list[Any]:
    tally = (one.tally.good, one.tally.bad, one.tally.fraud)
    return [one.account.hex(), *tally, one.accuracy, one.availability, one.efficiency, one.credibility]


KINDS = (Outcome.ANSWERED, Outcome.SILENT, Outcome.ANNOUNCED)


# --- uses, earnings, slashes ------------------------------------------------------------------------------------
def use_cases() -> list[Case]:
    slots = [(5, 0, 0), (3, 2, 0), (3, 0, 0), (2, 3, 0), (2, 2, 1), (0, 3, 0), (0, 0, 0), (1, 4, 0), (0, 1, 3),
             (2, 1, 2)]  # fmt: skip
    said = [[kind for kind, count in zip(KINDS, slot, strict=True) for _ in range(count)] for slot in slots]
    day = day_of(said)
    chances = [(0, 0, 40, 1), (10, 10, 40, 1), (9, 50, 40, 1), (100, 100, 40, 0), (100, 100, 40, 1), (69, 69, 10**4, 1),
               (70, 70, 10**4, 1), (1000, 1000, 3, 2), (1000, 1000, 2, 2)]  # fmt: skip
    views = [((0, 0, 0), 450_000), ((10 * UNIT, 0, 0), 450_000), ((UNIT, UNIT, UNIT), 900_000)]
    return [
        {"name": "slots", "slots": [list(slot) for slot in slots], "day": [day.probed, day.answered, day.announced]},
        *({"name": f"chance of a check, {row}", "streak": row[0], "checked": row[1], "stake": row[2] * UNIT,
           "value": row[3] * UNIT,
           "chance": check_chance(Record(row[0], row[1], row[2] * UNIT), row[3] * UNIT)} for row in chances),
        *({"name": f"own view {own}", "own": list(own), "common": common, "view": personal(Sums(*own), common)}
          for own, common in views),
    ]  # fmt: skip


def earnings_cases() -> list[Case]:
    scores = [(0, 0), (399_999, 10**6), (772_727, 10**6), (772_728, 10**6), (850_000, 10**6), (10**6, 10**6)]
    amounts = [0, 1, 33, 34, 100, 199, 10**18 + 7]
    pay = []
    for gross in amounts:
        for trust, up in scores:
            got = pay_of(gross, credibility=trust, availability=up)
            pay.append({
                "name": f"{gross} at {trust}, {up}", "gross": str(gross), "credibility": trust, "availability": up,
                "multiplier_bp": multiplier_bp(trust), "shortfall": str(got.shortfall), "fee": str(got.fee),
                "claims": [str(got.multiplier_claim), str(got.uptime_claim)],
            })  # fmt: skip
    pools = [(100, [10, 20]), (10, [10, 20]), (0, [5]), (7, [3, 3, 3]), (5, [])]
    return [
        *pay,
        *({"name": f"pool of {pool} for {claims}", "pool": pool, "claims": claims,
           "paid": list(share_pool(pool, claims))} for pool, claims in pools),
        *_slash_cases(),
    ]  # fmt: skip


def _slash_cases() -> list[Case]:
    wrong = FaultCase(b"1" * 32, Fault.WRONG_RESULT, value=7)
    rows: list[tuple[str, list[FaultCase], int]] = [
        ("wrong", [wrong], 1000),
        ("wrong, more than there is", [wrong], 41),
        (
            "wrong, with an amnesty",
            [FaultCase(b"2" * 32, Fault.WRONG_RESULT, value=7, has_amnesty=True)],
            1000,
        ),
        ("no-show", [FaultCase(b"3" * 32, Fault.NO_SHOW, value=5, hour_rate=9)], 1000),
        ("false hardware", [FaultCase(b"4" * 32, Fault.FALSE_HARDWARE)], 1001),
        ("two pasts", [FaultCase(b"5" * 32, Fault.EQUIVOCATION)], 1001),
        ("one proof twice, another after it", [wrong, wrong, FaultCase(b"6" * 32, Fault.EQUIVOCATION)], 1000),
    ]
    found = []
    for name, faults, stake in rows:
        slashes, left = slash_all(faults, stake)
        found.append({
            "name": name, "stake": stake, "left": left,
            "faults": [[one.proof.hex(), one.fault.value, one.value, one.hour_rate, one.has_amnesty] for one in faults],
            "slashes": [[one.taken, one.burned, one.to_victim, one.to_reporter] for one in slashes],
        })  # fmt: skip
    return found


FAMILIES = {
    "reputation-arithmetic": ("08-reputation.md, Arithmetic", root_cases),
    "reputation-pairs": ("08-reputation.md, Evidence", pair_cases),
    "reputation-findings": ("08-reputation.md, Evidence", finding_cases),
    "reputation-scores": ("08-reputation.md, Ratings to Credibility", score_cases),
    "reputation-uses": ("08-reputation.md, Availability, Credibility and Uses", use_cases),
    "earnings": ("08-reputation.md, Earnings and Slashes", earnings_cases),
}
