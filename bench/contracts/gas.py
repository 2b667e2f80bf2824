"""Gas of every call of the contracts, of redemption in batches, and of a job by how many share a voucher.

Runs the sources on py-evm (cancun), which agrees with anvil to the unit. A transaction's gas is its data and base
charge (21,000), the execution with all slots and accounts cold, less the refund (EIP-3529). No wall-clock is measured.
"""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import boa
from eth_abi import encode
from eth_account import Account
from eth_utils import keccak

from bench.contracts._other_calls import (
    escrow_calls,
    rare_dispute_calls,
    reservation_calls,
    role_calls,
    stake_calls,
    token_calls,
)
from bench.contracts._transactions import Row, gas_of
from bench.tables import print_place, print_table, say
from tests.contracts.chain import DAY, ETH, HOUR, UNIT, Person, domain_of, person, sha256
from tests.contracts.court import (
    APPEAL,
    COMMIT,
    DRAW,
    FINDING,
    REVEAL,
    SALT,
    WRONG,
    Court,
    best_ticket,
    commitment,
)
from tests.contracts.settled import Settled
from tests.contracts.test_token import PERMIT

BATCHES = (1, 16, 64, 200)
JOBS = (1, 10, 100, 1000)
ESCROW = ("post_job", "claim", "complete", "accept")
PROTOTYPE = "59.6k alone, 25.7k each in a batch of 64; 257 a job at 100"
HASHES = (sha256(b"execution"), sha256(b"log"), sha256(b"metering"))
PUBLISHED = (
    (
        "Akash on an EVM rollup: create, bid, lease, withdraw, close",
        2_160_000,
        "AEP-79, document 04, section 14; ±40 %",
    ),
    ("Livepeer: redeeming a ticket on the main chain", 350_000, "go-livepeer, starter.go"),
    ("Livepeer: redeeming a ticket on a rollup", 1_200_000, "go-livepeer, starter.go"),
)
"""What others have published: (what, gas, source)."""


def _stranger(number: int) -> Person:
    secret = hashlib.sha256(f"requester {number}".encode()).digest()
    return Person(f"r{number}", secret, Account.from_key(secret).address)


def redemptions(settled: Settled, *, is_allotted: bool) -> Iterator[tuple[int, int, int]]:
    """Yield (batch, gas a voucher the first time, gas a voucher after) for each size; slots are cold."""
    bob = person("bob")
    for batch in BATCHES:
        say(f"batch of {batch}")
        base = 10_000 * batch + 1_000_000 * is_allotted
        people = [_stranger(base + number) for number in range(batch)]
        for one in people:
            settled.fund(one.address, 10 * UNIT)
            settled.deposit(one, 10 * UNIT, worker=bob.address if is_allotted else ETH)
        costs = []
        for turn in (1, 2, 3):
            boa.env.time_travel(seconds=2 * HOUR)
            vouchers = [
                settled.voucher(one, bob, turn * UNIT + number, root=sha256(f"{turn} {number}".encode()))
                for number, one in enumerate(people)
            ]
            token = settled.token.address
            costs.append(gas_of(settled.settlement, "redeem_batch", bob.address, token, vouchers, sender=bob))
        yield batch, costs[0] // batch, costs[2] // batch


def singles(settled: Settled, worker: Person, *, is_allotted: bool) -> tuple[int, int]:
    """Return the gas of `redeem`, the first time of a pair and later."""
    one = _stranger(77 + is_allotted)
    settled.fund(one.address, 10 * UNIT)
    settled.deposit(one, 10 * UNIT, worker=worker.address if is_allotted else ETH)
    costs = []
    for turn in (1, 2, 3):
        boa.env.time_travel(seconds=2 * HOUR)
        voucher = settled.voucher(one, worker, turn * UNIT, root=sha256(f"{turn}".encode()))
        token = settled.token.address
        costs.append(gas_of(settled.settlement, "redeem", worker.address, token, voucher, sender=worker))
    return costs[0], costs[2]


def deposit_calls(settled: Settled) -> Iterator[tuple[str, int, int]]:
    """Yield (call, first time, later) of what moves deposits."""
    contract, token, alice, bob = settled.settlement, settled.token.address, person("alice"), person("bob")
    calls: list[tuple[str, str, tuple[Any, ...], Person, int, int]] = [
        ("deposit, SKYOPS", "deposit", (token, UNIT), alice, 0, 0),
        ("deposit, ETH", "deposit", (ETH, UNIT), alice, UNIT, 0),
        ("deposit to an allotment", "deposit", (token, UNIT, bob.address), alice, 0, 0),
        ("allot", "allot", (bob.address, token, UNIT // 10), alice, 0, 0),
        ("request_return", "request_return", (bob.address, token), alice, 0, 0),
        ("request_withdrawal", "request_withdrawal", (token, UNIT // 10), alice, 0, 0),
        ("withdraw", "withdraw", (token, alice.address), alice, 0, 2 * DAY),
        ("set_operator", "set_operator", (alice.address, True), bob, 0, 0),
    ]
    for label, call, args, sender, value, wait in calls:
        costs = []
        for _ in range(2):
            if call == "withdraw":
                contract.request_withdrawal(token, UNIT // 10, sender=alice.address)
            boa.env.time_travel(seconds=wait)
            costs.append(gas_of(contract, call, *args, sender=sender, value=value))
        yield label, costs[0], costs[1]
    yield "deposit_with_permit", *_permits(settled)


def _permits(settled: Settled) -> list[int]:
    token, contract, carol = settled.token, settled.settlement, person("carol")
    token.approve(contract.address, 0, sender=carol.address)
    deadline = boa.env.timestamp + DAY
    costs = []
    for nonce in (0, 1):
        signed = carol.sign(
            domain_of("Skyops", token), PERMIT, _type="Permit",
            owner=carol.address, spender=contract.address, value=UNIT, nonce=nonce, deadline=deadline,
        )  # fmt: skip
        permit = (deadline, signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big"))
        costs.append(gas_of(contract, "deposit_with_permit", token.address, UNIT, ETH, *permit, sender=carol))
    return costs


def earning_calls(settled: Settled) -> Iterator[tuple[str, int, int]]:
    """Yield (call, first time, later) of what pays workers, and of the escrow of jobs."""
    contract, token, alice, bob = settled.settlement, settled.token.address, person("alice"), person("bob")
    costs: dict[str, list[int]] = {}
    for turn in (1, 2):
        settled.deposit(alice, 50 * UNIT)
        settled.redeem(alice, bob, turn * UNIT)
        boa.env.time_travel(seconds=2 * HOUR)
        calls = {
            "release": ((alice.address, bob.address, token), bob),
            "collect": ((token, bob.address), bob),
            "pay_fees": ((token,), bob),
        }
        for call, (args, sender) in calls.items():
            costs.setdefault(call, []).append(gas_of(contract, call, *args, sender=sender))
        deadline = boa.env.timestamp + DAY
        post = (sha256(b"spec"), token, UNIT, bob.address, deadline)
        costs.setdefault("post_job", []).append(gas_of(contract, "post_job", *post, sender=alice))
        ((_, fields),) = [
            (type(log).__name__, log) for log in contract.get_logs() if type(log).__name__ == "JobPosted"
        ]
        job = fields.job
        for call, args, sender in (("claim", (), bob), ("complete", HASHES, bob), ("accept", (), alice)):
            costs.setdefault(call, []).append(gas_of(contract, call, job, *args, sender=sender))
    for call, (first, later) in costs.items():
        yield call, first, later


def dispute_calls() -> Iterator[tuple[str, int]]:
    """Yield (step, gas) of a dispute with a jury of seven, and the whole of it."""
    court = Court()
    alice, bob = person("alice"), person("bob")
    proof = court.paid_job(alice, bob, 20 * UNIT)
    where = (alice.address, bob.address, court.token.address)
    gas = {"open_receipt": gas_of(court.disputes, "open_receipt", *where, *proof, sha256(b"e"), sender=alice)}
    dispute = keccak(encode(["address"] * 3 + ["bytes32"], [*where, proof[0].job_id]))
    jury = court.jury(dispute)
    boa.env.time_travel(blocks=3)
    gas["fix_seed"] = gas_of(court.disputes, "fix_seed", jury, sender=alice)
    seed = court.disputes.juries(jury).seed
    jurors = court.jurors[:7]
    tickets = [
        gas_of(court.disputes, "enrol", dispute, best_ticket(seed, one)[1], sender=one) for one in jurors
    ]
    boa.env.time_travel(seconds=DRAW)
    gas["close_draw"] = gas_of(court.disputes, "close_draw", dispute, sender=alice)
    commits = [
        gas_of(court.disputes, "commit", jury, commitment(jury, one, WRONG), sender=one) for one in jurors
    ]
    boa.env.time_travel(seconds=COMMIT)
    reveals = [gas_of(court.disputes, "reveal", jury, WRONG, FINDING, SALT, sender=one) for one in jurors]
    boa.env.time_travel(seconds=REVEAL)
    gas["rule"] = gas_of(court.disputes, "rule", dispute, sender=alice)
    boa.env.time_travel(seconds=APPEAL)
    gas["close"] = gas_of(court.disputes, "close", dispute, sender=alice)
    gas["settle_jury, seven jurors"] = gas_of(court.disputes, "settle_jury", dispute, 0, sender=alice)
    total = sum(gas.values())
    for name, costs in (("enrol", tickets), ("commit", commits), ("reveal", reveals)):
        gas[f"{name}, each"] = sum(costs) // len(costs)
        total += sum(costs)
    yield from gas.items()
    yield "the whole dispute", total
    claim = (
        alice.address,
        bob.address,
        20 * UNIT,
        boa.env.timestamp,
        sha256(b"commitment"),
        sha256(b"verdict"),
    )
    yield "open_result", gas_of(court.disputes, "open_result", *claim, sender=alice)


def _beside_peers(calls: list[Row], rows: list[list[str]]) -> list[list[str]]:
    """Return the table of what one payment costs here and with others."""
    escrow = sum(first for call, first, _ in calls if call in ESCROW)
    batch = next(row for row in rows if row[:2] == ["allotment", "redeem_batch of 64"])
    own = [
        ["Skyops: a voucher of an allotment, one of 64", batch[3], "above"],
        ["Skyops: a job in escrow: post, claim, complete, accept", f"{escrow:,}", "above, first time"],
    ]
    return own + [[what, f"{gas:,}", source] for what, gas, source in PUBLISHED]


def main(argv: Sequence[str]) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench contracts.gas", description=__doc__)
    parser.parse_args(argv)
    settled = Settled()
    settled.bind_arbiter()
    rows, jobs = [], []
    for is_allotted in (True, False):
        source = "allotment" if is_allotted else "shared deposit"
        first, later = singles(settled, person("carol"), is_allotted=is_allotted)
        rows.append([source, "redeem", f"{first:,}", f"{later:,}"])
        for batch, first, later in redemptions(settled, is_allotted=is_allotted):
            rows.append([source, f"redeem_batch of {batch}", f"{first:,}", f"{later:,}"])
            if batch == 64:
                jobs.append([source, *(f"{later / count:,.0f}" for count in JOBS)])
    print_table(["paid from", "call", "gas a voucher, first of a pair", "later"], rows)
    print(f"The prototype, without holdback and allotments: {PROTOTYPE}.\n")
    print_table(["gas a job, in batches of 64", *(f"{count:,} jobs a voucher" for count in JOBS)], jobs)
    say("the other calls")
    others = [*deposit_calls(settled), *earning_calls(settled)]
    print_table(["call", "first time", "later"], [[name, f"{a:,}", f"{b:,}"] for name, a, b in others])
    print_table(["beside published figures", "gas", "source"], _beside_peers(others, rows))
    for title, calls in (
        ("SkyopsToken", token_calls(settled)),
        ("Parameters and Directory", role_calls(settled)),
        ("NodeRegistry", stake_calls(settled)),
        ("escrow, other ends", escrow_calls(settled)),
        ("Reservations", reservation_calls()),
    ):
        say(title)
        print_table([title, "first time", "later"], [[name, f"{a:,}", f"{b:,}"] for name, a, b in calls])
    say("a dispute")
    steps = [*dispute_calls(), *rare_dispute_calls()]
    print_table(["dispute", "gas"], [[name, f"{gas:,}"] for name, gas in steps])
    print_place()
