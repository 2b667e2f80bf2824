"""What is fuzzed: every decoder of bytes from a peer. Only RemoteProtocolError may come out of one.

A target takes any bytes. Where an input is accepted, it also checks that the result means the same bytes again.
"""

import json
from collections.abc import Callable

from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.auction.tenders import check_tender
from skyops_p2p.core.binding import check_binding
from skyops_p2p.core.handshake import FrameReceived, HandshakeBegun, HandshakeState
from skyops_p2p.core.records import check_equivocation, check_presence, check_record
from skyops_p2p.core.transcript import Role
from skyops_p2p.crypto.node_key import peer_id_from_bytes, peer_id_to_bytes, public_key_of
from skyops_p2p.crypto.sealing import open_sealed
from skyops_p2p.crypto.session_keys import CipherState
from skyops_p2p.crypto.wallet import address_from_bytes, checksum, recover_address
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.limits import FRAME_BYTES_MAX
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire import canonical
from skyops_p2p.wire.envelope import Signed, envelope_kind, open_envelope, seal
from skyops_p2p.wire.framing import FrameDecoder, encode_frame
from skyops_p2p.wire.messages.peering import EquivocationProof
from skyops_p2p.wire.model import Message, decode_message, encode_message
from skyops_p2p.wire.registry import MESSAGES
from tests.fuzz import (
    evidence_targets,
    execution_targets,
    proof_targets,
    settlement_targets,
    verification_targets,
)
from tests.fuzz.content_targets import CONTENT_SEEDS, CONTENT_TARGETS
from tests.vectors import handshake_cases, schema
from tests.vectors.examples import examples
from tests.vectors.people import ALICE, BOB, NOW, RULES

Target = Callable[[bytes], object]
ENVELOPED = (
    "binding",
    "node-record",
    "presence",
    "equivocation-proof",
    "tender",
    "commit",
    "decline",
    "commit-ack",
    "commit-set",
    "bid-book",
    "award",
    "award-confirm",
    "release",
    *execution_targets.ENVELOPED,
    *verification_targets.ENVELOPED,
)


def _canonical(data: bytes) -> None:
    value = canonical.decode(data, bytes_max=FRAME_BYTES_MAX)
    assert canonical.encode(value) == data


def _frames(data: bytes) -> None:
    """The first byte says in what pieces the rest arrives."""
    step, stream = (data[0] or 256, data[1:]) if data else (1, b"")
    decoder = FrameDecoder(4096)
    whole: list[bytes] = []
    for start in range(0, len(stream), step):
        whole += decoder.feed(stream[start : start + step])
        assert decoder.bytes_buffered <= 4096 + 4
    left = decoder.bytes_buffered
    assert b"".join(map(encode_frame, whole)) == stream[: len(stream) - left]


def _message(kind: type[Message]) -> Target:
    def run(data: bytes) -> None:
        message = decode_message(kind, data, bytes_max=FRAME_BYTES_MAX)
        assert encode_message(message) == data

    return run


def _envelope(kind: type[Message]) -> Target:
    def run(data: bytes) -> None:
        signed: Signed[Message] = open_envelope(data, kind, RULES.network)
        assert encode_message(signed.message) in data

    return run


def _book(data: bytes) -> None:
    report = audit(data, RULES)
    if not report.ok:
        raise RemoteProtocolError(report.findings[0].text, code="malformed", rule=report.findings[0].rule)


def _peer_text(data: bytes) -> None:
    text = PeerId(data.decode("utf-8", errors="replace"))
    assert peer_id_from_bytes(peer_id_to_bytes(text)) == text
    public_key_of(text)


def _address_text(data: bytes) -> None:
    assert len(checksum(data.decode("utf-8", errors="replace"))) == 42


def _handshake(role: Role, frames_before: int) -> Target:
    """Feed a machine that has taken its first frames honestly; it must refuse or go on, and never raise."""
    own, other = handshake_cases.INITIATOR, handshake_cases.RESPONDER
    if role is Role.RESPONDER:
        own, other = other, own
    steps = [
        step
        for step in handshake_cases.Conversation().run()
        if step["who"] == role.value and step["event"] == "frame"
    ]

    def run(data: bytes) -> None:
        machine = own.machine(other.person)
        machine.handle(HandshakeBegun(role, NOW), MonotonicS(0.0))
        for step in steps[:frames_before]:
            machine.handle(FrameReceived(bytes.fromhex(step["bytes"]), UnixMs(NOW)), MonotonicS(0.0))
        machine.handle(FrameReceived(data, UnixMs(NOW)), MonotonicS(0.0))
        machine.check_invariants()
        assert machine.state is not HandshakeState.ESTABLISHED

    return run


TARGETS: dict[str, Target] = {
    "canonical": _canonical,
    "frames": _frames,
    **{f"message-{kind.name}": _message(kind) for kind in MESSAGES.values()},
    **{f"envelope-{kind.name}": _envelope(kind) for kind in MESSAGES.values() if kind.name in ENVELOPED},
    "envelope-kind": envelope_kind,
    "binding": lambda data: check_binding(data, RULES, now=NOW, peer=ALICE.node_key.peer_id),
    "record": lambda data: check_record(data, RULES, now=NOW),
    "presence": lambda data: check_presence(data, RULES, now=NOW),
    "equivocation": lambda data: check_equivocation(decode_message(EquivocationProof, data), RULES),
    "peer-id-bytes": peer_id_from_bytes,
    "peer-id-text": _peer_text,
    "address-bytes": address_from_bytes,
    "address-text": _address_text,
    "wallet-signature": lambda data: recover_address(bytes(32), data),
    "sealed": lambda data: open_sealed(BOB.node_key, data),
    "session-frame": lambda data: CipherState(bytes(32)).open(data),
    "tender": lambda data: check_tender(data, RULES, now=NOW),
    "book": _book,
    **execution_targets.TARGETS,
    **proof_targets.TARGETS,
    **settlement_targets.TARGETS,
    **evidence_targets.TARGETS,
    **verification_targets.TARGETS,
    "hello": _handshake(Role.RESPONDER, 0),
    "accept": _handshake(Role.INITIATOR, 0),
    **CONTENT_TARGETS,
}


def run_one(target: str, data: bytes) -> bool:
    """Run a target once; return whether the input was accepted.

    Any exception but RemoteProtocolError is a finding and propagates.
    """
    try:
        TARGETS[target](data)
    except RemoteProtocolError:
        return False
    return True


def corpus(target: str) -> list[bytes]:
    """Return inputs to begin with: the bytes of all vectors whose form the target could know."""
    wanted = {
        "canonical": ("canonical", "messages"),
        "frames": ("framing",),
        "binding": ("bindings",),
        "record": ("envelopes", "messages"),
        "presence": ("envelopes",),
        "hello": ("handshakes",),
        "accept": ("handshakes",),
        "sealed": ("sealing",),
        "session-frame": ("sessions",),
        "wallet-signature": ("wallet-signatures",),
        "chunk": ("chunks",),
        "cid-bytes": ("cids",),
        "cid-text": ("cids",),
        "dag-pb": ("bundles",),
        "unixfs-file": ("bundles",),
        "unixfs-directory": ("bundles",),
        "bundle-root": ("bundles",),
        "bundle-list": ("bundles",),
        "channel-hello": ("channels",),
        "channel-reply": ("channels",),
        "tender": ("auction-conversations",),
        "book": ("auction-books",),
        **execution_targets.FAMILIES,
        **proof_targets.FAMILIES,
        **settlement_targets.FAMILIES,
        **evidence_targets.FAMILIES,
        **verification_targets.FAMILIES,
    }
    families = wanted.get(target, ("identifiers",))
    if target.startswith("message-") or target == "equivocation":
        families = ("messages",)
    elif target.startswith("envelope"):
        families = ("envelopes", "bindings")
    name = target.removeprefix("message-")
    found = {
        seal(message, BOB.node_key, RULES.network)
        for message in examples()
        if target in ("envelope-kind", f"envelope-{message.name}")
    }
    found |= execution_targets.seeds(target) | settlement_targets.seeds(target)
    found |= evidence_targets.seeds(target) | verification_targets.seeds(target)
    found.update(CONTENT_SEEDS.get(target, ()))
    for family in families:
        document = json.loads((schema.PROTOCOL / "vectors" / f"{family}.json").read_text(encoding="utf-8"))
        for case in document["cases"]:
            if family == "messages" and target.startswith("message-") and case["message"] != name:
                continue
            found.update(_strings(case))
    return sorted(found, key=lambda data: (len(data), data))


def _strings(value: object) -> set[bytes]:
    """Collect every hexadecimal or other text in a case as bytes."""
    if isinstance(value, dict):
        return set().union(*map(_strings, value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*map(_strings, value)) if value else set()
    if not isinstance(value, str):
        return set()
    try:
        return {bytes.fromhex(value)}
    except ValueError:
        return {value.encode()}
