"""Length-prefixed frames on a stream: an unsigned varint, then that many bytes.

Spec: protocol/00-conventions.md, "Frames". Source: multiformats unsigned-varint (minimal form only).
"""

from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.limits import FRAME_BYTES_MAX

LENGTH_BYTES_MAX = 4
"""Four varint bytes say up to 2^28-1, well past FRAME_BYTES_MAX."""


def encode_uvarint(value: int) -> bytes:
    """Return the minimal unsigned varint of a number from 0 to 2^28-1.

    Raises:
        LocalProtocolError: Out of range.
    """
    if not 0 <= value < 1 << 7 * LENGTH_BYTES_MAX:
        raise LocalProtocolError(f"{value} is no length")
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode_uvarint(data: bytes | bytearray, offset: int = 0) -> tuple[int, int] | None:
    """Read a varint.

    Returns:
        The number and the offset behind it, or None if more bytes are needed.

    Raises:
        RemoteProtocolError: Code `malformed` past LENGTH_BYTES_MAX bytes, `non_canonical` if not minimal.

    Rules: CNV-6.
    """
    if offset < len(data) and data[offset] < 0x80:  # most are this short
        return data[offset], offset + 1
    value = 0
    for index in range(LENGTH_BYTES_MAX):
        if offset + index >= len(data):
            return None
        byte = data[offset + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if byte == 0 and index > 0:
                raise RemoteProtocolError("length not minimal", code="non_canonical", rule="CNV-6")
            return value, offset + index + 1
    raise RemoteProtocolError("length of more than 4 bytes", code="malformed", rule="CNV-6")


def encode_frame(payload: bytes) -> bytes:
    """Return a frame: the length, then the payload.

    Raises:
        LocalProtocolError: Longer than FRAME_BYTES_MAX.

    Rules: CNV-6.
    """
    if len(payload) > FRAME_BYTES_MAX:
        raise LocalProtocolError(f"a frame of {len(payload)} bytes is too long: chunk it")
    return encode_uvarint(len(payload)) + payload


class FrameDecoder:
    """Cuts a byte stream into frames. Holds at most one unfinished frame and its length.

    Args:
        bytes_max: Longest frame accepted.

    Rules: CNV-6.
    """

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._buffer = bytearray()
        self._error: RemoteProtocolError | None = None

    @property
    def bytes_buffered(self) -> int:
        """Bytes of an unfinished frame; zero when a stream may end."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take received bytes and return the frames that they finish.

        Frames finished before a bad length in the same call are lost with the stream: it is to be closed.

        Raises:
            RemoteProtocolError: Code `oversized`, as soon as a length says so; `malformed`; `non_canonical`.
                Every later call raises the same.
        """
        if self._error is not None:
            raise self._error.with_traceback(None)
        self._buffer += data
        frames: list[bytes] = []
        offset = 0
        try:
            while (read := decode_uvarint(self._buffer, offset)) is not None:
                length, start = read
                if length > self._bytes_max:
                    raise RemoteProtocolError(
                        f"frame longer than {self._bytes_max} bytes", code="oversized", rule="CNV-6"
                    )
                if len(self._buffer) - start < length:
                    break
                frames.append(bytes(self._buffer[start : start + length]))
                offset = start + length
        except RemoteProtocolError as error:
            self._error = error
            self._buffer.clear()
            raise
        del self._buffer[:offset]
        return frames
