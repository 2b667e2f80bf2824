"""Each test runs on a chain of its own: what it changes is taken back."""

from collections.abc import Iterator

import boa
import pytest

from tests.contracts.chain import Person, person


@pytest.fixture(autouse=True)
def _fresh_chain() -> Iterator[None]:
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
