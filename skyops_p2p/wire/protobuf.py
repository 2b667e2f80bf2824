"""The little of Protocol Buffers that IPFS's formats need: varints and length-delimited fields, strictly read.

Source: protobuf.dev, "Encoding". A varint must be in its shortest form; groups and fixed-width fields are refused.
"""

from collections.abc import Iterator

from skyops_p2p.errors import RemoteProtocolError

VARINT = 0
BYTES = 2
VARINT_BYTES_MAX = 9
"""63 bits: no length or size that is believed needs more."""

Value = int | bytes


def encode_varint(value: int) -> bytes:
    """Return the shortest unsigned LEB128 form of a number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field_int(number: int, value: int) -> bytes:
    """Encode a varint field."""
    return encode_varint(number << 3 | VARINT) + encode_varint(value)


def field_bytes(number: int, value: bytes) -> bytes:
    """Encode a length-delimited field."""
    return encode_varint(number << 3 | BYTES) + encode_varint(len(value)) + value


def fields_of(data: bytes) -> Iterator[tuple[int, Value]]:
    """Yield (field number, value) in the order of the bytes.

    Raises:
        RemoteProtocolError: Code `malformed`: a field runs past the end, a varint is too long or not minimal, or a
            wire type other than varint and length-delimited.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        value, at = _varint(data, at)
        if kind == VARINT:
            yield number, value
            continue
        if kind != BYTES or value > len(data) - at:
            raise _malformed()
        yield number, data[at : at + value]
        at += value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(VARINT_BYTES_MAX):
        if at + index >= len(data):
            raise _malformed()
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if byte == 0 and index:
                raise _malformed()
            return value, at + index + 1
    raise _malformed()


def _malformed() -> RemoteProtocolError:
    return RemoteProtocolError("not a protobuf message of the known kind", code="malformed", rule="CON-6")
