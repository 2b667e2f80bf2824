"""Chapter 08b read a second time, without the package: draws, statements and counts."""

import itertools
from collections import Counter, defaultdict
from fractions import Fraction
from typing import Any

from tests.vectors import second_crypto as crypto
from tests.vectors import second_wire as wire
from tests.vectors.second_crypto import RefusedError
from tests.vectors.second_settlement import sha

Fields = dict[str, Any]
SLOT_S, WATCH_SLOTS = 600, 36
WATCH_S = SLOT_S * WATCH_SLOTS


def lot(beacon: bytes, watch: int, account: bytes, witness: bytes) -> int:  # PRB-3
    return int(sha(b"skyops/probe-draw/1", beacon, watch.to_bytes(8, "big"), account, witness).hex()[:16], 16)


def rank(its_lot: int, stake: int) -> int:  # PRB-3
    return int(Fraction(2**64 * its_lot, stake) // 1)


def is_drawn(its_rank: int, total: int) -> bool:  # PRB-3
    power = 1
    while 2 * power <= total:
        power *= 2
    return its_rank < 6 * 2**128 // power


def open_statement(data: bytes, network: str, now: int) -> Fields:
    """Return what a SignedStatement says. PRB-7, PRB-9."""
    signed = wire.message(data, "signed-statement")
    statement = wire.message(signed["statement"], "probe-statement")
    if statement["network"] != network:
        raise RefusedError("wrong_network")
    accounts = [part["account"] for part in statement["probed"]]
    ascends = all(one < other for one, other in itertools.pairwise(accounts))
    outcomes = {part["account"].hex(): _outcomes(part["outcomes"]) for part in statement["probed"]}
    if not ascends or statement["witness"] in accounts:
        raise RefusedError("malformed")
    digest = sha(b"skyops/probe-statement/1", sha(signed["statement"]))
    if crypto.recover(digest, signed["signature"]) != statement["witness"]:
        raise RefusedError("bad_signature")
    ends_ms = (statement["watch"] + 1) * WATCH_S * 1000
    if ends_ms > now + 120_000:
        raise RefusedError("not_yet_valid")
    if ends_ms <= (now // 86_400_000 - 28) * 86_400_000:
        raise RefusedError("expired")
    return {
        "is": sha(b"skyops/probe-name/1", signed["statement"]).hex(),
        "witness": statement["witness"].hex(),
        "watch": statement["watch"],
        "outcomes": outcomes,
    }


def _outcomes(data: bytes) -> list[int]:
    found = [byte >> shift & 3 for byte in data for shift in (0, 2, 4, 6)]
    if len(found) != WATCH_SLOTS or not any(found):
        raise RefusedError("malformed")
    return found


def days(case: Fields, network: str, now: int) -> Fields:
    """Return what statements come to. PRB-13, REP-17."""
    total: defaultdict[tuple[str, int], Counter[int]] = defaultdict(Counter)
    said: defaultdict[tuple[int, str], list[tuple[int, str, list[int]]]] = defaultdict(list)
    for data in case["statements"]:
        one = open_statement(bytes.fromhex(data), network, now)
        watch, witness = one["watch"], one["witness"]
        beacon = case["beacons"].get(str(watch))
        if beacon is None or not _is_heard(case, witness, watch):
            continue
        for account, outcomes in one["outcomes"].items():
            its_lot = lot(bytes.fromhex(beacon), watch, bytes.fromhex(account), bytes.fromhex(witness))
            its_rank = rank(its_lot, case["stakes"][witness][0])
            if is_drawn(its_rank, case["total"]) and _is_heard(case, account, watch):
                said[watch, account].append((its_rank, witness, outcomes))
    for (watch, account), rows in said.items():
        heard = [outcomes for _, _, outcomes in sorted(rows)[:5]]
        for place in range(WATCH_SLOTS):
            day = total[account, (watch * WATCH_S + place * SLOT_S) // 86_400]
            outcome, agree = (
                Counter(row[place] for row in heard if row[place]).most_common(1)[0]
                if any(row[place] for row in heard)
                else (0, 0)
            )
            day[outcome] += agree >= 3
    found: defaultdict[str, list[list[int]]] = defaultdict(list)
    for (account, epoch), day in sorted(total.items()):
        found[account].append([epoch, day[1] + day[2], day[1], day[3]])
    return dict(found)


def _is_heard(case: Fields, account: str, watch: int) -> bool:
    amount, registered, is_slashed = case["stakes"].get(account, (0, 0, False))
    is_in_time = registered <= watch * WATCH_S - SLOT_S
    return bool(amount and not is_slashed and is_in_time and account not in case["out"])
