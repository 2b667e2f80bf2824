"""Gas of the calls that are made now and then: token, roles, stake, reservations, rest of escrow and disputes."""

from collections.abc import Iterator
from typing import Any

import boa
from boa.contracts.vyper.vyper_contract import VyperContract

from bench.contracts._transactions import Row, gas_of
from tests.contracts.chain import DAY, HOUR, UNIT, Person, deploy, domain_of, person, sha256
from tests.contracts.court import BURN, RIGHT, Court
from tests.contracts.reserved import USAGE, Reserved
from tests.contracts.settled import Settled

HASHES = (sha256(b"execution"), sha256(b"log"), sha256(b"metering"))
WINDOW = 3  # a key of Parameters


def _twice(contract: VyperContract, call: str, *turns: tuple[Any, ...], sender: Person) -> Row:
    """Return the row of a call with the arguments of each turn."""
    first, later = (gas_of(contract, call, *args, sender=sender) for args in turns)
    return call, first, later


def token_calls(settled: Settled) -> Iterator[Row]:
    """Yield (call, first time, later) of SkyopsToken."""
    token, alice, new = settled.token, person("alice"), person("new").address
    yield _twice(token, "transfer", (new, UNIT), (new, UNIT), sender=alice)
    spender = settled.registry.address
    yield _twice(token, "approve", (spender, UNIT), (spender, 2 * UNIT), sender=alice)
    yield _twice(token, "burn", (UNIT,), (UNIT,), sender=alice)


def role_calls(settled: Settled) -> Iterator[Row]:
    """Yield (call, first time, later) of Parameters and Directory."""
    parameters, governor = settled.parameters, person("gov")
    directory = deploy("Directory", parameters.address)
    proposals, executions = [], []
    for window_s in (1200, 1800):
        proposals.append(gas_of(parameters, "propose", WINDOW, window_s, sender=governor))
        boa.env.time_travel(seconds=2 * DAY)
        executions.append(gas_of(parameters, "execute", WINDOW, sender=governor))
    yield "propose", proposals[0], proposals[1]
    yield "execute", executions[0], executions[1]
    target = parameters.address
    yield _twice(directory, "publish", ("Settlement", target), ("Settlement", target), sender=governor)
    yield _twice(settled.settlement, "renew_terms", (), (), sender=governor)


def stake_calls(settled: Settled) -> Iterator[Row]:
    """Yield (call, first time, later) of NodeRegistry; a node registers once."""
    registry = deploy("NodeRegistry", settled.parameters.address, settled.token.address)
    bob, carol = person("bob"), person("carol")
    costs = []
    for owner in (bob, carol):
        settled.token.approve(registry.address, 2**256 - 1, sender=owner.address)
        costs.append(gas_of(registry, "register", HASHES[0], "", 300 * UNIT + BURN, sender=owner))
    yield "register", costs[0], costs[1]
    yield _twice(registry, "mark", ([bob.address],), ([bob.address],), sender=carol)
    many = [person(f"many {number}") for number in range(64)]
    for owner in many:
        settled.token.transfer(owner.address, 100 * UNIT + BURN)
        settled.token.approve(registry.address, 100 * UNIT + BURN, sender=owner.address)
        registry.register(HASHES[0], "", 100 * UNIT + BURN, sender=owner.address)
    owners = ([owner.address for owner in many],)
    _, first, later = _twice(registry, "mark", owners, owners, sender=carol)
    yield "mark of 64, each", first // 64, later // 64
    yield _twice(registry, "update", (HASHES[1], ""), (HASHES[2], ""), sender=bob)
    yield _twice(registry, "add_stake", (UNIT,), (UNIT,), sender=bob)
    yield _twice(registry, "unstake", (UNIT,), (UNIT,), sender=bob)
    costs = []
    for _ in range(2):
        boa.env.time_travel(seconds=14 * DAY)
        costs.append(gas_of(registry, "withdraw_stake", bob.address, sender=bob))
        registry.unstake(UNIT, sender=bob.address)
    yield "withdraw_stake", costs[0], costs[1]
    costs = []
    for _ in range(2):
        boa.env.time_travel(seconds=2 * DAY)
        costs.append(gas_of(registry, "mark_missing", bob.address, sender=carol))
        registry.mark([bob.address])
    yield "mark_missing", costs[0], costs[1]


def escrow_calls(settled: Settled) -> Iterator[Row]:
    """Yield (call, first time, later) of what ends a job without the requester's acceptance."""
    contract, alice, bob = settled.settlement, person("alice"), person("bob")
    costs: dict[str, list[int]] = {}
    for _ in range(2):
        for call in ("cancel", "fail", "expire", "release_job"):
            settled.deposit(alice, 10 * UNIT)
            post = (HASHES[0], settled.token.address, UNIT, bob.address, boa.env.timestamp + HOUR)
            job = contract.post_job(*post, sender=alice.address)
            if call != "cancel":
                contract.claim(job, sender=bob.address)
            if call == "release_job":
                contract.complete(job, *HASHES, sender=bob.address)
            if call in ("expire", "release_job"):
                boa.env.time_travel(seconds=2 * HOUR)
            sender = alice if call == "cancel" else bob
            costs.setdefault(call, []).append(gas_of(contract, call, job, sender=sender))
    for call, (first, later) in costs.items():
        yield call, first, later


def reservation_calls() -> Iterator[Row]:
    """Yield (call, first time, later) of Reservations; first time: of the reservation."""
    world = Reserved()
    contract, alice, bob = world.contract, person("alice"), person("bob")
    costs: dict[str, list[int]] = {}

    def note(call: str, *args: Any, sender: Person) -> None:
        costs.setdefault(call, []).append(gas_of(contract, call, *args, sender=sender))

    for number in (0, 1):
        offer = world.offer(bob, salt=sha256(f"gas {number}".encode()))
        signed = world.sign(bob, offer)
        note("reserve", offer, 240, boa.env.timestamp, *signed, sender=alice)
        made = world.reserve(alice, bob, 240, salt=sha256(f"made {number}".encode()))
        for call, who in (("check_in", bob), ("ask", alice)):
            note(call, made, sender=who)
        contract.check_in(made, sender=bob.address)
        boa.env.time_travel(seconds=5 * HOUR)
        note("draw", made, sender=bob)
        domain = domain_of("Skyops Reservations", contract)
        usage = alice.sign_compact(domain, USAGE, _type="Usage", reservation=made, usedS=HOUR)
        note("record_usage", made, HOUR, *usage, sender=bob)
        note("leave", made, 0, sender=alice)
        for call in ("finish", "report_no_show"):
            made = world.reserve(alice, bob, 1, salt=sha256(f"{call} {number}".encode()))
            if call == "finish":
                contract.check_in(made, sender=bob.address)
            boa.env.time_travel(seconds=3 * HOUR)
            note(call, made, sender=alice)
        note("collect", world.token.address, bob.address, sender=bob)
        note("pay_fees", world.token.address, sender=bob)
        note("revoke_offer", sha256(f"revoked {number}".encode()), sender=bob)
    for call, (first, later) in costs.items():
        yield call, first, later


def rare_dispute_calls() -> Iterator[tuple[str, int]]:
    """Yield (call, gas) of what a dispute needs only sometimes."""
    court = Court()
    alice, bob = person("alice"), person("bob")
    dispute = court.open(alice, alice, bob, 20 * UNIT)
    yield "add_evidence", gas_of(court.disputes, "add_evidence", dispute, HASHES[0], sender=alice)
    seated = court.draw(dispute)
    court.vote(dispute, [(juror, RIGHT) for juror in seated])
    yield "appeal", gas_of(court.disputes, "appeal", dispute, HASHES[0], sender=alice)
    court.draw(dispute, [], number=1)  # nobody comes: the verdict stands
    court.disputes.settle_jury(dispute, 0)
    yield "collect", gas_of(court.disputes, "collect", bob.address, sender=bob)
    signed = [court.statement(bob, HASHES[0], 1, content) for content in HASHES[:2]]
    rs, vss = zip(*signed, strict=True)
    proof = (bob.address, HASHES[0], 1, HASHES[:2], rs, vss)
    yield "prove_equivocation", gas_of(court.disputes, "prove_equivocation", *proof, sender=alice)
