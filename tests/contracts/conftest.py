"""Each test begins with the same chain: what it changes is taken back."""

from collections.abc import Iterator

import boa
import pytest

from tests.contracts.chain import UNIT, Person, person
from tests.contracts.settled import Settled


@pytest.fixture(scope="session")
def deployed() -> Settled:
    """Return contracts that all tests of a process begin with."""
    found = Settled()
    found.bind_arbiter()
    return found


@pytest.fixture(autouse=True)
def _fresh_chain(deployed: Settled) -> Iterator[None]:
    with boa.env.anchor():
        yield


@pytest.fixture
def alice() -> Person:
    return person("alice")


@pytest.fixture
def bob() -> Person:
    return person("bob")


@pytest.fixture
def carol() -> Person:
    return person("carol")


@pytest.fixture
def mallory() -> Person:
    return person("mallory")


@pytest.fixture
def settled(deployed: Settled) -> Settled:
    """Return the contracts; alice has deposited 100 SKYOPS that all workers share."""
    deployed.deposit(person("alice"), 100 * UNIT)
    return deployed
