"""Reservations under any order of calls: the prepaid is shared out whole, once, and nobody else's money moves."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.contracts.chain import DAY, ETH, HOUR, UNIT, Person, domain_of, person, sha256
from tests.contracts.court import BURN
from tests.contracts.reserved import STAKE, USAGE, Reserved

REQUESTERS = tuple(person(name) for name in ("alice", "mallory"))
WORKERS = tuple(person(name) for name in ("bob", "carol"))
PLACES = tuple(person(name) for name in ("pool", "fund"))
EVERYBODY = (*REQUESTERS, *WORKERS, *PLACES)
HOURS_MOST = 60
UNLIMITED = 2**256
picks = st.integers(0, 20)
anybody = st.sampled_from(EVERYBODY)
rates = st.tuples(st.just(0), st.integers(1, 100) | st.integers(1, 5 * UNIT)) | st.tuples(
    st.just(1), st.integers(1, 100) | st.integers(1, UNIT // 100)
)


class ReservationsMachine(RuleBasedStateMachine):
    """Two requesters and two workers, in SKYOPS and ETH, for hours or days."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = boa.env.anchor()
        self.anchor.__enter__()
        self.world = Reserved()
        self.contract, self.registry, self.token = self.world.contract, self.world.registry, self.world.token
        self.tokens = (self.token.address, ETH)
        carol, mallory = WORKERS[1].address, REQUESTERS[1].address
        self.token.approve(self.registry.address, STAKE + BURN, sender=carol)
        self.registry.register(sha256(b"carol"), "", STAKE + BURN, sender=carol)
        self.token.approve(self.contract.address, UNLIMITED - 1, sender=mallory)
        self.made: list[bytes] = []
        self.ended: set[bytes] = set()

    def teardown(self) -> None:
        try:
            self._everything_ends()
        finally:
            self.anchor.__exit__(None, None, None)

    def wealth(self, kind: int) -> list[int]:
        """Return what each of EVERYBODY has of a token, wherever it lies, but for what is prepaid."""
        found = []
        for one in EVERYBODY:
            owed = self.world.owed(one, self.tokens[kind])
            if kind == 1:
                found.append(int(boa.env.get_balance(one.address)) + owed)
            else:
                node = self.registry.nodes(one.address)
                found.append(int(self.token.balanceOf(one.address) + node.stake + node.unbonding) + owed)
        return found

    @contextmanager
    def losing(self, *losses: dict[Person, int]) -> Iterator[None]:
        """Nobody has less after it, but for those named, up to an amount of SKYOPS and of ETH."""
        before = [self.wealth(kind) for kind in (0, 1)]
        yield
        for kind, allowed in enumerate([*losses, {}, {}][:2]):
            for one, had, has in zip(EVERYBODY, before[kind], self.wealth(kind), strict=True):
                assert has >= had - allowed.get(one, 0)

    def act(self, call: Any, *args: Any, sender: Person) -> bool:
        """Call. Return whether it was not refused."""
        try:
            call(*args, sender=sender.address)
        except boa.BoaError:
            return False
        return True

    def pick(self, number: int) -> bytes | None:
        """Return one of the reservations that were made."""
        return self.made[number % len(self.made)] if self.made else None

    def party(self, address: str) -> Person:
        return next(one for one in EVERYBODY if one.address == address)

    @rule(
        requester=st.sampled_from(REQUESTERS),
        worker=st.sampled_from(WORKERS),
        rate=rates,
        hours=st.integers(1, HOURS_MOST),
        after=st.sampled_from([0, HOUR, DAY]),
    )
    def reserve(
        self, requester: Person, worker: Person, rate: tuple[int, int], hours: int, after: int
    ) -> None:
        kind, wei = rate
        salt = sha256(f"offer {len(self.made)}".encode())
        price = self.contract.price_of(wei, hours)
        losses: list[dict[Person, int]] = [{}, {}]
        losses[kind] = {requester: price}
        with self.losing(*losses):
            try:
                made = self.world.reserve(
                    requester, worker, hours, after=after, rate=wei, token=self.tokens[kind], salt=salt
                )
            except boa.BoaError:
                return
        assert self.contract.reservations(made).prepaid == price
        self.made.append(made)

    @rule(number=picks, call=st.sampled_from(["check_in", "check_in", "ask", "draw"]), caller=anybody)
    def go_on(self, number: int, call: str, caller: Person) -> None:
        """What happens inside a term; a party does it more often than a stranger."""
        reservation = self.pick(number)
        if reservation is None:
            return
        found = self.contract.reservations(reservation)
        party = self.party(found.worker if call == "check_in" else found.requester)
        with self.losing():
            for sender in (caller, party):
                if self.act(getattr(self.contract, call), reservation, sender=sender):
                    assert reservation not in self.ended
                    assert call == "draw" or sender == party

    @rule(number=picks, caller=anybody, call=st.sampled_from(["leave", "report_no_show", "finish"]))
    def end(self, number: int, caller: Person, call: str) -> None:
        reservation = self.pick(number)
        if reservation is not None:
            for sender in (caller, self.party(self.contract.reservations(reservation).requester)):
                self._end(reservation, sender, call)

    def _end(self, reservation: bytes, sender: Person, call: str) -> None:
        """Share a prepaid out, once; only a worker that did not show up loses something: what was locked for it."""
        found = self.contract.reservations(reservation)
        owed = self._owed_of(found)
        losses = {self.party(found.worker): found.locked} if call == "report_no_show" else {}
        args = (reservation, 0) if call == "leave" else (reservation,)
        with self.losing(losses):
            is_done = self.act(getattr(self.contract, call), *args, sender=sender)
        if is_done:
            assert reservation not in self.ended
            self.ended.add(reservation)
            compensation = found.locked if call == "report_no_show" and found.token != ETH else 0
            shared = self._owed_of(found) - owed
            assert found.prepaid - found.drawn <= shared <= found.prepaid - found.drawn + compensation // 2

    def _owed_of(self, found: Any) -> int:
        """Return what the parties of a reservation are owed in its token, and the fees."""
        parties = (self.party(found.requester), self.party(found.worker))
        return sum(self.world.owed(one, found.token) for one in parties) + int(
            self.contract.fees(found.token)
        )

    @rule(number=picks, signer=st.sampled_from(REQUESTERS), used_s=st.integers(0, 3 * DAY))
    def record_usage(self, number: int, signer: Person, used_s: int) -> None:
        reservation = self.pick(number)
        if reservation is None:
            return
        before = self.contract.reservations(reservation)
        domain = domain_of("Skyops Reservations", self.contract)
        signed = signer.sign_compact(domain, USAGE, _type="Usage", reservation=reservation, usedS=used_s)
        with self.losing():
            if self.act(self.contract.record_usage, reservation, used_s, *signed, sender=PLACES[0]):
                assert signer.address == before.requester
                assert used_s > before.used_s

    @rule(owner=anybody, kind=st.integers(0, 1))
    def collect(self, owner: Person, kind: int) -> None:
        token = self.tokens[kind]
        owed = self.world.owed(owner, token)
        with self.losing():
            assert self.contract.collect(token, owner.address, sender=owner.address) == owed
            assert self.contract.collect(token, owner.address, sender=owner.address) == 0

    @rule(kind=st.integers(0, 1))
    def pay_fees(self, kind: int) -> None:
        with self.losing():
            self.contract.pay_fees(self.tokens[kind])
            assert self.contract.fees(self.tokens[kind]) == 0

    @rule(worker=st.sampled_from(WORKERS), amount=st.integers(1, STAKE))
    def unstake(self, worker: Person, amount: int) -> None:
        node = self.registry.nodes(worker.address)
        with self.losing():
            if self.act(self.registry.unstake, amount, sender=worker):
                assert amount <= node.stake - node.locked

    @rule(seconds=st.sampled_from([60, HOUR // 2, HOUR, 5 * HOUR, DAY]))
    def wait(self, seconds: int) -> None:
        boa.env.time_travel(seconds=seconds)

    @invariant()
    def money_is_conserved(self) -> None:
        inside = [0, 0]
        for found in map(self.contract.reservations, self.made):
            assert found.drawn <= found.prepaid
            if not found.is_ended:
                inside[self.tokens.index(found.token)] += found.prepaid - found.drawn
        has = (self.token.balanceOf(self.contract.address), boa.env.get_balance(self.contract.address))
        for kind, token in enumerate(self.tokens):
            owed = sum(self.world.owed(one, token) for one in EVERYBODY)
            assert has[kind] == owed + self.contract.fees(token) + inside[kind]

    @invariant()
    def stake_is_locked_for_what_runs(self) -> None:
        running = [found for found in map(self.contract.reservations, self.made) if not found.is_ended]
        for worker in WORKERS:
            node = self.registry.nodes(worker.address)
            wanted = sum(found.locked for found in running if found.worker == worker.address)
            assert node.locked == min(node.stake, wanted)

    def _everything_ends(self) -> None:
        """Every reservation can be ended by somebody; then all has been paid out and no stake is locked."""
        boa.env.time_travel(seconds=DAY + (HOURS_MOST + 2) * HOUR)
        for reservation in self.made:
            for call in ("finish", "report_no_show"):
                self._end(reservation, self.party(self.contract.reservations(reservation).requester), call)
            assert self.contract.reservations(reservation).is_ended
        for token in self.tokens:
            for owner in EVERYBODY:
                self.contract.collect(token, owner.address, sender=owner.address)
            self.contract.pay_fees(token)
        assert self.token.balanceOf(self.contract.address) == 0
        assert boa.env.get_balance(self.contract.address) == 0
        assert all(self.registry.nodes(worker.address).locked == 0 for worker in WORKERS)


ReservationsMachine.TestCase.settings = settings(max_examples=6, stateful_step_count=15, deadline=None)
test_reservations_under_any_order_of_calls = ReservationsMachine.TestCase
