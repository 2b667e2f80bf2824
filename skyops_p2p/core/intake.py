"""Judge gossip before it is forwarded. Pure, synchronous, and it never raises on a peer's bytes.

Spec: protocol/03-peering.md, "Gossip". What was verified while judging is kept, so that handling the accepted
message does not verify it again.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from skyops_p2p import limits
from skyops_p2p.core.node_map import Admission, NodeMap
from skyops_p2p.core.presence import NodeState
from skyops_p2p.core.rate import PeerRates
from skyops_p2p.core.records import VerifiedRecord, check_equivocation, check_presence, check_record
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.envelope import Signed, envelope_kind
from skyops_p2p.wire.messages.peering import EquivocationProof, NodeRecord, Presence
from skyops_p2p.wire.model import decode_message

BLAMELESS = frozenset({"expired", "not_yet_valid"})
"""Refusals that a forwarder with another clock could not foresee: ignored, not rejected. Rules: PER-13."""


class Judgement(Enum):
    """What a node does with a gossip message."""

    ACCEPT = "accept"
    IGNORE = "ignore"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class ProvenEquivocator:
    """A peer against whom a checked proof is at hand."""

    peer: PeerId
    proof: EquivocationProof


Verified = VerifiedRecord | Signed[Presence] | ProvenEquivocator


class Intake:
    """The gate of the presence topic.

    Args:
        rules: The network.
        nodes: The map, to know what is news.
    """

    def __init__(self, rules: NetworkRules, nodes: NodeMap) -> None:
        self._rules = rules
        self._nodes = nodes
        self._rates = PeerRates(
            burst=limits.GOSSIP_BURST, per_s=limits.GOSSIP_PER_S, peers_max=limits.MAP_ENTRIES_MAX
        )
        self._verified: OrderedDict[bytes, Verified] = OrderedDict()
        self.refusals: dict[str, int] = {}
        """Gossip refused, by code: at most as many entries as there are codes."""

    def judge(self, author: PeerId, payload: bytes, *, now: MonotonicS, unix: UnixMs) -> Judgement:
        """Say whether a message is delivered and forwarded.

        Args:
            author: Who signed the pubsub message.
            payload: As published.
            now: Monotonic clock.
            unix: Wall clock.

        Rules: PER-9, PER-11, PER-13, PER-25.
        """
        if len(payload) > limits.GOSSIP_BYTES_MAX:
            return self._count("oversized", Judgement.REJECT)
        if not self._rates.take(author, now):  # PER-11
            return self._count("flood", Judgement.IGNORE)
        if self._nodes.holds(payload):
            return Judgement.IGNORE
        try:
            verified = self._verify(author, payload, unix)
        except RemoteProtocolError as error:
            judgement = Judgement.IGNORE if error.code in BLAMELESS else Judgement.REJECT  # PER-13
            return self._count(error.code, judgement)
        if not self._is_news(verified, unix):
            return Judgement.IGNORE
        if len(self._verified) >= limits.VERIFIED_CACHE_MAX:
            self._verified.popitem(last=False)
        self._verified[payload] = verified
        return Judgement.ACCEPT

    def count(self, code: str) -> None:
        """Count something of a peer's that was not taken, though it was not gossip."""
        self.refusals[code] = self.refusals.get(code, 0) + 1

    def take(self, author: PeerId, payload: bytes, *, unix: UnixMs) -> Verified | None:
        """Return what `judge` verified; verify again if it was forgotten; None if it does not pass now."""
        verified = self._verified.pop(payload, None)
        if verified is not None:
            return verified
        try:
            return self._verify(author, payload, unix)
        except RemoteProtocolError as error:
            self._count(error.code, Judgement.REJECT)
            return None

    def check_all(self, envelopes: Iterable[bytes], *, unix: UnixMs, is_foreign: bool) -> list[Verified]:
        """Return those records, heartbeats and proofs that pass; count the others by their code.

        Args:
            envelopes: As a peer or the own store gave them.
            unix: Wall clock.
            is_foreign: Whether a peer gave them; what our own store held too long is nobody's fault.
        """
        passed: list[Verified] = []
        for data in envelopes:
            if self._nodes.holds(data):
                continue
            try:
                verified = self._verify(None, data, unix)
            except RemoteProtocolError as error:
                if is_foreign:
                    self.count(error.code)
                continue
            # A verdict on somebody unknown would only fill the map; our own store's verdicts are kept.
            is_idle = isinstance(verified, ProvenEquivocator) and self._nodes.get(verified.peer) is None
            if not (is_foreign and is_idle):
                passed.append(verified)
        return passed

    def is_flooding(self, author: PeerId) -> bool:
        """Return whether an author has been refused too often of late."""
        return self._rates.excess(author) >= limits.GOSSIP_EXCESS_MAX

    def _verify(self, author: PeerId | None, payload: bytes, unix: UnixMs) -> Verified:
        """Check a payload; who brings it matters only where it was published under an author's name."""
        kind = envelope_kind(payload)
        if kind is None:  # a proof needs no signature of its relay
            proof = decode_message(EquivocationProof, payload)
            return ProvenEquivocator(check_equivocation(proof, self._rules), proof)
        if kind == NodeRecord.name:
            record = check_record(payload, self._rules, now=unix)
            _require_author(record.peer, author)
            return record
        beat = check_presence(payload, self._rules, now=unix)
        _require_author(beat.signer, author)
        return beat

    def _is_news(self, verified: Verified, unix: UnixMs) -> bool:
        match verified:
            case VerifiedRecord():
                weighed = self._nodes.weigh_record(verified, unix)
                return weighed in (
                    Admission.NEWER,
                    Admission.EQUIVOCATION,
                )  # the other half of a proof is news
            case ProvenEquivocator():
                entry = self._nodes.get(verified.peer)
                return entry is not None and entry.presence.state is not NodeState.SLASHED
            case _:
                return self._nodes.is_beat_fresh(verified)

    def _count(self, code: str, judgement: Judgement) -> Judgement:
        self.count(code)
        return judgement


def _require_author(signer: PeerId, author: PeerId | None) -> None:
    """Refuse a record or heartbeat that another peer gossips as its own message. Rules: PER-25."""
    if author is not None and signer != author:  # PER-25
        raise RemoteProtocolError("published by another", code="wrong_signer", rule="PER-25", peer=author)
