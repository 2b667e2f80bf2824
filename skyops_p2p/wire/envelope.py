"""Signed envelopes: a message, its signer and a signature whose domain names the network and the kind.

The form is libp2p's signed envelope (RFC 0002 of libp2p's specs): protobuf fields public_key = 1,
payload_type = 2, payload = 3, signature = 5, each length-delimited, once, in this order, in minimal form.
Spec: protocol/02-envelope.md.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import NodeKey, peer_id_from_public_key, verify
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.limits import ENVELOPE_BYTES_MAX, MESSAGE_BYTES_MAX
from skyops_p2p.types import PeerId
from skyops_p2p.wire.framing import decode_uvarint, encode_uvarint
from skyops_p2p.wire.model import AnyMessage, Message, decode_message, encode_message

PAYLOAD_TYPE_PREFIX = b"/skyops/"

_ED25519_KEY = bytes.fromhex("08011220")
"""The libp2p PublicKey protobuf up to the key: type 1 (Ed25519), 32 bytes of data."""
_FRAME_BYTES = ENVELOPE_BYTES_MAX - MESSAGE_BYTES_MAX
"""Key, type, signature and lengths around a message."""
_PREFIXES_CACHED = 256
"""Kinds of messages times networks in one process; there is nothing to gain from more."""
_TAG_KEY, _TAG_TYPE, _TAG_PAYLOAD, _TAG_SIGNATURE = 0x0A, 0x12, 0x1A, 0x2A
_TAGS = (_TAG_KEY, _TAG_TYPE, _TAG_PAYLOAD, _TAG_SIGNATURE)

M_co = TypeVar("M_co", bound=Message, covariant=True)


@dataclass(frozen=True, slots=True)
class Signed(Generic[M_co]):
    """An envelope that was opened: its signature holds for this network and this kind of message."""

    message: M_co
    signer: PeerId
    data: bytes
    """The envelope as received; what is stored and forwarded. Rules: ENV-9."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of the envelope, 32 bytes: its name."""
        return sha256(self.data)


def seal(message: Message, key: NodeKey, network: str) -> bytes:
    """Sign a message and return its envelope.

    Raises:
        LocalProtocolError: The message is too long, or says another network than `network`.

    Rules: ENV-1, ENV-3, ENV-7.
    """
    said = _network_of(message)
    if said not in (None, network):  # ENV-7
        raise LocalProtocolError(f"a message for {said!r} is sealed for {network!r}")
    payload = encode_message(message)
    if len(payload) > message.bytes_max:  # ENV-2
        raise LocalProtocolError(f"{message.name} of {len(payload)} bytes is too long for an envelope")
    payload_type = PAYLOAD_TYPE_PREFIX + message.name.encode()
    signature = key.sign(_signed_bytes(type(message), payload, network))
    values = (_ED25519_KEY + key.public_key, payload_type, payload, signature)
    return b"".join(
        bytes([tag]) + encode_uvarint(len(value)) + value for tag, value in zip(_TAGS, values, strict=True)
    )


def open_envelope(
    data: bytes, kind: type[AnyMessage], network: str, *, bytes_max: int | None = None
) -> Signed[AnyMessage]:
    """Check an envelope and decode its message. The signature is checked over the received bytes.

    Args:
        data: The envelope and nothing else.
        kind: What it must hold.
        network: Our network's name.
        bytes_max: Longest envelope; that of the kind's longest message if it is not given.

    Raises:
        RemoteProtocolError: `oversized`, `malformed`, `non_canonical`, `bad_key` (not Ed25519), `wrong_type`
            (another kind), `bad_signature` (also another network's), `wrong_network` (the message says so).

    Rules: ENV-2 to ENV-8.
    """
    message, key = open_by_key(data, kind, network, bytes_max=bytes_max)
    return Signed(message=message, signer=peer_id_from_public_key(key), data=data)


def open_by_key(
    data: bytes, kind: type[AnyMessage], network: str, *, bytes_max: int | None = None
) -> tuple[AnyMessage, bytes]:
    """Check an envelope as `open_envelope` does; return its message and the signer's 32-byte key.

    For thousands at a time: writing a peer id as text costs more than decoding a short message.

    Raises:
        RemoteProtocolError: As `open_envelope`.

    Rules: ENV-2 to ENV-8.
    """
    limit = kind.bytes_max + _FRAME_BYTES if bytes_max is None else bytes_max
    if len(data) > limit:  # ENV-2
        raise RemoteProtocolError(f"longer than {limit} bytes", code="oversized", rule="ENV-2")
    key, payload_type, payload, signature = _split(data)
    if len(key) != 36 or not key.startswith(_ED25519_KEY):  # ENV-5
        raise RemoteProtocolError("not signed with an Ed25519 key", code="bad_key", rule="ENV-5")
    if payload_type != PAYLOAD_TYPE_PREFIX + kind.name.encode():  # ENV-6
        raise RemoteProtocolError(f"not a {kind.name}", code="wrong_type", rule="ENV-6")
    try:
        verify(key[4:], _signed_bytes(kind, payload, network), signature)  # ENV-3
    except RemoteProtocolError as error:
        _blame_network(payload, kind, network)
        raise RemoteProtocolError("the signature does not fit", code="bad_signature", rule="ENV-3") from error
    message = decode_message(kind, payload)
    if _network_of(message) not in (None, network):  # ENV-7
        raise RemoteProtocolError("for another network", code="wrong_network", rule="ENV-7")
    return message, key[4:]


def peek(data: bytes, kind: type[AnyMessage]) -> AnyMessage:
    """Decode an envelope's message without checking its signature: only to find out how it could be checked.

    Raises:
        RemoteProtocolError: `malformed`, `non_canonical`, `oversized` or `wrong_type`.
    """
    if len(data) > kind.bytes_max + _FRAME_BYTES:
        raise RemoteProtocolError("longer than such an envelope", code="oversized", rule="ENV-2")
    return decode_message(kind, _split(data)[2])


def _split(data: bytes) -> list[bytes]:
    """Read the four fields, each once, in order, with nothing between or behind.

    Rules: ENV-4.
    """
    values: list[bytes] = []
    offset, size = 0, len(data)
    for tag in _TAGS:
        if offset >= size:
            raise RemoteProtocolError("the envelope is cut short", code="malformed", rule="ENV-4")
        if data[offset] != tag:
            raise RemoteProtocolError("fields not 1, 2, 3, 5 in order", code="non_canonical", rule="ENV-4")
        read = decode_uvarint(data, offset + 1)
        if read is None or read[0] > size - read[1]:
            raise RemoteProtocolError("the envelope is cut short", code="malformed", rule="ENV-4")
        length, start = read
        offset = start + length
        values.append(data[start:offset])
    if offset != size:
        raise RemoteProtocolError("bytes behind the envelope", code="non_canonical", rule="ENV-4")
    return values


def _signed_bytes(kind: type[Message], payload: bytes, network: str) -> bytes:
    """Domain, payload type and payload, each behind its length. Rules: ENV-3."""
    return _signed_prefix(kind.name, network) + encode_uvarint(len(payload)) + payload


@lru_cache(maxsize=_PREFIXES_CACHED)
def _signed_prefix(name: str, network: str) -> bytes:
    domain = f"skyops/{network}/{name}/1".encode()
    payload_type = PAYLOAD_TYPE_PREFIX + name.encode()
    return b"".join(encode_uvarint(len(part)) + part for part in (domain, payload_type))


def _blame_network(payload: bytes, kind: type[Message], network: str) -> None:
    """Raise `wrong_network` if a message with a bad signature says that it is for another network.

    Rules: ENV-7.
    """
    try:
        message = decode_message(kind, payload)
    except RemoteProtocolError:
        return
    if _network_of(message) not in (None, network):
        raise RemoteProtocolError("for another network", code="wrong_network", rule="ENV-7")


def _network_of(message: Message) -> str | None:
    """Return the network that a message says it is for; None for a kind that says none.

    Read from the fields, because a model takes long to say that it lacks an attribute.
    """
    return message.__dict__.get("network")


def envelope_kind(data: bytes) -> str | None:
    """Return the name of the message that an envelope holds, unchecked; None for what is no envelope at all.

    Raises:
        RemoteProtocolError: `malformed` or `non_canonical`: it begins like an envelope and is none.
    """
    if data[:1] != bytes([_TAG_KEY]):
        return None
    return _split(data)[1].removeprefix(PAYLOAD_TYPE_PREFIX).decode("ascii", errors="replace")
