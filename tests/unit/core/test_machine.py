from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import pytest

from skyops_p2p.core.machine import Effect, Event, Machine, Table, to
from skyops_p2p.errors import LocalProtocolError, UnexpectedEvent
from skyops_p2p.limits import HISTORY_MAX
from tests.unit.core.people import at


class Lamp(Enum):
    OFF = "off"
    ON = "on"


@dataclass(frozen=True, slots=True)
class SwitchPressed(Event):
    """Somebody pressed."""


@dataclass(frozen=True, slots=True)
class PowerLost(Event):
    """No light."""


class LampMachine(Machine[Lamp]):
    TRANSITIONS: ClassVar[Table] = {
        (Lamp.OFF, SwitchPressed): to(Lamp.ON),
        (Lamp.ON, SwitchPressed): to(Lamp.OFF),
        (Lamp.ON, PowerLost): to(Lamp.ON),
    }

    def __init__(self) -> None:
        super().__init__(Lamp.OFF)

    def _on_switch_pressed(self, _event: SwitchPressed, _now: float) -> list[Effect]:
        self.state = Lamp.ON if self.state is Lamp.OFF else Lamp.OFF
        return []

    def _on_power_lost(self, _event: PowerLost, _now: float) -> list[Effect]:
        self.state = Lamp.OFF
        return []


def test_unlisted_pair_raises_and_changes_nothing() -> None:
    lamp = LampMachine()
    with pytest.raises(UnexpectedEvent, match="PowerLost is not expected in OFF"):
        lamp.handle(PowerLost(), at(0))
    assert lamp.state is Lamp.OFF
    assert not lamp.history


def test_step_outside_the_table_is_our_own_bug() -> None:
    lamp = LampMachine()
    lamp.handle(SwitchPressed(), at(0))
    with pytest.raises(LocalProtocolError, match="ON -> OFF is not in the table"):
        lamp.handle(PowerLost(), at(1))


def test_error_tells_the_story_and_history_is_bounded() -> None:
    lamp = LampMachine()
    for second in range(3 * HISTORY_MAX):
        lamp.handle(SwitchPressed(), at(second))
    assert len(lamp.history) == HISTORY_MAX
    with pytest.raises(UnexpectedEvent, match="ON --SwitchPressed--> OFF"):
        lamp.handle(PowerLost(), at(999))


def test_machine_without_time_has_no_deadline() -> None:
    assert LampMachine().next_deadline() is None
