"""Second implementation of chapter 08, sharing no code with skyops_p2p. Written from protocol/08-reputation.md.

It goes another way where there is one: roots by bisection, fractions instead of fixed point, budgets by trying every
set of raters that could count in full.
"""

import hashlib
from collections import defaultdict
from fractions import Fraction
from math import floor
from typing import Any

from tests.vectors import second_verification as verification
from tests.vectors import second_wire as wire
from tests.vectors.second_crypto import RefusedError
from tests.vectors.second_settlement import open_receipt

ONE, MILLION = 2**48, 10**6
DAY_MS = 86_400_000
PARAMETERS = {
    "unit": 10**6, "half_life": 25, "fraud_half_life": 60, "propagation_permille": 250, "rounds": 4, "loudness": 2,
    "wrong_weight": 5, "pair_cap": 5, "prior_weight": 3, "prior": 200_000, "prior_of_stake": 250_000,
    "stake_reference": 10**8, "stake_epochs": 10, "gate": 400_000, "uptime_half_life": 7, "uptime_floor": 900_000,
    "uptime_full": 995_000, "uptime_prior_slots": 72, "uptime_least": 100_000, "own_weight": 10,
}  # fmt: skip
UNIT = PARAMETERS["unit"]
NEUTRAL = {"program_failed", "cancelled"}
"""Ends in the vectors that say nothing of the worker; any other but `succeeded` is its doing."""


def root(value: int, degree: int) -> int:
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle - 1)
    return low


def decay(age: int, half_life: int) -> int:  # REP-1
    return root(2 ** (48 * half_life - age), half_life) if age <= 48 * half_life else 0


def mean(parts: list[int]) -> int:
    a, u, e = parts
    return root(a**12 * u**5 * e**3, 20)


def parameters_digest() -> bytes:  # REP-2
    """Encode an array of 19 small and large unsigned integers in MessagePack by hand."""
    data = b"\xdc" + len(PARAMETERS).to_bytes(2, "big")
    for value in PARAMETERS.values():
        if value < 128:
            data += bytes([value])
        else:
            size, mark = next((s, m) for s, m in ((1, 0xCC), (2, 0xCD), (4, 0xCE)) if value < 256**s)
            data += bytes([mark]) + value.to_bytes(size, "big")
    return hashlib.sha256(b"skyops/reputation/1" + data).digest()


# --- evidence ---------------------------------------------------------------------------------------------------
def read_deal(data: bytes, market: dict[str, Any]) -> dict[str, Any]:  # REP-3
    receipt, halves = open_receipt(data, market["chain_id"], bytes.fromhex(market["disputes"]))
    content = hashlib.sha256(wire.message(data, "signed-receipt")["receipt"]).digest()
    if (receipt["network"], receipt["chain_id"]) != (market["network"], market["chain_id"]):
        raise RefusedError("wrong_network")
    if (receipt["contract"].hex(), receipt["token"].hex()) != (market["contract"], market["token"]):
        raise RefusedError("wrong_contract")
    if receipt["requester"] == receipt["worker"]:
        raise RefusedError("bad_receipt")
    for name in ("amount", "rate", "cumulative"):
        receipt[name] = int.from_bytes(receipt[name], "big")
    receipt["metered"] = min(receipt[f"{side}_counts"]["runtime_ms"] for side in ("requester", "worker"))
    return {**receipt, "digest": content, "signers": set(halves)}


def rate_pair(case: dict[str, Any]) -> tuple[dict[str, list[list[Any]]], list[list[int]]]:  # REP-4 to REP-7
    deals = [read_deal(bytes.fromhex(text), case) for text in case["receipts"]]
    redeemed, funded = int(case["redeemed"]), max(int(case["redeemed"]), int(case["funded"]))
    ratings: dict[str, list[list[Any]]] = {"worker": [], "requester": []}
    comparisons = []
    settled_before = failed_before = 0
    for deal in sorted(deals, key=lambda deal: (deal["cumulative"], deal["digest"])):
        settled = failed = 0
        if len(deal["signers"]) == 2:
            settled = max(
                0, min(deal["amount"], deal["cumulative"] - settled_before, redeemed - settled_before)
            )
            settled_before += settled
        parties = {deal["requester"].hex(), deal["worker"].hex()}
        checks = [
            its for its in case["checks"]
            if its["receipt"] == deal["digest"].hex() and (its["level"] < 2 or not parties & set(its["checkers"]))
        ]  # fmt: skip
        top = [its for its in checks if its["level"] == max(one["level"] for one in checks)]
        is_drawn = bool(top) and top[0]["level"] >= 2
        is_wrong = is_drawn and not all(its["is_right"] for its in top)
        is_workers = deal["outcome"] != "succeeded" and deal["outcome"] not in NEUTRAL
        said: list[tuple[str, str, int]] = []
        if deal["signers"] == {"worker"}:
            said.append(("requester", "soft", 4))
        elif deal["signers"] == {"requester"}:
            said += [("worker", "soft", 4)] if is_workers else []
        else:
            said.append(("requester", "good", 1 if is_drawn else 4))
            kind = "wrong" if is_wrong else "soft" if is_workers else "good"
            if is_wrong or is_workers or deal["outcome"] == "succeeded":
                said.append(("worker", kind, 1 if is_drawn or kind == "soft" else 4))
        if any(kind == "soft" for _, kind, _ in said):
            failed = min(max(deal["amount"], deal["rate"]), funded - failed_before)
            failed_before += failed
        wei = {"good": settled, "soft": failed, "wrong": min(max(deal["amount"], deal["rate"]), funded)}
        for role, kind, part in said:
            other = "requester" if role == "worker" else "worker"
            value = wei[kind] // 10**12 // part
            if value:
                ratings[role].append(
                    [deal[other].hex(), deal[role].hex(), kind, value, deal["ended_unix_ms"] // DAY_MS]
                )
        took = deal["metered"] * (deal["class_milli"] or 1000)  # REP-19
        others = case.get("others", {}).get(deal["digest"].hex(), [])
        known = sorted([took, *(ms * (milli or 1000) for milli, ms in others if ms)])
        if is_drawn and not is_wrong and len(known) > 1 and settled:
            ratio = known[(len(known) - 1) // 2] * MILLION // took
            comparisons.append([settled // 10**12, deal["ended_unix_ms"] // DAY_MS, ratio])
    return {role: sorted(rows) for role, rows in ratings.items()}, comparisons


def found(case: dict[str, Any]) -> list[list[Any]]:  # REP-37
    """Return what verdicts say against workers whose results no receipt names."""
    worst: dict[tuple[bytes, bytes, bytes], list[Any]] = {}
    for data in map(bytes.fromhex, case["verdicts"]):
        said = verification.check_verdict(data, case["network"])
        fields, signer = wire.envelope(data, "verdict", case["network"])
        rater = verification.wallet_of(fields, {"signer": signer}, fields)
        day = fields["made_unix_ms"] // DAY_MS
        for place, part in enumerate(fields["answers"]):
            fault, wallet = said["faults"][place], said["wallets"][place]
            if fault not in ("wrong", "lied") or rater is None or wallet is None:
                continue
            others = [
                said["wallets"][n] for n, its in enumerate(said["faults"]) if its == "none" and n != place
            ]
            is_known = all(case["registered"].get(who, day + 1) <= day for who in others)
            if fault == "wrong" and not (said["is_drawn"] and said["is_reworked"] and is_known):
                continue
            its = verification.opened(part, case["network"])
            price, run = its["commit"]["price"], its["receipt"]["usage"]["wall_ms"]
            value = max(price, price * run // 3_600_000)
            key = (rater, bytes.fromhex(wallet), its["named"])
            row = [
                value,
                verification.sha(b"skyops/verdict-check/1", verification.sha(data), bytes([place])),
                day,
            ]
            worst[key] = max(worst.get(key, row), row)
    return sorted(
        [rater.hex(), rated.hex(), "found", value, day]
        for (rater, rated, result), (value, _, day) in worst.items()
        if result.hex() not in case["named"] and value
    )


# --- scores -----------------------------------------------------------------------------------------------------
Sums = dict[tuple[str, str], dict[str, int]]


def add_up(case: dict[str, Any], out: set[str]) -> Sums:  # REP-9, REP-10
    cells: defaultdict[tuple[str, str], defaultdict[tuple[str, int], int]] = defaultdict(
        lambda: defaultdict(int)
    )
    for rater, rated, kind, value, epoch in case["ratings"]:
        age = case["epoch"] - epoch
        if rater != rated and 0 <= age <= 360 and not {rater, rated} & out:
            cells[rater, rated][kind, age] += value
    sums: Sums = {}
    for pair, cell in cells.items():
        row = {
            kind: sum(value * decay(age, 25) for (its, age), value in cell.items() if its == kind) // ONE
            for kind in ("good", "wrong", "soft", "found")
        }
        row["fraud"] = (
            sum(value * decay(age, 60) for (its, age), value in cell.items() if its == "wrong") // ONE
        )
        row["found_fraud"] = (
            sum(value * decay(age, 60) for (its, age), value in cell.items() if its == "found") // ONE
        )
        row["dealt"] = row["good"] + row["wrong"] + row["soft"]
        row["spend"] = row["dealt"] + row["found"]
        if row["spend"] or row["fraud"] or row["found_fraud"]:
            sums[pair] = row
    return sums


def seeds(case: dict[str, Any], heard: set[str]) -> dict[str, int]:  # REP-11
    weights = {
        who: amount * min(10, max(0, case["epoch"] - since + 1))
        for who, (amount, since, _) in case["stakes"].items()
        if who in heard
    }
    whole = sum(weights.values())
    return {who: ONE * weight // whole for who, weight in weights.items() if weight}


def credit_of(sums: Sums, seed: dict[str, int]) -> dict[str, int]:  # REP-12
    raters, rated = {pair[0] for pair in sums}, {pair[1] for pair in sums}
    paid = {who: sum(row["good"] for pair, row in sums.items() if pair[0] == who) for who in raters}
    taken = {who: sum(row["dealt"] for pair, row in sums.items() if pair[1] == who) for who in rated}
    credit = dict(seed)
    for _ in range(4):
        trust = {who: 0 if paid.get(who) else credit.get(who, 0) for who in rated}
        for (rater, who), row in sums.items():
            if paid[rater]:
                trust[who] += credit.get(rater, 0) * row["good"] // paid[rater]
        got: defaultdict[str, int] = defaultdict(int)
        for (rater, who), row in sums.items():
            if taken[who]:
                got[rater] += trust[who] * row["dealt"] // taken[who]
        credit = {who: (seed.get(who, 0) * 750 + got[who] * 250) // 1000 for who in {*seed, *raters, *rated}}
        missing = ONE - sum(credit.values())
        credit = {who: share + seed.get(who, 0) * missing // ONE for who, share in credit.items()}
    return {who: share for who, share in credit.items() if share}


def voices(sums: Sums, credit: dict[str, int]) -> tuple[int, dict[str, int]]:  # REP-13
    spend: defaultdict[str, int] = defaultdict(int)
    for (rater, _), row in sums.items():
        spend[rater] += row["spend"]
    raters = [who for who, spent in spend.items() if spent and credit.get(who)]
    whole = sum(credit[who] for who in raters)
    budget = {who: Fraction(2 * credit[who], whole) for who in raters}
    best = Fraction(0)
    for edge in raters:  # M is where the spend of one of them begins to fit, or above it
        full = [who for who in raters if spend[who] / budget[who] <= spend[edge] / budget[edge]]
        left = 1 - sum(budget[who] for who in raters if who not in full)
        if left > 0:
            m = Fraction(sum(spend[who] for who in full)) / left
            if sum(min(Fraction(spend[who]), budget[who] * m) for who in raters) == m:
                best = max(best, m)
    part = {who: floor(ONE * min(Fraction(1), budget[who] * best / spend[who])) for who in raters}
    return floor(best), {who: its for who, its in part.items() if its}


def standing(case: dict[str, Any], who: str, sums: Sums, voice: dict[str, int], out: set[str]) -> list[Any]:
    heard = [(voice.get(rater, 0), row) for (rater, rated), row in sums.items() if rated == who]
    cap = 5 * UNIT
    for_it = sum(part * (cap * row["good"] // (cap + row["good"])) for part, row in heard) // ONE  # REP-14
    against = sum(part * (5 * (row["wrong"] + row["found"]) + row["soft"]) for part, row in heard) // ONE
    fraud = sum(row["fraud"] for _, row in heard)
    fraud += sum(part * row["found_fraud"] for part, row in heard) // ONE
    stake = min(case["stakes"].get(who, [0])[0], 10**8)
    prior = 200_000 + 250_000 * stake // 10**8
    found = (MILLION * for_it + 3 * UNIT * prior) // (for_it + against + 3 * UNIT)  # REP-15
    x = ONE * 10 * fraud // (20 * UNIT + for_it)  # REP-16
    memory = 2 * 2**144 // (2 * 2**96 + 2 * x * ONE + x * x)
    accuracy = found * memory // ONE
    up = pace = MILLION
    if case["role"] == "worker":
        up, pace = availability(case, who), efficiency(case, who, voice)
    credibility = mean([accuracy, up, pace])  # REP-20
    if accuracy < 400_000:
        credibility = min(credibility, 399_999)
    if who in out:  # REP-21
        accuracy = credibility = 0
    return [who, for_it, against, fraud, accuracy, up, pace, credibility]


def availability(case: dict[str, Any], who: str) -> int:  # REP-18
    probed = answered = told = 0
    for epoch, asked, heard, away in case["days"].get(who, []):
        if 0 <= case["epoch"] - epoch <= 28:
            probed += asked * decay(case["epoch"] - epoch, 7)
            answered += heard * decay(case["epoch"] - epoch, 7)
            told += away * decay(case["epoch"] - epoch, 7)
    probed += max(0, told - 20 * (probed + told) // 1000)
    u = (answered * MILLION + 72 * ONE * 947_500) // (probed + 72 * ONE)
    return max(100_000, min(MILLION, (u - 900_000) * MILLION // 95_000))


def efficiency(case: dict[str, Any], who: str, voice: dict[str, int]) -> int:  # REP-19
    found = [(500_000, UNIT)]
    for rater, rated, value, epoch, ratio in case["comparisons"]:
        if rated == who and epoch <= case["epoch"]:
            weight = value * voice.get(rater, 0) * decay(case["epoch"] - epoch, 25) // 2**96
            found += [(min(ratio, MILLION), weight)] if weight else []
    whole = sum(weight for _, weight in found)
    return min(ratio for ratio, _ in found if 2 * sum(w for other, w in found if other <= ratio) >= whole)


def assess(case: dict[str, Any]) -> dict[str, Any]:
    out = set(case["banned"]) | {who for who, row in case["stakes"].items() if row[2]}
    sums = add_up(case, out)
    credit = credit_of(sums, seeds(case, {who for pair in sums for who in pair}))
    counted, voice = voices(sums, credit)
    return {
        "credit": {who: str(share) for who, share in sorted(credit.items())},
        "counted": str(counted),
        "voices": {who: str(part) for who, part in sorted(voice.items())},
        "standings": [standing(case, row[0], sums, voice, out) for row in case["standings"]],
    }


# --- uses and earnings ------------------------------------------------------------------------------------------
def day_of(slots: list[list[int]]) -> list[int]:  # REP-17
    answered, silent, away = (sum(slot[kind] >= 3 for slot in slots) for kind in range(3))
    return [answered + silent, answered, away]


def chance(streak: int, checked: int, stake: int, value: int) -> int:  # REP-25, REP-27
    if streak < 10 or checked < 10 or Fraction(3, 2) * value > stake:
        return MILLION
    by_row = next(
        n for n in range(root(MILLION**2 // streak, 2), MILLION + 1) if n * n * streak >= MILLION**2
    )
    by_value = -(-value * MILLION // (value + stake)) if value else 0
    return max(120_000, by_value, by_row)


def own_view(own: list[int], common: int) -> int:  # REP-22
    good, wrong, soft = own
    return (MILLION * good + 10 * UNIT * common) // (good + 5 * wrong + soft + 10 * UNIT)


def pay(gross: int, credibility: int, availability: int) -> list[int]:  # REP-29, REP-30
    """Return multiplier, shortfall, fee, and both claims."""
    factor = 9000 + 1100 * min(credibility, 850_000) // 850_000
    fee = gross * 300 // 10_000
    kept = gross * (min(factor, 10_000) - 300) // 10_000
    above = gross * max(0, factor - 10_000) // 10_000
    bonus = gross * 5 * availability // 10**9
    above = min(above, fee // 2)
    return [factor, gross - fee - kept, fee, above, min(bonus, fee // 2 - above)]


def share_pool(pool: int, claims: list[int]) -> list[int]:  # REP-31
    return [claim if sum(claims) <= pool else claim * pool // sum(claims) for claim in claims]


def slash(faults: list[list[Any]], stake: int) -> tuple[list[list[int]], int]:  # REP-32, REP-33
    seen, found = set(), []
    for proof, fault, value, hour, has_amnesty in faults:
        if proof in seen:
            continue
        seen.add(proof)
        wanted = {"wrong_result": value * (2 if has_amnesty else 10), "no_show": hour,
                  "false_hardware": stake // 4, "equivocation": stake}[fault]  # fmt: skip
        taken = min(wanted, stake)
        stake -= taken
        rest = taken // 2
        victim = min(value, rest)
        found.append([taken, taken - rest, victim, rest - victim])
    return found, stake
