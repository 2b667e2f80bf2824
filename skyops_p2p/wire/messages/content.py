"""Content messages: encrypted bundles and the blocks that they are made of. Spec: protocol/05b-content.md."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.wire.model import Bytes16, Bytes32, Count, Instant, Message, N, Part, PeerBytes

CidBytes = Annotated[bytes, Field(min_length=36, max_length=36)]
"""A binary CIDv1 with a SHA-256 multihash."""
Label = Annotated[
    str, Field(min_length=1, max_length=limits.CONTENT_LABEL_CHARS_MAX, pattern=r"^[a-z0-9/-]*$")
]
"""What the owner of a copy calls it."""
Note = Annotated[bytes, Field(max_length=limits.CONTENT_NOTE_BYTES_MAX)]


class BundleRef(Part):
    """An encrypted directory tree. What it takes to open it is never in it."""

    root: Annotated[CidBytes, N(1)]
    """CID of the UnixFS directory of ciphertext files."""
    size_bytes: Annotated[Count, N(2)]
    """Plaintext of all files together."""
    files: Annotated[Count, N(3)]
    blocks: Annotated[Count, N(4)]
    """Blocks of the whole graph, the root included; one that stands in two places counts twice."""


class BlocksRequest(Message):
    """Send me these blocks, in this order."""

    number: ClassVar[int] = 70
    name: ClassVar[str] = "blocks-request"
    cids: Annotated[tuple[CidBytes, ...], Field(min_length=1, max_length=limits.CONTENT_WINDOW_BLOCKS), N(1)]


class ChannelRequest(Message):
    """Where can I connect for blocks, besides this stream?"""

    number: ClassVar[int] = 71
    name: ClassVar[str] = "channel-request"


class ChannelOffer(Message):
    """At this TCP port of the hosts under which you know me."""

    number: ClassVar[int] = 72
    name: ClassVar[str] = "channel-offer"
    port: Annotated[int, Field(ge=0, le=65_535), N(1)]
    """0: nowhere."""
    token: Annotated[Bytes16, N(2)]
    """Names the offer."""
    key: Annotated[Bytes32, Field(repr=False), N(3)]
    """What both sides prove to know."""


class KeepRequest(Message):
    """Please keep a copy of this bundle; I serve it."""

    number: ClassVar[int] = 73
    name: ClassVar[str] = "keep-request"
    bundle: Annotated[BundleRef, N(1)]
    label: Annotated[Label, N(2)]
    """A newer bundle of the same label and owner takes the place of the older once it is whole."""
    note: Annotated[Note, N(3)]
    """Given to whoever asks for the copy."""
    until_unix_ms: Annotated[Instant, N(4)]


class KeepReply(Message):
    """How far it is."""

    number: ClassVar[int] = 74
    name: ClassVar[str] = "keep-reply"
    state: Annotated[Literal["fetching", "kept", "failed", "forgotten"], N(1)]
    until_unix_ms: Annotated[Instant, N(2)]
    """No later than was asked for."""


class CopiesRequest(Message):
    """Which copies do you keep under this label?"""

    number: ClassVar[int] = 75
    name: ClassVar[str] = "copies-request"
    label: Annotated[Label, N(1)]


class CopyPart(Part):
    """A copy that is whole."""

    owner: Annotated[PeerBytes, N(1)]
    """Who asked for it to be kept."""
    bundle: Annotated[BundleRef, N(2)]
    note: Annotated[Note, N(3)]


class CopiesReply(Message):
    """These."""

    number: ClassVar[int] = 76
    name: ClassVar[str] = "copies-reply"
    copies: Annotated[tuple[CopyPart, ...], Field(max_length=limits.CONTENT_COPIES_TOLD_MAX), N(1)]


class ForgetRequest(Message):
    """I no longer need what you keep for me under this label."""

    number: ClassVar[int] = 77
    name: ClassVar[str] = "forget-request"
    label: Annotated[Label, N(1)]
