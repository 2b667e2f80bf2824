"""Settlement under any order of calls: money is conserved, nothing pays twice, only owners move what is theirs.

Every step's effect is foretold by a small model; the token and ETH run side by side.
"""

from typing import Any, NamedTuple

import boa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.contracts.chain import DAY, ETH, HOUR, UNIT, Person, person, sha256
from tests.contracts.settled import PEOPLE, Settled, custody, total_owed

EVERYBODY = tuple(person(name) for name in PEOPLE)
who = st.sampled_from(EVERYBODY)
amounts = st.integers(0, 50) | st.integers(0, 50 * 10**9) | st.integers(0, 20 * UNIT)
HASHES = (sha256(b"execution"), sha256(b"log"), sha256(b"metering"))


class Snapshot(NamedTuple):
    """What everybody owns in the settlement, in the token of a step."""

    deposits: tuple[int, ...]
    credits: tuple[int, ...]


class SettlementMachine(RuleBasedStateMachine):
    """Four people deposit, sign, redeem, dispute and leave, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = boa.env.anchor()
        self.anchor.__enter__()
        self.settled = Settled()
        self.settled.bind_arbiter()
        self.contract = self.settled.settlement
        self.tokens = (self.settled.token.address, ETH)
        self.jobs: list[bytes] = []
        self.promised: dict[tuple[str, str, str], int] = {}
        self.disputes: list[tuple[str, str, str]] = []

    def teardown(self) -> None:
        self._everybody_leaves()
        self.anchor.__exit__(None, None, None)

    @initialize()
    def begin(self) -> None:
        for token in self.tokens:
            self.settled.deposit(EVERYBODY[0], 30 * UNIT, token=token)

    def snapshot(self, token: str) -> Snapshot:
        return Snapshot(
            tuple(self.settled.deposit_of(one, token) for one in EVERYBODY),
            tuple(self.settled.credit_of(one, token) for one in EVERYBODY),
        )

    def attempt(self, call: Any, *args: Any, sender: Person) -> Any:
        """Call, and return None if it is refused: then the invariants say that nothing has changed."""
        try:
            return call(*args, sender=sender.address)
        except boa.BoaError:
            return None

    @rule(owner=who, kind=st.integers(0, 1), amount=amounts, worker=who | st.none())
    def deposit(self, owner: Person, kind: int, amount: int, worker: Person | None) -> None:
        token = self.tokens[kind]
        before = self.snapshot(token).credits
        if worker is None:
            self.settled.deposit(owner, amount, token=token)
        elif amount >= 10**9:
            self.settled.deposit(owner, amount, token=token, worker=worker.address)
        assert self.snapshot(token).credits == before

    @rule(owner=who, worker=who, kind=st.integers(0, 1), amount=amounts)
    def allot(self, owner: Person, worker: Person, kind: int, amount: int) -> None:
        self.attempt(self.contract.allot, worker.address, self.tokens[kind], amount, sender=owner)

    @rule(owner=who, worker=who, kind=st.integers(0, 1))
    def take_back(self, owner: Person, worker: Person, kind: int) -> None:
        self.attempt(self.contract.request_return, worker.address, self.tokens[kind], sender=owner)
        self.attempt(self.contract.take_back, worker.address, self.tokens[kind], sender=owner)

    @rule(requester=who, worker=who, kind=st.integers(0, 1), more=amounts, holdback=st.integers(0, 3000))
    def redeem(self, requester: Person, worker: Person, kind: int, more: int, holdback: int) -> None:
        token = self.tokens[kind]
        key = (requester.name, worker.name, token)
        self.promised[key] = self.promised.get(key, 0) + more
        voucher = self.settled.voucher(requester, worker, self.promised[key], token=token, holdback=holdback)
        there = self.contract.redeemable(requester.address, worker.address, token, self.promised[key])
        redeemed = self.settled.state(requester, worker, token).redeemed
        others = [self.settled.deposit_of(one, token) for one in EVERYBODY if one != requester]
        self.contract.redeem_batch(worker.address, token, [voucher, voucher], sender=worker.address)
        after = self.settled.state(requester, worker, token)
        assert after.redeemed == redeemed + there <= self.promised[key]
        assert others == [self.settled.deposit_of(one, token) for one in EVERYBODY if one != requester]
        settled_twice = self.snapshot(token)
        if self.settled.deposit_of(requester, token) >= 10**9 or after.redeemed + 10**9 > self.promised[key]:
            self.contract.redeem_batch(worker.address, token, [voucher], sender=worker.address)
            assert self.snapshot(token) == settled_twice

    @rule(requester=who, worker=who, kind=st.integers(0, 1))
    def release(self, requester: Person, worker: Person, kind: int) -> None:
        where = (requester.address, worker.address, self.tokens[kind])
        self.attempt(self.contract.release, *where, sender=EVERYBODY[3])

    @rule(owner=who, kind=st.integers(0, 1), amount=amounts)
    def request_withdrawal(self, owner: Person, kind: int, amount: int) -> None:
        self.attempt(self.contract.request_withdrawal, self.tokens[kind], amount, sender=owner)

    @rule(owner=who, kind=st.integers(0, 1))
    def withdraw(self, owner: Person, kind: int) -> None:
        others = [self.settled.deposit_of(one, self.tokens[kind]) for one in EVERYBODY if one != owner]
        self.attempt(self.contract.withdraw, self.tokens[kind], owner.address, sender=owner)
        assert others == [
            self.settled.deposit_of(one, self.tokens[kind]) for one in EVERYBODY if one != owner
        ]

    @rule(owner=who, kind=st.integers(0, 1))
    def collect(self, owner: Person, kind: int) -> None:
        self.contract.collect(self.tokens[kind], owner.address, sender=owner.address)
        assert self.settled.credit_of(owner, self.tokens[kind]) == 0

    @rule(kind=st.integers(0, 1))
    def pay_fees(self, kind: int) -> None:
        self.contract.pay_fees(self.tokens[kind])

    @rule(requester=who, worker=who, kind=st.integers(0, 1))
    def dispute(self, requester: Person, worker: Person, kind: int) -> None:
        where = (requester.address, worker.address, self.tokens[kind])
        try:
            self.settled.arbiter.freeze(*where)
        except boa.BoaError:
            return
        self.disputes.append(where)

    @rule(amount=amounts)
    def judge(self, amount: int) -> None:
        if self.disputes:
            self.settled.arbiter.resolve(*self.disputes.pop(), amount)

    @rule(requester=who, worker=who, kind=st.integers(0, 1), payment=amounts)
    def post_job(self, requester: Person, worker: Person, kind: int, payment: int) -> None:
        deadline = boa.env.timestamp + DAY
        job = self.attempt(
            self.contract.post_job,
            bytes(32),
            self.tokens[kind],
            payment,
            worker.address,
            deadline,
            sender=requester,
        )
        if job is not None:
            self.jobs.append(job)

    @rule(
        pick=st.integers(0, 10),
        call=st.sampled_from(["claim", "complete", "accept", "release_job", "cancel", "fail", "expire"]),
    )
    def advance_job(self, pick: int, call: str) -> None:
        if not self.jobs:
            return
        job = self.jobs[pick % len(self.jobs)]
        names = {one.address: one for one in EVERYBODY}
        found = self.contract.jobs(job)
        sender = names[found.requester if call in ("accept", "cancel") else found.worker]
        self.attempt(
            getattr(self.contract, call), job, *(HASHES if call == "complete" else ()), sender=sender
        )

    @rule(seconds=st.sampled_from([1, HOUR, DAY, 2 * DAY]))
    def wait(self, seconds: int) -> None:
        boa.env.time_travel(seconds=seconds)

    @invariant()
    def money_is_conserved(self) -> None:
        for token, contract in zip(self.tokens, (self.settled.token, None), strict=True):
            escrowed = sum(
                self.contract.jobs(j).payment for j in self.jobs if self.contract.jobs(j).token == token
            )
            assert custody(self.settled, contract) == total_owed(self.settled, token, EVERYBODY) + escrowed

    def _everybody_leaves(self) -> None:
        """Whatever happened, all of the money can be taken out by those whose it is."""
        self._end_all_that_runs()
        for token, contract in zip(self.tokens, (self.settled.token, None), strict=True):
            for owner in EVERYBODY:
                self.contract.request_withdrawal(
                    token, self.settled.deposit_of(owner, token), sender=owner.address
                )
            boa.env.time_travel(seconds=2 * DAY)
            for owner in EVERYBODY:
                self.attempt(self.contract.withdraw, token, owner.address, sender=owner)
                self.contract.collect(token, owner.address, sender=owner.address)
            self.contract.pay_fees(token)
            assert custody(self.settled, contract) == 0

    def _end_all_that_runs(self) -> None:
        for where in self.disputes:
            self.settled.arbiter.resolve(*where, UNIT)
        boa.env.time_travel(seconds=2 * DAY)
        for job in self.jobs:
            for call in ("expire", "release_job"):
                self.attempt(getattr(self.contract, call), job, sender=EVERYBODY[3])
        for token in self.tokens:
            for requester in EVERYBODY:
                for worker in EVERYBODY:
                    where = (requester.address, worker.address, token)
                    self.attempt(self.contract.release, *where, sender=EVERYBODY[3])
                    self.attempt(self.contract.request_return, worker.address, token, sender=requester)
        boa.env.time_travel(seconds=2 * DAY)
        for token in self.tokens:
            for requester in EVERYBODY:
                for worker in EVERYBODY:
                    self.attempt(self.contract.take_back, worker.address, token, sender=requester)


SettlementMachine.TestCase.settings = settings(max_examples=8, stateful_step_count=15, deadline=None)
test_settlement_under_any_order_of_calls = SettlementMachine.TestCase
