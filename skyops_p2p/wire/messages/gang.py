"""Gang messages: with whom a shard runs, and what two members say in the session between them.

They travel sealed in a session (chapter 01) and are not signed. Spec: protocol/05-execution.md, "Gangs".
"""

from typing import Annotated, ClassVar

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.wire.messages.peering import AddrText
from skyops_p2p.wire.model import Bytes16, Bytes32, Count, Message, N, Part, PeerBytes

Rank = Annotated[int, Field(ge=0, le=limits.JOB_SHARDS_MAX - 1)]
"""A member's shard."""


class GangMemberPart(Part):
    """One member of a gang."""

    rank: Annotated[Rank, N(1)]
    """Its shard."""
    peer: Annotated[PeerBytes, N(2)]
    addrs: Annotated[tuple[AddrText, ...], Field(max_length=limits.GANG_ADDRS_MAX), N(3)]


class GangPart(Part):
    """With whom a shard runs, and what admits them to each other."""

    token: Annotated[Bytes32, Field(repr=False), N(1)]
    """Random, of this attempt alone; only members and their requester know it."""
    attempt: Annotated[int, Field(ge=1, le=2**31), N(2)]
    """Rises with each time that the gang comes together."""
    members: Annotated[
        tuple[GangMemberPart, ...], Field(min_length=1, max_length=limits.GANG_MEMBERS_MAX), N(3)
    ]
    """By rank, ascending; those that have ended well before are not among them."""


class GangConnect(Message):
    """Member: the first message of a session between two members; opens a line, or goes on with one."""

    number: ClassVar[int] = 66
    name: ClassVar[str] = "gang-connect"

    token: Annotated[Bytes32, Field(repr=False), N(1)]
    """The gang's."""
    line: Annotated[Bytes16, N(2)]
    """Random; names the line between the two."""
    from_rank: Annotated[Rank, N(3)]
    to_rank: Annotated[Rank, N(4)]
    taken: Annotated[Count, N(5)]
    """How much of what the other side sends has come through: see GangTaken."""
    is_new: Annotated[bool, N(6)]
    """The other side has never answered for this line."""


class GangReady(Message):
    """The other member: the line stands; the answer to GangConnect."""

    number: ClassVar[int] = 67
    name: ClassVar[str] = "gang-ready"

    taken: Annotated[Count, N(1)]


class GangData(Message):
    """Either member: bytes of a line."""

    number: ClassVar[int] = 68
    name: ClassVar[str] = "gang-data"

    offset: Annotated[Count, N(1)]
    """Of the first byte, in this direction of the line."""
    data: Annotated[bytes, Field(max_length=limits.GANG_DATA_BYTES_MAX), N(2)]
    is_last: Annotated[bool, N(3)]
    """No more will come in this direction."""


class GangTaken(Message):
    """Either member: the program has got all bytes below the offset; of an ended direction the end counts as one."""

    number: ClassVar[int] = 69
    name: ClassVar[str] = "gang-taken"

    taken: Annotated[Count, N(1)]
