"""Second decoder of bytes from the wire, sharing no code with skyops_p2p: canonical MessagePack, frames,
messages by protocol/messages.toml, and envelopes. Written from protocol/00-conventions.md and 02-envelope.md.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from tests.vectors.second_crypto import RefusedError, ed25519_verify, peer_id_bytes, peer_id_text

SCHEMA = tomllib.loads((Path(__file__).parents[2] / "protocol" / "messages.toml").read_text(encoding="utf-8"))
MESSAGE_BYTES_MAX = 65_536
ENVELOPE_BYTES_MAX = 66_048
DEPTH_MAX = 8
ITEMS_MAX = 1024
FORMS = {
    0xC4: ("bytes", 1, 0),
    0xC5: ("bytes", 2, 1 << 8),
    0xC6: ("bytes", 4, 1 << 16),
    0xCC: ("int", 1, 1 << 7),
    0xCD: ("int", 2, 1 << 8),
    0xCE: ("int", 4, 1 << 16),
    0xCF: ("int", 8, 1 << 32),
    0xD9: ("text", 1, 1 << 5),
    0xDA: ("text", 2, 1 << 8),
    0xDB: ("text", 4, 1 << 16),
    0xDC: ("array", 2, 1 << 4),
    0xDD: ("array", 4, 1 << 16),
    0xDE: ("map", 2, 1 << 4),
    0xDF: ("map", 4, 1 << 16),
}
"""First byte -> what it begins, bytes of its number, and the least number that needs this form."""


# --- canonical MessagePack --------------------------------------------------------------------------------------
class Reader:
    """Reads one value, byte by byte, and insists on the shortest form."""

    def __init__(self, data: bytes, items_max: int = ITEMS_MAX) -> None:
        self.data = data
        self.offset = 0
        self.items_max = items_max

    def take(self, count: int) -> bytes:
        if len(self.data) - self.offset < count:
            raise RefusedError("malformed")
        self.offset += count
        return self.data[self.offset - count : self.offset]

    def number(self, size: int, least: int) -> int:
        """Read an unsigned number that must not fit a shorter form."""
        value = int.from_bytes(self.take(size), "big")
        if value < least:
            raise RefusedError("non_canonical")
        return value

    def value(self, depth: int = 0) -> Any:
        byte = self.take(1)[0]
        if byte <= 0x7F:
            return byte
        if byte >= 0xE0:
            return byte - 256
        if byte <= 0x8F:
            return self.map(byte & 15, depth)
        if byte <= 0x9F:
            return self.array(byte & 15, depth)
        if byte <= 0xBF:
            return self.text(byte & 31)
        return self.long(byte, depth)

    def long(self, byte: int, depth: int) -> Any:
        if byte in (0xC2, 0xC3):
            return byte == 0xC3
        if 0xD0 <= byte <= 0xD3:
            return self.negative(1 << (byte - 0xD0))
        if byte not in FORMS:
            raise RefusedError("malformed")  # null, floats, extensions, the reserved byte
        kind, size, least = FORMS[byte]
        count = self.number(size, least)
        if kind == "int":
            return count
        if kind == "bytes":
            return self.take(count)
        if kind == "text":
            return self.text(count)
        return self.array(count, depth) if kind == "array" else self.map(count, depth)

    def negative(self, size: int) -> int:
        value = int.from_bytes(self.take(size), "big", signed=True)
        shortest = -32 if size == 1 else -(1 << (8 * (size // 2) - 1))
        if value >= shortest:
            raise RefusedError("non_canonical")
        return value

    def text(self, size: int) -> str:
        try:
            return self.take(size).decode("utf-8")
        except UnicodeDecodeError as error:
            raise RefusedError("malformed") from error

    def array(self, count: int, depth: int) -> list[Any]:
        if count > self.items_max or depth >= DEPTH_MAX:
            raise RefusedError("malformed")
        return [self.value(depth + 1) for _ in range(count)]

    def map(self, count: int, depth: int) -> dict[int, Any]:
        if count > self.items_max or depth >= DEPTH_MAX:
            raise RefusedError("malformed")
        result: dict[int, Any] = {}
        previous = -1
        for _ in range(count):
            key = self.value(depth + 1)
            if type(key) is not int or key < 0:
                raise RefusedError("malformed")
            if key <= previous:
                raise RefusedError("non_canonical")
            previous = key
            result[key] = self.value(depth + 1)
        return result


def decode(data: bytes, bytes_max: int = MESSAGE_BYTES_MAX, items_max: int = ITEMS_MAX) -> Any:
    """Decode canonical MessagePack. CNV-1 to CNV-5."""
    if len(data) > bytes_max:
        raise RefusedError("oversized")
    reader = Reader(data, items_max)
    value = reader.value()
    if reader.offset != len(data):
        raise RefusedError("malformed")
    return value


# --- frames -----------------------------------------------------------------------------------------------------
def uvarint(data: bytes, offset: int) -> tuple[int, int]:
    """Return the number and the offset behind it; EOFError if the bytes end before it."""
    value = 0
    for index in range(4):
        if offset + index == len(data):
            raise EOFError
        byte = data[offset + index]
        value += (byte % 128) * 128**index
        if byte < 128:
            if byte == 0 and index:
                raise RefusedError("non_canonical")
            return value, offset + index + 1
    raise RefusedError("malformed")


def frames(stream: bytes, bytes_max: int) -> tuple[list[bytes], int]:
    """Return the whole frames of a stream, and how many bytes are left over. CNV-6."""
    found: list[bytes] = []
    offset = 0
    while True:
        try:
            length, start = uvarint(stream, offset)
        except EOFError:
            return found, len(stream) - offset
        if length > bytes_max:
            raise RefusedError("oversized")
        if start + length > len(stream):
            return found, len(stream) - offset
        found.append(stream[start : start + length])
        offset = start + length


# --- messages ---------------------------------------------------------------------------------------------------
def message(data: bytes, name: str, bytes_max: int | None = None) -> dict[str, Any]:
    """Decode a message of a known name to its named fields. CNV-4, CNV-8."""
    entry = SCHEMA["messages"][name]
    limit = bytes_max or entry.get("bytes_max", MESSAGE_BYTES_MAX)
    fields = decode(data, limit, entry.get("items_max", ITEMS_MAX))
    if type(fields) is not dict or type(fields.get(0)) is not int:
        raise RefusedError("malformed")
    if fields.pop(0) != entry["number"]:
        raise RefusedError("wrong_type")
    return _named(fields, entry["fields"])


def _named(fields: Any, schema: dict[str, Any]) -> dict[str, Any]:
    if type(fields) is not dict:
        raise RefusedError("malformed")
    names = {field["number"]: name for name, field in schema.items()}
    if not set(fields) <= set(names):
        raise RefusedError("malformed")
    missing = {name for number, name in names.items() if number not in fields}
    if any(not schema[name].get("optional") for name in missing):
        raise RefusedError("malformed")
    return {names[number]: _checked(value, schema[names[number]]) for number, value in fields.items()}


def _checked(value: Any, field: dict[str, Any]) -> Any:
    kinds = {"bool": bool, "int": int, "bytes": bytes, "text": str, "array": list, "map": dict}
    if type(value) is not kinds[field["type"]]:
        raise RefusedError("malformed")
    size = (
        value if field["type"] == "int" else len(value) if field["type"] in ("bytes", "text", "array") else 0
    )
    if size < field.get("min", size) or size > field.get("max", size):
        raise RefusedError("malformed")
    if "pattern" in field and not re.fullmatch(field["pattern"].removesuffix("$"), value):
        raise RefusedError("malformed")
    if "one_of" in field and value not in field["one_of"]:
        raise RefusedError("malformed")
    if field["type"] == "array":
        return [_checked(item, field["of"]) for item in value]
    return _named(value, SCHEMA["parts"][field["part"]]["fields"]) if field["type"] == "map" else value


# --- envelopes --------------------------------------------------------------------------------------------------
def envelope(
    data: bytes, name: str, network: str, bytes_max: int | None = None
) -> tuple[dict[str, Any], str]:
    """Open an envelope: the message's named fields and the signer's peer id. ENV-2 to ENV-8."""
    longest = SCHEMA["messages"][name].get("bytes_max", MESSAGE_BYTES_MAX)
    if len(data) > (bytes_max or longest + ENVELOPE_BYTES_MAX - MESSAGE_BYTES_MAX):
        raise RefusedError("oversized")
    key, payload_type, payload, signature = _protobuf(data)
    if len(key) != 36 or key[:4] != b"\x08\x01\x12\x20":
        raise RefusedError("bad_key")
    if payload_type != b"/skyops/" + name.encode():
        raise RefusedError("wrong_type")
    domain = b"skyops/" + network.encode() + b"/" + name.encode() + b"/1"
    try:
        ed25519_verify(key[4:], signed_bytes(domain, payload_type, payload), signature)
    except RefusedError:
        if _says_another_network(payload, name, network):
            raise RefusedError("wrong_network") from None
        raise
    fields = message(payload, name)
    if fields.get("network", network) != network:
        raise RefusedError("wrong_network")
    return fields, peer_id_text(peer_id_bytes(key[4:]))


def signed_bytes(domain: bytes, payload_type: bytes, payload: bytes) -> bytes:
    return b"".join(write_uvarint(len(part)) + part for part in (domain, payload_type, payload))


def write_uvarint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value % 128 + 128]) + write_uvarint(value // 128)


def _says_another_network(payload: bytes, name: str, network: str) -> bool:
    try:
        return bool(message(payload, name).get("network", network) != network)
    except RefusedError:
        return False


def _protobuf(data: bytes) -> list[bytes]:
    values: list[bytes] = []
    offset = 0
    for field in (1, 2, 3, 5):
        if offset == len(data):
            raise RefusedError("malformed")
        if data[offset] != field << 3 | 2:
            raise RefusedError("non_canonical")
        try:
            length, start = uvarint(data, offset + 1)
        except EOFError:
            raise RefusedError("malformed") from None
        offset = start + length
        if offset > len(data):
            raise RefusedError("malformed")
        values.append(data[start:offset])
    if offset < len(data):
        raise RefusedError("non_canonical")
    return values
