"""The shape that every state machine of the core shares: a table as data, events in, effects out.

A machine never reads a clock, never draws randomness and never does I/O. `handle` is its single entry.
The table lists each legal (state, event type) pair with the states it may lead to; everything else raises
UnexpectedEvent and changes nothing. Sources of the idea: h11 (table as data), aioquic (time as an argument),
dask's worker state machine (effects as data, history in errors).
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Generic, TypeVar

from skyops_p2p.errors import LocalProtocolError, UnexpectedEvent
from skyops_p2p.limits import HISTORY_MAX
from skyops_p2p.types import MonotonicS

State = TypeVar("State", bound=Enum)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, named in the past tense."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to be done by the shell, named in the imperative."""


@dataclass(frozen=True, slots=True)
class DeadlineReached(Event):
    """The instant that `next_deadline` named has come."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One step of a machine."""

    at: MonotonicS
    before: str
    event: str
    after: str

    def __str__(self) -> str:
        return f"{self.at:.3f} {self.before} --{self.event}--> {self.after}"


Table = Mapping[tuple[Any, type[Event]], frozenset[Any]]


def to(*states: Any) -> frozenset[Any]:
    """Name the states that a table entry may lead to."""
    return frozenset(states)


class Machine(Generic[State]):
    """Base of the core's state machines.

    A subclass sets `TRANSITIONS` and has one method per event type, `_on_<event_name>(event, now)`, which
    returns effects and assigns `self.state`.
    """

    TRANSITIONS: ClassVar[Table]

    state: State
    """Where the machine is now."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.history: deque[HistoryEntry] = deque(maxlen=HISTORY_MAX)

    def handle(self, event: Event, now: MonotonicS) -> Sequence[Effect]:
        """Take one event and say what is to be done.

        Args:
            event: What happened.
            now: The shell's monotonic clock, seconds; never less than at the call before.

        Returns:
            Effects, in the order in which they must be performed.

        Raises:
            UnexpectedEvent: The table has no such pair; the state is unchanged.
        """
        allowed = self.TRANSITIONS.get((self.state, type(event)))
        if allowed is None:
            raise UnexpectedEvent(
                f"{self._story()}: {type(event).__name__} is not expected in {self.state.name}"
            )
        before = self.state
        method = getattr(self, "_on_" + snake(type(event).__name__))
        effects: Sequence[Effect] = method(event, now)
        if self.state not in allowed:
            after = self.state.name
            raise LocalProtocolError(f"{self._story()}: {before.name} -> {after} is not in the table")
        if self.state is not before:
            self.history.append(HistoryEntry(now, before.name, type(event).__name__, self.state.name))
        return effects

    def next_deadline(self) -> MonotonicS | None:
        """Tell when the shell must send DeadlineReached, or None."""
        return None

    def check_invariants(self) -> None:
        """Raise AssertionError if the machine's fields contradict each other."""

    def _story(self) -> str:
        steps = "; ".join(str(entry) for entry in self.history)
        return f"{type(self).__name__} [{steps or 'no history'}]"


def snake(name: str, _known: dict[str, str] = {}) -> str:  # noqa: B006 - a cache, on purpose
    """Return the name of an event as a method has it: "RecordAccepted" becomes "record_accepted"."""
    known = _known.get(name)
    if known is None:
        known = "".join("_" + c.lower() if c.isupper() and i else c.lower() for i, c in enumerate(name))
        _known[name] = known
    return known
