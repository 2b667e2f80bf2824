"""NodeRegistry: stake, states, marks, unbonding, locks and slashes."""

from typing import Any

import boa
import pytest
from boa.contracts.vyper.vyper_contract import VyperContract
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.contracts.chain import DAY, ETH, TEST_SOURCES, UNIT, Person, deploy, events, person, sha256
from tests.contracts.settled import Settled

BINDING = sha256(b"binding")
URI = "ipfs://bafybei"
PENDING, ACTIVE, INACTIVE, SLASHED = range(1, 5)
STAKE = 200 * UNIT
BURN, BURN_KEY = 5 * UNIT, 31


class Staked:
    """A registry whose slashers do what they are told."""

    def __init__(self, settled: Settled) -> None:
        self.token = settled.token
        self.settled = settled
        self.registry = deploy("NodeRegistry", settled.parameters.address, settled.token.address)
        self.slasher = deploy("Slasher", self.registry.address, folder=TEST_SOURCES)
        self.registry.bind_slashers(self.slasher.address, self.slasher.address)
        for name in ("alice", "bob", "carol", "mallory"):
            self.token.approve(self.registry.address, 2**256 - 1, sender=person(name).address)

    def register(self, owner: Person, amount: int = STAKE) -> None:
        """Register with a stake; the burn comes on top."""
        self.registry.register(BINDING, URI, amount + BURN, sender=owner.address)

    def activate(self, owner: Person, amount: int = STAKE) -> None:
        self.register(owner, amount)
        self.registry.mark([owner.address])

    def node(self, owner: Person) -> Any:
        return self.registry.nodes(owner.address)


@pytest.fixture
def staked(deployed: Settled) -> Staked:
    return Staked(deployed)


def _changed(registry: VyperContract) -> list[tuple[int, int]]:
    return [(f["before"], f["state"]) for name, f in events(registry) if name == "StateChanged"]


def test_node_is_pending_until_somebody_marks_it(staked: Staked, bob: Person, carol: Person) -> None:
    staked.register(bob)
    names = ["Registered", "StateChanged", "RegistrationBurned", "StakeAdded"]
    assert [name for name, _ in events(staked.registry)] == names
    assert (staked.node(bob).state, staked.node(bob).stake, staked.node(bob).binding) == (
        PENDING,
        STAKE,
        BINDING,
    )
    assert staked.registry.metadata_uris(bob.address) == URI
    assert not staked.registry.is_active(bob.address)
    staked.registry.mark([bob.address], sender=carol.address)
    assert events(staked.registry) == [
        ("Marked", {"owner": bob.address, "keeper": carol.address}),
        ("StateChanged", {"owner": bob.address, "before": PENDING, "state": ACTIVE}),
    ]
    assert staked.registry.is_active(bob.address)
    assert staked.registry.stake_of(bob.address) == STAKE


def test_registrations_that_cannot_be_are_refused(staked: Staked, bob: Person, carol: Person) -> None:
    with boa.reverts("stake_too_small"):
        staked.register(bob, 100 * UNIT - 1)
    with boa.reverts("no_binding"):
        staked.registry.register(bytes(32), URI, STAKE, sender=bob.address)
    staked.register(bob)
    with boa.reverts("registered_already"):
        staked.register(bob)
    staked.settled.pause()
    with boa.reverts("paused"):
        staked.register(carol)
    with boa.reverts("paused"):
        staked.registry.add_stake(1, sender=bob.address)


def test_new_identity_has_its_price_that_is_burned(staked: Staked, bob: Person, carol: Person) -> None:
    before, supply = staked.token.balanceOf(bob.address), staked.token.totalSupply()
    staked.registry.register(BINDING, URI, STAKE, sender=bob.address)
    assert ("RegistrationBurned", {"owner": bob.address, "amount": BURN}) in events(staked.registry)
    assert staked.node(bob).stake == staked.token.balanceOf(staked.registry.address) == STAKE - BURN
    assert staked.token.totalSupply() == supply - BURN
    assert staked.token.balanceOf(bob.address) == before - STAKE
    staked.registry.add_stake(UNIT, sender=bob.address)  # costs nothing more
    assert staked.node(bob).stake == STAKE - BURN + UNIT
    staked.settled.set_parameter(BURN_KEY, 0)
    staked.registry.register(BINDING, URI, STAKE, sender=carol.address)
    assert staked.node(carol).stake == STAKE


def test_stake_without_the_burn_is_too_small(staked: Staked, bob: Person) -> None:
    for amount in (0, BURN - 1, 100 * UNIT, 100 * UNIT + BURN - 1):
        with boa.reverts("stake_too_small"):
            staked.registry.register(BINDING, URI, amount, sender=bob.address)
    staked.registry.register(BINDING, URI, 100 * UNIT + BURN, sender=bob.address)
    assert staked.node(bob).stake == 100 * UNIT


def test_binding_and_metadata_are_changed_by_their_owner(
    staked: Staked, bob: Person, mallory: Person
) -> None:
    with boa.reverts("not_registered"):
        staked.registry.update(BINDING, URI, sender=mallory.address)
    staked.register(bob)
    newer = sha256(b"newer")
    staked.registry.update(newer, "", sender=bob.address)
    assert events(staked.registry) == [
        ("Updated", {"owner": bob.address, "binding": newer, "metadata_uri": ""})
    ]
    with boa.reverts("no_binding"):
        staked.registry.update(bytes(32), "", sender=bob.address)


def test_node_that_nobody_marks_becomes_inactive_and_comes_back(staked: Staked, bob: Person) -> None:
    with boa.reverts("not_active"):
        staked.registry.mark_missing(bob.address)
    staked.activate(bob)
    boa.env.time_travel(seconds=DAY)
    with boa.reverts("too_soon"):
        staked.registry.mark_missing(bob.address)
    boa.env.time_travel(seconds=1)
    staked.registry.mark_missing(bob.address)
    assert _changed(staked.registry) == [(ACTIVE, INACTIVE)]
    staked.registry.mark([bob.address, bob.address])
    assert _changed(staked.registry) == [(INACTIVE, ACTIVE)]


def test_marks_pass_over_strangers(staked: Staked, carol: Person) -> None:
    staked.registry.mark([carol.address])
    assert events(staked.registry) == []


def test_stake_leaves_after_fourteen_days(staked: Staked, bob: Person, carol: Person) -> None:
    staked.activate(bob)
    staked.registry.unstake(50 * UNIT, sender=bob.address)
    assert staked.node(bob).state == ACTIVE
    staked.registry.unstake(51 * UNIT, sender=bob.address)
    assert _changed(staked.registry) == [(ACTIVE, INACTIVE)]
    assert (staked.node(bob).stake, staked.node(bob).unbonding) == (99 * UNIT, 101 * UNIT)
    staked.registry.mark([bob.address])
    assert staked.node(bob).state == INACTIVE  # alive, but with too little at stake
    boa.env.time_travel(seconds=14 * DAY - 1)
    with boa.reverts("too_soon"):
        staked.registry.withdraw_stake(carol.address, sender=bob.address)
    boa.env.time_travel(seconds=1)
    with boa.reverts("bad_address"):
        staked.registry.withdraw_stake(ETH, sender=bob.address)
    before = staked.token.balanceOf(carol.address)
    assert staked.registry.withdraw_stake(carol.address, sender=bob.address) == 101 * UNIT
    assert staked.token.balanceOf(carol.address) == before + 101 * UNIT
    with boa.reverts("nothing_unbonding"):
        staked.registry.withdraw_stake(carol.address, sender=bob.address)
    staked.registry.add_stake(UNIT, sender=bob.address)
    staked.registry.mark([bob.address])
    assert staked.node(bob).state == ACTIVE


def test_pause_keeps_no_stake_in(staked: Staked, bob: Person) -> None:
    staked.activate(bob)
    staked.registry.unstake(STAKE, sender=bob.address)
    boa.env.time_travel(seconds=14 * DAY)
    staked.settled.pause()
    assert staked.registry.withdraw_stake(bob.address, sender=bob.address) == STAKE


def test_more_than_the_free_stake_is_not_unstaked(staked: Staked, bob: Person, mallory: Person) -> None:
    with boa.reverts("stake_too_small"):
        staked.registry.unstake(1, sender=mallory.address)
    staked.activate(bob)
    staked.slasher.lock(bob.address, 150 * UNIT)
    for amount in (0, 51 * UNIT):
        with boa.reverts("stake_too_small"):
            staked.registry.unstake(amount, sender=bob.address)
    with boa.reverts("stake_too_small"):
        staked.slasher.lock(bob.address, 51 * UNIT)
    staked.slasher.unlock(bob.address, UNIT)
    staked.registry.unstake(51 * UNIT, sender=bob.address)
    assert (staked.node(bob).stake, staked.node(bob).locked) == (149 * UNIT, 149 * UNIT)


def test_open_dispute_keeps_what_is_unbonding(staked: Staked, bob: Person) -> None:
    staked.activate(bob)
    staked.registry.unstake(STAKE, sender=bob.address)
    staked.slasher.hold(bob.address, True)
    boa.env.time_travel(seconds=14 * DAY)
    with boa.reverts("disputed"):
        staked.registry.withdraw_stake(bob.address, sender=bob.address)
    staked.slasher.hold(bob.address, False)
    staked.registry.withdraw_stake(bob.address, sender=bob.address)
    with boa.reverts():
        staked.slasher.hold(bob.address, False)


def test_slash_burns_half_or_more_and_passes_the_rest_on(staked: Staked, bob: Person) -> None:
    staked.activate(bob)
    supply = staked.token.totalSupply()
    assert staked.slasher.slash(bob.address, 2 * UNIT + 1, False) == UNIT
    assert staked.token.totalSupply() == supply - UNIT - 1
    assert staked.token.balanceOf(staked.slasher.address) == UNIT
    assert (staked.node(bob).stake, staked.node(bob).state) == (198 * UNIT - 1, ACTIVE)
    staked.slasher.slash(bob.address, 98 * UNIT, False)
    assert staked.node(bob).state == INACTIVE


def test_slash_reaches_what_is_unbonding_and_no_further(staked: Staked, bob: Person, carol: Person) -> None:
    staked.activate(bob)
    staked.activate(carol)
    staked.slasher.lock(bob.address, 60 * UNIT)
    staked.registry.unstake(120 * UNIT, sender=bob.address)
    assert staked.slasher.slash(bob.address, 100 * UNIT, False) == 50 * UNIT
    node = staked.node(bob)
    assert (node.stake, node.unbonding, node.locked) == (0, 100 * UNIT, 0)
    staked.slasher.unlock(bob.address, 60 * UNIT)  # what is gone cannot be given back
    assert staked.slasher.slash(bob.address, 1000 * UNIT, False) == 50 * UNIT
    assert staked.slasher.slash(bob.address, 1000 * UNIT, False) == 0
    assert staked.token.balanceOf(staked.registry.address) == staked.node(carol).stake == STAKE


def test_proof_ends_a_node_for_good(staked: Staked, bob: Person) -> None:
    staked.activate(bob)
    staked.slasher.slash(bob.address, 2**256 - 1, True)
    assert (staked.node(bob).state, staked.node(bob).stake) == (SLASHED, 0)
    staked.registry.mark([bob.address])
    assert staked.node(bob).state == SLASHED
    with boa.reverts("slashed"):
        staked.registry.add_stake(STAKE, sender=bob.address)
    with boa.reverts("slashed"):
        staked.registry.update(BINDING, URI, sender=bob.address)
    with boa.reverts("registered_already"):
        staked.register(bob)


def test_slash_of_a_stranger_takes_nothing(staked: Staked, mallory: Person) -> None:
    assert staked.slasher.slash(mallory.address, UNIT, True) == 0
    assert staked.node(mallory).state == 0


def test_only_the_bound_contracts_lock_and_slash(staked: Staked, bob: Person, mallory: Person) -> None:
    staked.activate(bob)
    calls = {"lock": (1,), "unlock": (1,), "hold": (True,), "slash": (1, False)}
    for name, args in calls.items():
        with boa.reverts("not_slasher"):
            getattr(staked.registry, name)(bob.address, *args, sender=mallory.address)
    with boa.reverts("not_allowed"):
        staked.registry.bind_slashers(staked.slasher.address, staked.slasher.address)
    fresh = deploy("NodeRegistry", staked.settled.parameters.address, staked.token.address)
    with boa.reverts("bad_address"):
        fresh.bind_slashers(staked.slasher.address, bob.address)
    with boa.reverts("bad_address"):
        deploy("NodeRegistry", ETH, staked.token.address)


OWNERS = tuple(person(name) for name in ("alice", "bob", "carol"))
who = st.sampled_from(OWNERS)
amounts = st.integers(0, 250 * UNIT)


class RegistryMachine(RuleBasedStateMachine):
    """Stakes come, leave, are locked and slashed, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = boa.env.anchor()
        self.anchor.__enter__()
        self.staked = Staked(Settled())
        for owner in OWNERS:
            self.staked.activate(owner)
        self.supply = self.staked.token.totalSupply()

    def teardown(self) -> None:
        self.anchor.__exit__(None, None, None)

    def attempt(self, call: Any, *args: Any, **options: Any) -> None:
        """Call; if it is refused, the invariants say that nothing has changed."""
        before = [self.staked.node(owner) for owner in OWNERS]
        try:
            call(*args, **options)
        except boa.BoaError:
            assert before == [self.staked.node(owner) for owner in OWNERS]

    @rule(owner=who, amount=amounts)
    def add(self, owner: Person, amount: int) -> None:
        self.attempt(self.staked.registry.add_stake, amount, sender=owner.address)

    @rule(owner=who, amount=amounts)
    def unstake(self, owner: Person, amount: int) -> None:
        self.attempt(self.staked.registry.unstake, amount, sender=owner.address)

    @rule(owner=who)
    def withdraw(self, owner: Person) -> None:
        self.attempt(self.staked.registry.withdraw_stake, owner.address, sender=owner.address)

    @rule(owner=who, amount=amounts, is_final=st.booleans())
    def slash(self, owner: Person, amount: int, is_final: bool) -> None:
        self.staked.slasher.slash(owner.address, amount, is_final)

    @rule(owner=who, amount=amounts, is_locked=st.booleans())
    def lock(self, owner: Person, amount: int, is_locked: bool) -> None:
        slasher = self.staked.slasher
        self.attempt(slasher.lock if is_locked else slasher.unlock, owner.address, amount)

    @rule(days=st.sampled_from([1, 14]))
    def wait(self, days: int) -> None:
        boa.env.time_travel(seconds=days * DAY)
        self.staked.registry.mark([owner.address for owner in OWNERS])

    @invariant()
    def stake_is_conserved_and_states_are_true(self) -> None:
        nodes = [self.staked.node(owner) for owner in OWNERS]
        assert self.staked.token.balanceOf(self.staked.registry.address) == sum(
            n.stake + n.unbonding for n in nodes
        )
        assert all(node.locked <= node.stake for node in nodes)
        assert all(node.stake >= 100 * UNIT for node in nodes if node.state == ACTIVE)
        burned = self.supply - self.staked.token.totalSupply()
        assert burned >= self.staked.token.balanceOf(self.staked.slasher.address)


RegistryMachine.TestCase.settings = settings(max_examples=8, stateful_step_count=15, deadline=None)
test_registry_under_any_order_of_calls = RegistryMachine.TestCase
