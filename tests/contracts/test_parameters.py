"""Parameters and Directory: hard bounds, the timelock, the roles, and a pause that ends by itself."""

import boa
import pytest
from boa.contracts.vyper.vyper_contract import VyperContract

from tests.contracts.chain import DAY, ETH, Person, deploy, events, person

KEYS = 32
FIRST_ADDRESS = 27
NUMBERS = [*range(FIRST_ADDRESS), 31]  # the others are addresses
WINDOW, TIMELOCK = 3, 10
GOVERNOR = 27


@pytest.fixture
def parameters(alice: Person, bob: Person) -> VyperContract:
    pool, fund = person("pool").address, person("fund").address
    return deploy("Parameters", alice.address, bob.address, pool, fund)


@pytest.mark.parametrize("key", NUMBERS)
def test_default_lies_within_its_bounds(parameters: VyperContract, key: int) -> None:
    low, high = parameters.bounds(key)
    assert low <= parameters.get(key) <= high
    assert low < high or key == 17  # the most jurors of a first round is the default


@pytest.mark.parametrize("key", NUMBERS)
def test_value_beyond_its_bounds_cannot_even_be_proposed(
    parameters: VyperContract, alice: Person, key: int
) -> None:
    low, high = parameters.bounds(key)
    for amount in (low, high):
        parameters.propose(key, amount, sender=alice.address)
    for amount in (high + 1, *([low - 1] if low else [])):
        with boa.reverts("out_of_bounds"):
            parameters.propose(key, amount, sender=alice.address)


def test_change_waits_for_the_timelock_and_anybody_executes_it(
    parameters: VyperContract, alice: Person, mallory: Person
) -> None:
    parameters.propose(WINDOW, 1200, sender=alice.address)
    ready_at = boa.env.timestamp + 2 * DAY
    assert events(parameters) == [("Proposed", {"key": WINDOW, "amount": 1200, "ready_at": ready_at})]
    boa.env.time_travel(seconds=2 * DAY - 1)
    with boa.reverts("too_soon"):
        parameters.execute(WINDOW)
    boa.env.time_travel(seconds=1)
    parameters.execute(WINDOW, sender=mallory.address)
    assert events(parameters) == [("Changed", {"key": WINDOW, "before": 3600, "amount": 1200})]
    assert parameters.get(WINDOW) == 1200
    with boa.reverts("no_proposal"):
        parameters.execute(WINDOW)


def test_proposal_that_nobody_executes_is_void(parameters: VyperContract, alice: Person) -> None:
    parameters.propose(WINDOW, 1200, sender=alice.address)
    boa.env.time_travel(seconds=16 * DAY + 1)
    with boa.reverts("too_late"):
        parameters.execute(WINDOW)


def test_longer_timelock_counts_for_what_is_proposed_after(parameters: VyperContract, alice: Person) -> None:
    parameters.propose(TIMELOCK, 5 * DAY, sender=alice.address)
    boa.env.time_travel(seconds=2 * DAY)
    parameters.execute(TIMELOCK)
    parameters.propose(WINDOW, 1200, sender=alice.address)
    boa.env.time_travel(seconds=5 * DAY - 1)
    with boa.reverts("too_soon"):
        parameters.execute(WINDOW)


def test_guardian_takes_a_proposal_back_and_strangers_do_not(
    parameters: VyperContract, alice: Person, bob: Person, mallory: Person
) -> None:
    parameters.propose(WINDOW, 1200, sender=alice.address)
    with boa.reverts("not_allowed"):
        parameters.cancel(WINDOW, sender=mallory.address)
    parameters.cancel(WINDOW, sender=bob.address)
    assert events(parameters) == [("Cancelled", {"key": WINDOW})]
    with boa.reverts("no_proposal"):
        parameters.cancel(WINDOW, sender=bob.address)
    boa.env.time_travel(seconds=2 * DAY)
    with boa.reverts("no_proposal"):
        parameters.execute(WINDOW)


def test_only_the_governor_proposes(parameters: VyperContract, bob: Person, mallory: Person) -> None:
    for stranger in (bob, mallory):
        with boa.reverts("not_governor"):
            parameters.propose(WINDOW, 1200, sender=stranger.address)


def test_governor_hands_over_through_the_timelock(
    parameters: VyperContract, alice: Person, carol: Person
) -> None:
    with boa.reverts("out_of_bounds"):
        parameters.propose(GOVERNOR, 0, sender=alice.address)
    parameters.propose(GOVERNOR, int(carol.address, 16), sender=alice.address)
    boa.env.time_travel(seconds=2 * DAY)
    parameters.execute(GOVERNOR)
    assert parameters.governor() == carol.address
    with boa.reverts("not_governor"):
        parameters.propose(WINDOW, 1200, sender=alice.address)
    parameters.propose(WINDOW, 1200, sender=carol.address)


def test_pause_ends_by_itself_and_not_every_day_is_paused(
    parameters: VyperContract, bob: Person, mallory: Person
) -> None:
    with boa.reverts("not_allowed"):
        parameters.pause(sender=mallory.address)
    parameters.pause(sender=bob.address)
    until = boa.env.timestamp + 7 * DAY
    assert events(parameters) == [("Paused", {"by": bob.address, "until": until})]
    assert parameters.is_paused()
    boa.env.time_travel(seconds=7 * DAY)
    assert not parameters.is_paused()
    with boa.reverts("paused_lately"):
        parameters.pause(sender=bob.address)
    boa.env.time_travel(seconds=7 * DAY)
    parameters.pause(sender=bob.address)


def test_pause_is_ended_early_by_the_roles(
    parameters: VyperContract, alice: Person, bob: Person, mallory: Person
) -> None:
    with boa.reverts("not_paused"):
        parameters.unpause(sender=alice.address)
    parameters.pause(sender=bob.address)
    with boa.reverts("not_allowed"):
        parameters.unpause(sender=mallory.address)
    parameters.unpause(sender=alice.address)
    assert events(parameters) == [("Unpaused", {"by": alice.address})]
    assert not parameters.is_paused()


def test_unknown_keys_are_refused(parameters: VyperContract, alice: Person) -> None:
    with boa.reverts("unknown_key"):
        parameters.get(KEYS)
    with boa.reverts("unknown_key"):
        parameters.bounds(KEYS)
    with boa.reverts("unknown_key"):
        parameters.propose(KEYS, 1, sender=alice.address)


def test_roles_must_be_given(alice: Person) -> None:
    with boa.reverts("bad_address"):
        deploy("Parameters", alice.address, ETH, alice.address, alice.address)


def test_directory_only_adds_versions(parameters: VyperContract, alice: Person, bob: Person) -> None:
    directory = deploy("Directory", parameters.address)
    assert directory.latest("Settlement") == ETH
    assert directory.publish("Settlement", parameters.address, sender=alice.address) == 1
    fields = {"name": "Settlement", "version": 1, "target": parameters.address}
    assert events(directory) == [("Published", fields)]
    assert directory.publish("Settlement", directory.address, sender=alice.address) == 2
    assert directory.at("Settlement", 1) == parameters.address
    assert directory.latest("Settlement") == directory.at("Settlement", 2) == directory.address
    with boa.reverts("not_governor"):
        directory.publish("Settlement", parameters.address, sender=bob.address)
    with boa.reverts("bad_address"):
        directory.publish("Settlement", bob.address, sender=alice.address)
    with boa.reverts("bad_name"):
        directory.publish("", directory.address, sender=alice.address)
    with boa.reverts("bad_address"):
        deploy("Directory", ETH)
