"""Disputes under any order of calls: bonds, stakes and holdbacks are conserved, nothing is taken twice, all of it ends.

A step does a part of some dispute's way, or what nobody should do; several disputes run at once, over one pair too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boa
from eth_abi import encode
from eth_utils import keccak
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from skyops_p2p.core.auction.merkle import MerkleTree
from tests.contracts.chain import DAY, UNIT, Person, person, sha256
from tests.contracts.court import (
    APPEAL,
    COMMIT,
    DRAW,
    FINDING,
    REVEAL,
    SALT,
    SEAT,
    STAKE,
    WRONG,
    Court,
    best_ticket,
    commitment,
    result_dispute,
)
from tests.contracts.settled import Receipt, receipt

REQUESTERS = tuple(person(name) for name in ("alice", "carol"))
JURORS = tuple(person(f"j{number}") for number in range(6))
WORKERS = (person("bob"), JURORS[0])  # the second judges others, too
OTHERS = tuple(person(name) for name in ("mallory", "fund", "pool"))
EVERYBODY = (*REQUESTERS, WORKERS[0], *JURORS, *OTHERS)
ROUNDS = 3
UNLIMITED = 2**256
picks = st.integers(0, 20)
amounts = st.integers(10**9, 10 * UNIT) | st.just(30 * UNIT)  # wei: less is not redeemed
votes_of_a_jury = st.lists(st.sampled_from([0, 1, 2, 2]), min_size=6, max_size=6)


class DisputesMachine(RuleBasedStateMachine):
    """Two requesters, two workers, six jurors and a stranger."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = boa.env.anchor()
        self.anchor.__enter__()
        self.court = Court(jurors=len(JURORS))
        self.disputes, self.registry = self.court.disputes, self.court.registry
        self.token, self.settlement = self.court.token, self.court.settled.settlement
        self.receipts: dict[tuple[str, str], list[Receipt]] = {}
        self.opened: list[bytes] = []
        self.jobs: list[bytes] = []
        self.results: dict[bytes, bytes] = {}  # dispute -> commitment to the result that it is about
        self.slashed: set[tuple[bytes, str]] = set()
        for owner in EVERYBODY:
            self.token.approve(self.disputes.address, 2**256 - 1, sender=owner.address)
        for owner in REQUESTERS:
            self.court.settled.deposit(owner, 500 * UNIT)
        self.token.transfer(JURORS[1].address, 200 * UNIT)  # a juror that challenges
        self.supply = self.token.totalSupply()

    def teardown(self) -> None:
        try:
            self._everything_ends()
        finally:
            self.anchor.__exit__(None, None, None)

    def wealth(self) -> list[int]:
        """Return all that each of EVERYBODY has, wherever it lies, but for bonds and holdbacks."""
        return [self._wealth_of(one.address) for one in EVERYBODY]

    def _wealth_of(self, owner: str) -> int:
        node, token = self.registry.nodes(owner), self.token.address
        inside = self.settlement.deposits(owner, token) + self.settlement.credits(owner, token)
        outside = self.token.balanceOf(owner) + self.disputes.owed(owner)
        return int(node.stake + node.unbonding + inside + outside)

    @contextmanager
    def losing(self, losses: dict[Person, int]) -> Iterator[None]:
        """Nobody has less of anything after it, but for those named, and they up to an amount."""
        before = self.wealth()
        yield
        for one, had, has in zip(EVERYBODY, before, self.wealth(), strict=True):
            assert has >= had - losses.get(one, 0)

    def act(self, call: Any, *args: Any, sender: Person) -> bool:
        """Call. Return whether it was not refused."""
        try:
            call(*args, sender=sender.address)
        except boa.BoaError:
            return False
        return True

    def pick(self, number: int) -> bytes | None:
        """Return one of the disputes that were opened."""
        return self.opened[number % len(self.opened)] if self.opened else None

    @rule(requester=st.sampled_from(REQUESTERS), worker=st.sampled_from(WORKERS), amount=amounts)
    def pay_by_voucher(self, requester: Person, worker: Person, amount: int) -> None:
        paid = self.receipts.setdefault((requester.name, worker.name), [])
        if sum(one.amount for one in paid) + amount > 200 * UNIT:
            return
        paid.append(receipt(len(paid), amount))
        root = MerkleTree([one.leaf for one in paid]).root
        self.court.settled.redeem(requester, worker, sum(one.amount for one in paid), root=root)

    @rule(
        challenger=st.sampled_from([*REQUESTERS, JURORS[1], WORKERS[0]]),
        requester=st.sampled_from(REQUESTERS),
        worker=st.sampled_from(WORKERS),
        number=picks,
    )
    def open_receipt(self, challenger: Person, requester: Person, worker: Person, number: int) -> None:
        paid = self.receipts.get((requester.name, worker.name))
        if not paid:
            return
        index = number % len(paid)
        where = (requester.address, worker.address, self.token.address)
        path = list(MerkleTree([one.leaf for one in paid]).path(index))
        proof = (paid[index], index, len(paid), path, sha256(b"evidence"))
        with self.losing({challenger: UNLIMITED}):
            is_open = self.act(self.disputes.open_receipt, *where, *proof, sender=challenger)
        if is_open:
            assert challenger != worker
            dispute = bytes(keccak(encode(["address"] * 3 + ["bytes32"], [*where, paid[index].job_id])))
            assert dispute not in self.opened
            self.opened.append(dispute)

    @rule(
        challenger=st.sampled_from([*REQUESTERS, JURORS[1]]), worker=st.sampled_from(WORKERS), amount=amounts
    )
    def open_job(self, challenger: Person, worker: Person, amount: int) -> None:
        alice = REQUESTERS[0]
        if self.settlement.deposits(alice.address, self.token.address) < amount:
            return
        deadline = boa.env.timestamp + DAY
        post = (bytes(32), self.token.address, amount, worker.address, deadline)
        job = bytes(self.settlement.post_job(*post, sender=alice.address))
        self.jobs.append(job)
        self.settlement.claim(job, sender=worker.address)
        self.settlement.complete(job, *[sha256(b"hash")] * 3, sender=worker.address)
        with self.losing({challenger: UNLIMITED}):
            is_open = self.act(self.disputes.open_job, job, sha256(b"evidence"), sender=challenger)
        if is_open:
            self.opened.append(job)

    @rule(
        challenger=st.sampled_from([*REQUESTERS, JURORS[1], WORKERS[0]]),
        worker=st.sampled_from(WORKERS),
        amount=st.sampled_from([UNIT, 2 * UNIT, 30 * UNIT]),
        commit=st.sampled_from([sha256(b"one result"), sha256(b"another")]),
        proof=st.sampled_from([sha256(b"verdict"), sha256(b"a second one")]),
    )
    def open_result(
        self, challenger: Person, worker: Person, amount: int, commit: bytes, proof: bytes
    ) -> None:
        made_at = boa.env.timestamp // (3 * DAY) * (3 * DAY)  # so often a verdict is made
        claim = (REQUESTERS[0].address, worker.address, amount, made_at, commit, proof)
        was_charged = self.disputes.is_charged(commit)
        with self.losing({challenger: UNLIMITED}):
            is_open = self.act(self.disputes.open_result, *claim, sender=challenger)
        if is_open:
            assert (challenger != worker, amount >= 2 * UNIT, was_charged) == (True, True, False)
            self.opened.append(result_dispute(*claim))
            self.results[self.opened[-1]] = commit

    @rule(number=picks, count=st.integers(0, 6))
    def draw(self, number: int, count: int) -> None:
        dispute = self.pick(number)
        if dispute is not None:
            with self.losing({}):
                self._draw(dispute, count)

    def _draw(self, dispute: bytes, count: int) -> None:
        jury = self.court.jury(dispute, self.disputes.cases(dispute).round)
        boa.env.time_travel(blocks=3)
        self.act(self.disputes.fix_seed, jury, sender=OTHERS[0])
        seed = self.disputes.juries(jury).seed
        for juror in JURORS[len(JURORS) - count :]:
            ticket = best_ticket(seed, juror)[1]
            self.act(self.disputes.enrol, dispute, ticket, sender=juror)
        boa.env.time_travel(seconds=DRAW)
        self.act(self.disputes.close_draw, dispute, sender=OTHERS[0])

    @rule(number=picks, votes=votes_of_a_jury, silent=st.integers(0, 3))
    def vote(self, number: int, votes: list[int], silent: int) -> None:
        """Jurors commit, and all but a few of the last reveal; 0 commits nothing."""
        dispute = self.pick(number)
        if dispute is not None:
            with self.losing({}):
                self._vote(dispute, votes, silent)

    def _vote(self, dispute: bytes, votes: list[int], silent: int) -> None:
        round_ = self.disputes.cases(dispute).round
        jury = self.court.jury(dispute, round_)
        seated = list(zip(self.court.seated(dispute, round_), votes, strict=False))
        for juror, choice in seated:
            if choice:
                self.act(self.disputes.commit, jury, commitment(jury, juror, choice), sender=juror)
        boa.env.time_travel(seconds=COMMIT)
        for juror, choice in seated[: len(seated) - silent]:
            self.act(self.disputes.reveal, jury, max(choice, 1), FINDING, SALT, sender=juror)
        boa.env.time_travel(seconds=REVEAL)
        self.act(self.disputes.rule, dispute, sender=OTHERS[0])

    @rule(number=picks, appellant=st.sampled_from([*REQUESTERS, *WORKERS]))
    def appeal(self, number: int, appellant: Person) -> None:
        dispute = self.pick(number)
        if dispute is not None:
            with self.losing({appellant: UNLIMITED}):
                self.act(self.disputes.appeal, dispute, bytes(32), sender=appellant)

    @rule(number=picks, is_waited=st.booleans(), caller=st.sampled_from(EVERYBODY))
    def close(self, number: int, is_waited: bool, caller: Person) -> None:
        dispute = self.pick(number)
        if dispute is not None:
            boa.env.time_travel(seconds=APPEAL if is_waited else 1)
            self._close(dispute, caller)

    def _close(self, dispute: bytes, caller: Person) -> None:
        """The worker loses ten job values if it was wrong, once; nobody else loses anything."""
        case = self.disputes.cases(dispute)
        worker = next(one for one in EVERYBODY if one.address == case.worker)
        is_charged = self.disputes.is_charged(self.results.get(dispute, bytes(32)))
        loss = {worker: 10 * case.worth} if case.verdict == WRONG and not is_charged else {}
        with self.losing(loss):
            is_done = self.act(self.disputes.close, dispute, sender=caller)
        if is_done:
            assert not case.is_closed
            self._noted_once(dispute, case.worker)
            if loss and dispute in self.results:
                self._noted_once(self.results[dispute], "charged")

    @rule(number=picks, votes=votes_of_a_jury)
    def decide(self, number: int, votes: list[int]) -> None:
        """A dispute goes its whole way at once."""
        dispute = self.pick(number)
        if dispute is not None:
            self._draw(dispute, len(JURORS))
            self._vote(dispute, votes, 0)
            boa.env.time_travel(seconds=APPEAL)
            self._close(dispute, OTHERS[0])

    @rule(number=picks, round_=st.integers(0, ROUNDS), caller=st.sampled_from(EVERYBODY))
    def settle_jury(self, number: int, round_: int, caller: Person) -> None:
        dispute = self.pick(number)
        if dispute is not None:
            self._settle(dispute, round_, caller)

    def _settle(self, dispute: bytes, round_: int, caller: Person) -> None:
        """A juror that did not vote as it ended loses a tenth of its seat's stake, once."""
        case, jury = self.disputes.cases(dispute), self.court.jury(dispute, round_)
        losses = {}
        for juror in self.court.seated(dispute, round_):
            is_coherent = self.disputes.votes(jury, juror.address) == case.verdict != 0
            losses[juror] = 0 if is_coherent else SEAT // 10
        with self.losing(losses):
            is_done = self.act(self.disputes.settle_jury, dispute, round_, sender=caller)
        if is_done:
            assert case.is_closed
            self._noted_once(jury, "jurors")

    def _noted_once(self, cause: bytes, who: str) -> None:
        assert (cause, who) not in self.slashed
        self.slashed.add((cause, who))

    @rule(account=st.sampled_from([WORKERS[0], JURORS[2], REQUESTERS[0]]), sequence=st.integers(0, 1))
    def prove_equivocation(self, account: Person, sequence: int) -> None:
        """A liar loses all that is at stake, once."""
        contents = (sha256(b"one"), sha256(b"other"))
        lane = sha256(account.name.encode())
        signed = [self.court.statement(account, lane, sequence, content) for content in contents]
        rs, vss = zip(*signed, strict=True)
        node = self.registry.nodes(account.address)
        args = (account.address, lane, sequence, contents, rs, vss)
        with self.losing({account: node.stake + node.unbonding}):
            is_done = self.act(self.disputes.prove_equivocation, *args, sender=OTHERS[0])
        if is_done:
            assert self.registry.nodes(account.address).state == 4
            assert self.registry.nodes(account.address).stake == 0
            self._noted_once(b"equivocation", account.name)

    @rule(owner=st.sampled_from(EVERYBODY))
    def collect(self, owner: Person) -> None:
        before, owed = self.token.balanceOf(owner.address), self.court.owed(owner)
        for _ in range(2):  # the second time there is nothing more
            self.act(self.disputes.collect, owner.address, sender=owner)
            assert self.token.balanceOf(owner.address) == before + owed

    @rule(owner=st.sampled_from([*WORKERS, *JURORS]), amount=st.integers(1, STAKE))
    def unstake(self, owner: Person, amount: int) -> None:
        with self.losing({}):
            self.act(self.registry.unstake, amount, sender=owner)
            self.act(self.registry.withdraw_stake, owner.address, sender=owner)

    @rule(requester=st.sampled_from(REQUESTERS), worker=st.sampled_from(WORKERS))
    def release(self, requester: Person, worker: Person) -> None:
        where = (requester.address, worker.address, self.token.address)
        self.act(self.settlement.release, *where, sender=OTHERS[0])

    @rule(seconds=st.sampled_from([60, DRAW, APPEAL, DAY]))
    def wait(self, seconds: int) -> None:
        boa.env.time_travel(seconds=seconds)

    @rule()
    def leave_seeds_too_long(self) -> None:
        boa.env.time_travel(blocks=300)

    def in_custody(self, dispute: bytes) -> int:
        """Return what the contract keeps for a dispute: bonds while it is open, then the pay of jurors to come."""
        case = self.disputes.cases(dispute)
        if not case.is_closed:
            asked = sum(self.disputes.appeals(dispute, n).bond for n in range(1, ROUNDS))
            return int(case.bond + asked)
        seats = 0
        for round_ in range(case.round + 1):
            jury = self.court.jury(dispute, round_)
            found = self.disputes.juries(jury)
            if found.rights + found.wrongs > 0 and not self.disputes.is_settled(jury):
                seats += len(self.disputes.seats_of(jury))
        return int(case.juror_pay * seats)

    @invariant()
    def money_is_conserved(self) -> None:
        owed = sum(map(self.court.owed, EVERYBODY))
        kept = sum(map(self.in_custody, self.opened))
        assert self.token.balanceOf(self.disputes.address) == owed + kept
        assert self.token.totalSupply() <= self.supply

    @invariant()
    def stakes_are_conserved_and_locked_for_open_seats_only(self) -> None:
        staked = [*WORKERS[:1], *JURORS]
        nodes = {one: self.registry.nodes(one.address) for one in staked}
        total = sum(node.stake + node.unbonding for node in nodes.values())
        assert self.token.balanceOf(self.registry.address) == total
        seats = dict.fromkeys(staked, 0)
        for dispute in self.opened:
            for round_ in range(self.disputes.cases(dispute).round + 1):
                if not self.disputes.is_settled(self.court.jury(dispute, round_)):
                    for juror in self.court.seated(dispute, round_):
                        seats[juror] += 1
        for one, node in nodes.items():
            assert node.locked <= min(node.stake, SEAT * seats[one])

    @invariant()
    def every_open_dispute_holds_its_worker_and_its_money(self) -> None:
        cases = {one: self.disputes.cases(one) for one in self.opened}
        open_cases = {one: case for one, case in cases.items() if not case.is_closed}
        for worker in WORKERS:
            mine = {one: case for one, case in open_cases.items() if case.worker == worker.address}
            paid = [case for one, case in mine.items() if one not in self.results]
            assert self.registry.nodes(worker.address).holds == len(mine)
            for requester in REQUESTERS:
                counted = [c for c in paid if c.requester == requester.address and c.job == bytes(32)]
                assert self.court.settled.state(requester, worker).disputes == len(counted)
        for job in self.jobs:
            is_open = job in self.opened and not self.disputes.cases(job).is_closed
            assert self.settlement.jobs(job).is_frozen == is_open

    def _everything_ends(self) -> None:
        """Whatever happened, anybody can end all disputes; then everything has gone to somebody, or was burned."""
        for _ in range(ROUNDS):
            boa.env.time_travel(seconds=2 * DAY)
            for dispute in self.opened:
                for call in (self.disputes.close_draw, self.disputes.rule):
                    self.act(call, dispute, sender=OTHERS[0])
                    boa.env.time_travel(seconds=DAY)
                self._close(dispute, OTHERS[0])
        for dispute in self.opened:
            assert self.disputes.cases(dispute).is_closed
            for round_ in range(self.disputes.cases(dispute).round + 1):
                self._settle(dispute, round_, OTHERS[0])
        for owner in EVERYBODY:
            self.disputes.collect(owner.address, sender=owner.address)
        assert self.token.balanceOf(self.disputes.address) == 0
        self._all_stake_leaves()

    def _all_stake_leaves(self) -> None:
        for owner in (*WORKERS[:1], *JURORS):
            node = self.registry.nodes(owner.address)
            assert (node.locked, node.holds) == (0, 0)
            if node.stake > 0:
                self.registry.unstake(node.stake, sender=owner.address)
        boa.env.time_travel(seconds=14 * DAY)
        for owner in (*WORKERS[:1], *JURORS):
            if self.registry.nodes(owner.address).unbonding > 0:
                self.registry.withdraw_stake(owner.address, sender=owner.address)
        assert self.token.balanceOf(self.registry.address) == 0


DisputesMachine.TestCase.settings = settings(max_examples=5, stateful_step_count=15, deadline=None)
test_disputes_under_any_order_of_calls = DisputesMachine.TestCase
