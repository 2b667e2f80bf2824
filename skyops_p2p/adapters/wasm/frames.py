"""What a node and a child process say to each other: JSON texts, each after its length, over a socket pair.

Both sides are this program, on this machine; a frame of a child is still checked, because the child ran foreign code.
"""

import json
import socket
import struct
from dataclasses import asdict, dataclass
from typing import Any, Self

from skyops_p2p import limits

_LENGTH = struct.Struct(">I")


class BrokenFrame(Exception):  # noqa: N818 - named after what came
    """The other side sent what is no frame."""


@dataclass(frozen=True, slots=True)
class Preopen:
    """A directory that the program sees."""

    source: str
    guest: str
    """Its name in the program, absolute."""
    is_mutable: bool


@dataclass(frozen=True, slots=True)
class CompileRequest:
    """Turn a module into native code; says so in a file that did not exist before."""

    module: str
    """Path of the module's bytes."""
    digest: str
    """SHA-256 of the bytes that are meant, in hex."""
    target: str
    """Path of the file to write."""
    is_deterministic: bool
    memory_bytes_max: int
    user: int | None = None
    """User id that compiles; None: the node's own."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Run one program. Secrets are in `env`, so this travels by pipe, and has no text form."""

    compiled: str
    """Path of the module's native code, made by this user's node."""
    digest: str
    """SHA-256 of the module, in hex."""
    arguments: list[str]
    env: dict[str, str]
    preopens: list[Preopen]
    working_dir: str
    entry_point: str
    """Exported function; empty: `_start`, else `step`."""
    is_deterministic: bool
    seed: str
    """Hex; where random numbers come from if `is_deterministic`."""
    memory_bytes_max: int
    file_bytes_max: int
    disk_bytes_max: int
    fuel_max: int
    snapshot: str
    """Path of the snapshot file; empty: none is wanted."""
    hidden_state: str
    """Why the module's state cannot be saved; empty if it can."""
    user: int | None = None
    """User id that runs the module; None: the node's own."""

    def __repr__(self) -> str:
        return f"RunRequest(digest={self.digest[:12]!r})"


Request = CompileRequest | RunRequest


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as one frame."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    return _LENGTH.pack(len(text)) + text


def encode_request(request: Request) -> bytes:
    """Return a request as one frame."""
    return encode({"kind": type(request).__name__, **asdict(request)})


def decode_request(message: dict[str, Any]) -> Request:
    """Undo `encode_request`; the node is trusted, so a wrong field raises TypeError or KeyError."""
    fields = dict(message)
    if fields.pop("kind") == CompileRequest.__name__:
        return CompileRequest(**fields)
    fields["preopens"] = [Preopen(**item) for item in fields["preopens"]]
    return RunRequest(**fields)


class FrameReader:
    """Puts frames together from pieces."""

    def __init__(self, *, bytes_max: int = limits.WASM_FRAME_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._bytes_max = bytes_max

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Take bytes and return the messages that are whole now.

        Raises:
            BrokenFrame: Too long, no JSON, or no object.
        """
        self._buffer += data
        found = []
        while len(self._buffer) >= _LENGTH.size:
            [size] = _LENGTH.unpack_from(self._buffer)
            if size > self._bytes_max:
                raise BrokenFrame(f"a frame of {size} bytes")
            if len(self._buffer) < _LENGTH.size + size:
                break
            found.append(_message(bytes(self._buffer[_LENGTH.size : _LENGTH.size + size])))
            del self._buffer[: _LENGTH.size + size]
        return found


class BlockingConversation:
    """A child's end of the socket pair: one thread reads, several may write."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._reader = FrameReader()
        self._waiting: list[dict[str, Any]] = []

    @classmethod
    def from_descriptor(cls, descriptor: int) -> Self:
        """Take over an inherited descriptor."""
        return cls(socket.socket(fileno=descriptor))

    def read(self) -> dict[str, Any] | None:
        """Wait for a message; None when the other side is gone."""
        while not self._waiting:
            data = self._end.recv(limits.WASM_READ_BYTES)
            if not data:
                return None
            self._waiting = self._reader.feed(data)
        return self._waiting.pop(0)

    def write(self, message: dict[str, Any]) -> None:
        """Send one message, in one piece.

        Raises:
            OSError: The other side is gone.
        """
        self._end.sendall(encode(message))


def _message(text: bytes) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenFrame("a frame that is no JSON") from error
    if not isinstance(message, dict):
        raise BrokenFrame("a frame that is no object")
    return message
