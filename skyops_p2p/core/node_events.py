"""The vocabulary between the node's core and its shell: what happened, and what is to be done.

Every effect that asks something of the world names the peer or key that the answering event repeats, so that
answers can be matched.
"""

from dataclasses import dataclass

from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.types import Multiaddr, PeerId, UnixMs, WalletAddress
from skyops_p2p.wire.messages.peering import HardwarePart, RuntimePart


# --- events: the network ------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class NodeStarted(Event):
    """The network listens and the store is read."""

    addrs: tuple[Multiaddr, ...]
    """To be told to others, without /p2p."""
    last_sequence: int
    """The highest sequence number ever used by this key; 0 at first."""
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class ConnectionUp(Event):
    """A peer is connected."""

    peer: PeerId
    addrs: tuple[Multiaddr, ...]
    is_outbound: bool


@dataclass(frozen=True, slots=True)
class ConnectionDown(Event):
    """A peer is no longer connected."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerHeardOf(Event):
    """Somebody said where a peer can be dialled."""

    peer: PeerId
    addrs: tuple[Multiaddr, ...]


@dataclass(frozen=True, slots=True)
class DialEnded(Event):
    """A dial failed (success is ConnectionUp)."""

    peer: PeerId
    reason: str


@dataclass(frozen=True, slots=True)
class GossipArrived(Event):
    """A gossip message that `NodeCore.judge` accepted."""

    author: PeerId
    payload: bytes
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class PeerSpoke(Event):
    """A peer sent a well-formed request: a sign of life."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerMisbehaved(Event):
    """A peer broke a rule badly enough to be shut out."""

    peer: PeerId
    code: str


# --- events: answers ----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PingEnded(Event):
    """A probe was answered after `round_trip_s`, or not at all (None)."""

    peer: PeerId
    round_trip_s: float | None


@dataclass(frozen=True, slots=True)
class WitnessReplied(Event):
    """A witness said whether it reached the target."""

    target: PeerId
    is_alive: bool


@dataclass(frozen=True, slots=True)
class RecordsArrived(Event):
    """Enveloped records and heartbeats came from a peer, the store or the DHT."""

    source: PeerId | None
    records: tuple[bytes, ...]
    beats: tuple[bytes, ...]
    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class StakeOfPeerChecked(Event):
    """The chain answered about a node's wallet."""

    peer: PeerId
    is_sufficient: bool


# --- events: this node --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class HardwareProbed(Event):
    """The machine was looked at."""

    hardware: HardwarePart
    runtimes: tuple[RuntimePart, ...]


@dataclass(frozen=True, slots=True)
class AddrsChanged(Event):
    """We listen elsewhere now."""

    addrs: tuple[Multiaddr, ...]


@dataclass(frozen=True, slots=True)
class LoadChanged(Event):
    """The worker took or freed a slot, or its load moved."""

    slots_free: int
    load_permille: int


@dataclass(frozen=True, slots=True)
class TimeCame(Event):
    """The instant of `next_deadline` has come; wall clock beside it."""

    unix_ms: UnixMs


@dataclass(frozen=True, slots=True)
class SequenceRemembered(Event):
    """The store holds this sequence number: all up to it may be signed."""

    number: int


@dataclass(frozen=True, slots=True)
class SequenceNotRemembered(Event):
    """The store failed: no further sequence number may be signed for now."""


@dataclass(frozen=True, slots=True)
class NodeStopping(Event):
    """The owner is closing the node: say goodbye."""

    unix_ms: UnixMs


# --- effects ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Publish(Effect):
    """Gossip on the presence topic."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class RememberSequence(Effect):
    """Persist that sequence numbers up to this are used; report SequenceRemembered or SequenceNotRemembered."""

    number: int


@dataclass(frozen=True, slots=True)
class PutOwnRecord(Effect):
    """Store our record in the DHT."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class ProvideKeys(Effect):
    """Announce our capability keys in the DHT."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PingPeer(Effect):
    """Ping, dialling if need be; report PingEnded."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class AskWitness(Effect):
    """Ask `witness` to ping `target`; report WitnessReplied."""

    witness: PeerId
    target: PeerId


@dataclass(frozen=True, slots=True)
class FetchRecord(Effect):
    """Ask `source` for the record and heartbeat of `target`; report RecordsArrived."""

    source: PeerId
    target: PeerId


@dataclass(frozen=True, slots=True)
class SyncMap(Effect):
    """Ask a neighbour for what differs, until it is complete; report RecordsArrived for each answer."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class AskPeers(Effect):
    """Ask a neighbour for peers; report PeerHeardOf for each."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class FindPeers(Effect):
    """Ask the DHT for providers of a key; report PeerHeardOf for each."""

    key: str


@dataclass(frozen=True, slots=True)
class CheckStakeOfPeer(Effect):
    """Ask the chain about a node's wallet; report StakeOfPeerChecked."""

    peer: PeerId
    wallet: WalletAddress


@dataclass(frozen=True, slots=True)
class RememberNodes(Effect):
    """Write these nodes of the map to the store."""

    peers: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class ForgetNodes(Effect):
    """Delete these nodes from the store."""

    peers: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class Notify(Effect):
    """Tell whoever watches the node."""

    kind: str
    """"peer", "node", "session" or "note"."""
    peer: PeerId
    text: str
