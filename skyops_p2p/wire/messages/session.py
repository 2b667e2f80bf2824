"""Session messages: what travels sealed between two peers after the handshake. Spec: protocol/01-identity.md."""

from typing import Annotated, ClassVar

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.wire.model import Message, N


class Data(Message):
    """Bytes of the application."""

    number: ClassVar[int] = 26
    name: ClassVar[str] = "session-data"

    body: Annotated[bytes, Field(max_length=limits.SESSION_FRAME_BYTES_MAX), N(1)]


class Rekey(Message):
    """The sender's next frame is sealed with the next key."""

    number: ClassVar[int] = 27
    name: ClassVar[str] = "session-rekey"


class Close(Message):
    """The sender ends the session and says why."""

    number: ClassVar[int] = 28
    name: ClassVar[str] = "session-close"

    code: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$"), N(1)]
