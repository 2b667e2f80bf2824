"""Handshake messages, one frame each on a stream of their own. Spec: protocol/01-identity.md, "Handshake"."""

from typing import Annotated, ClassVar

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.wire.messages.peering import HardwarePart, RuntimePart
from skyops_p2p.wire.model import (
    Bytes32,
    Count,
    Instant,
    Message,
    N,
    Name,
    PeerBytes,
    Signature64,
    Signature65,
)

Versions = Annotated[tuple[Annotated[int, Field(ge=1, le=65_535)], ...], Field(min_length=1, max_length=16)]
BindingBytes = Annotated[bytes, Field(min_length=1, max_length=1024)]
SealedManifest = Annotated[bytes, Field(min_length=17, max_length=8192)]


class Hello(Message):
    """Initiator, first."""

    number: ClassVar[int] = 20
    name: ClassVar[str] = "hello"

    versions: Annotated[Versions, N(1)]
    """Handshake versions that the initiator speaks, ascending."""
    responder: Annotated[PeerBytes, N(2)]
    """Whom the initiator believes to talk to."""
    nonce: Annotated[Bytes32, N(3)]
    ephemeral: Annotated[Bytes32, N(4)]
    """X25519 public key of this handshake only."""
    issued_unix_ms: Annotated[Instant, N(5)]
    binding: Annotated[BindingBytes, N(6)]
    """The initiator's enveloped Binding."""


class Accept(Message):
    """Responder, second: its part of the transcript and its signatures over both parts."""

    number: ClassVar[int] = 21
    name: ClassVar[str] = "accept"

    version: Annotated[int, Field(ge=1, le=65_535), N(1)]
    """The highest version that both speak."""
    versions: Annotated[Versions, N(2)]
    """All that the responder speaks, so that a downgrade shows."""
    nonce: Annotated[Bytes32, N(3)]
    ephemeral: Annotated[Bytes32, N(4)]
    binding: Annotated[BindingBytes, N(5)]
    node_signature: Annotated[Signature64, N(6)]
    wallet_signature: Annotated[Signature65, N(7)]


class Confirm(Message):
    """Initiator, third: its signatures, and its manifest under the new keys."""

    number: ClassVar[int] = 22
    name: ClassVar[str] = "confirm"

    node_signature: Annotated[Signature64, N(1)]
    wallet_signature: Annotated[Signature65, N(2)]
    manifest: Annotated[SealedManifest, N(3)]


class Established(Message):
    """Responder, fourth and last: its manifest under the new keys."""

    number: ClassVar[int] = 23
    name: ClassVar[str] = "established"

    manifest: Annotated[SealedManifest, N(1)]


class Refusal(Message):
    """Either side, instead of its next message; the stream is closed after it."""

    number: ClassVar[int] = 24
    name: ClassVar[str] = "refusal"

    code: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$"), N(1)]


class Manifest(Message):
    """What a party can do in this session; travels sealed inside Confirm and Established."""

    number: ClassVar[int] = 25
    name: ClassVar[str] = "manifest"

    agent: Annotated[Name, N(1)]
    is_worker: Annotated[bool, N(2)]
    hardware: Annotated[HardwarePart, N(3)]
    runtimes: Annotated[tuple[RuntimePart, ...], Field(max_length=8), N(4)]
    modes: Annotated[tuple[Name, ...], Field(max_length=limits.MANIFEST_WORDS_MAX), N(5)]
    """Job modes that can be submitted here: "priority", "commit", "flex"; empty for none."""
    tokens: Annotated[tuple[Name, ...], Field(max_length=limits.MANIFEST_WORDS_MAX), N(6)]
    """Symbols of the tokens taken in payment, e.g. "SKYOPS"; empty for any."""
    price_microcredits_per_hour: Annotated[Count, N(7)]
    lifetime_s: Annotated[int, Field(ge=1, le=86_400), N(8)]
    """Longest session that this party allows, seconds; the shorter of both counts."""
