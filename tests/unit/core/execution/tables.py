"""What the tests of all three machines share: steps that check invariants, and tables that are walked whole."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from skyops_p2p.core.machine import Effect, Event, Machine
from skyops_p2p.errors import UnexpectedEvent
from tests.unit.core.people import at

Step = tuple[Event, float]
"""What happens, and how many seconds after START."""


def step(machine: Machine[Any], event: Event, after_s: float = 0.0) -> list[Effect]:
    effects = list(machine.handle(event, at(after_s)))
    machine.check_invariants()
    return effects


def walk(machine: Any, steps: Iterable[Step]) -> Any:
    for event, after_s in steps:
        step(machine, event, after_s)
    return machine


def fields(machine: Machine[Any]) -> dict[str, Any]:
    """Everything that a machine remembers."""
    return {**vars(machine), "history": list(machine.history)}


def expect_refused(machine: Machine[Any], event: Event) -> None:
    """The table has no such pair: it raises, and nothing has changed."""
    before = fields(machine)
    with pytest.raises(UnexpectedEvent):
        machine.handle(event, at(500))
    assert fields(machine) == before


def kinds(effects: Iterable[Effect]) -> list[str]:
    """Name effects by their classes."""
    return [type(effect).__name__ for effect in effects]


class Reached:
    """Collects which states each pair of a table led to."""

    def __init__(self, table: Mapping[tuple[Any, type[Event]], frozenset[Any]]) -> None:
        self.table = table
        self.found: dict[tuple[Any, type[Event]], set[Any]] = {}

    def take(self, machine: Machine[Any], event: Event, after_s: float) -> None:
        """Feed an event that the table lists, or see it refused."""
        pair = (machine.state, type(event))
        if pair not in self.table:
            expect_refused(machine, event)
            return
        step(machine, event, after_s)
        assert machine.state in self.table[pair]
        self.found.setdefault(pair, set()).add(machine.state)

    def expect_all(self) -> None:
        """Every pair, with every target that the table lists, was reached."""
        assert {pair: frozenset(states) for pair, states in self.found.items()} == dict(self.table)
