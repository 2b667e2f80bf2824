"""What happens to an exchange by digest and pull, and what it wants done, whatever is exchanged.

Names of what is held are compared with a neighbour's; what is missing is then asked for by name. Receipts and verdicts
(core/evidence) and statements of witnesses (core/probes) go this way. What only one of them knows is in its own events.
"""

from dataclasses import dataclass

from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.types import PeerId, UnixMs


# --- events -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Restored(Event):
    """What was held before a restart, as it was kept."""

    items: tuple[bytes, ...]
    """Each as KeepItem gave it, in any order."""
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class NamesAnswered(Event):
    """A peer has answered AskNames."""

    peer: PeerId
    names: tuple[bytes, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class ItemsAnswered(Event):
    """A peer has given what it holds of what it was asked for."""

    peer: PeerId
    items: tuple[bytes, ...]
    """Encoded; nothing of them was checked."""
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class AskFailed(Event):
    """A peer did not answer, or refused."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class TimeCame(Event):
    """The instant that `next_deadline` named has come."""

    peers: tuple[PeerId, ...]
    """Neighbours: connected, in any order."""
    unix_ms: UnixMs


# --- effects ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Gossip(Effect):
    """Publish on the topic of the exchange."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class AskNames(Effect):
    """Ask a peer what differs; NamesAnswered or AskFailed follows."""

    peer: PeerId
    digests: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class AskItems(Effect):
    """Ask a peer for items by name; ItemsAnswered or AskFailed follows."""

    peer: PeerId
    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class KeepItem(Effect):
    """Write down what is held, in the place of what has the same key; scores follow it."""

    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ForgetItem(Effect):
    """Delete what was written down; scores follow."""

    key: str


@dataclass(frozen=True, slots=True)
class BlamePeer(Effect):
    """A peer has sent what no honest node holds."""

    peer: PeerId
    code: str
