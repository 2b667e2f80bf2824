"""Messages of witnessed probes: a question and its signed answer, and what a witness says of a watch.

Spec: protocol/08b-probes.md.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.wire.messages.identity import NetworkText
from skyops_p2p.wire.model import Bytes16, Bytes20, Bytes32, Count, Message, N, Part, PeerBytes, Signature65

StatementBytes = Annotated[bytes, Field(min_length=1, max_length=limits.GOSSIP_BYTES_MAX)]
"""An encoded ProbeStatement or SignedStatement."""


class ProbeChallenge(Message):
    """Witness: are you there?"""

    number: ClassVar[int] = 110
    name: ClassVar[str] = "probe-challenge"

    slot: Annotated[Count, N(1)]
    """Slots since 1970."""
    nonce: Annotated[Bytes16, N(2)]


class ProbeAnswer(Message):
    """Whoever was asked, enveloped: I am, in this slot, and it was you who asked."""

    number: ClassVar[int] = 111
    name: ClassVar[str] = "probe-answer"

    slot: Annotated[Count, N(1)]
    nonce: Annotated[Bytes16, N(2)]
    witness: Annotated[PeerBytes, N(3)]
    """Who asked."""


class ProbedPart(Part):
    """What came of one account's probes."""

    account: Annotated[Bytes20, N(1)]
    outcomes: Annotated[bytes, Field(min_length=1, max_length=limits.PROBE_WATCH_SLOTS_MAX // 4), N(2)]
    """Two bits for each slot of the watch, the first slot in the lowest bits of the first byte."""


class ProbeStatement(Message):
    """What a witness says of all that it has probed in one watch."""

    number: ClassVar[int] = 112
    name: ClassVar[str] = "probe-statement"

    network: Annotated[NetworkText, N(1)]
    watch: Annotated[Count, N(2)]
    """Watches since 1970."""
    witness: Annotated[Bytes20, N(3)]
    probed: Annotated[tuple[ProbedPart, ...], Field(min_length=1, max_length=limits.PROBED_MAX), N(4)]
    """Ascending by account."""


class SignedStatement(Message):
    """Gossip, and in replies: a statement with its witness's signature; anyone may relay it."""

    number: ClassVar[int] = 113
    name: ClassVar[str] = "signed-statement"

    statement: Annotated[StatementBytes, N(1)]
    """Encoded ProbeStatement."""
    signature: Annotated[Signature65, N(2)]
    """By the witness's wallet."""


class StatementSyncRequest(Message):
    """Name what you hold in the buckets that differ from these, from `after` on."""

    number: ClassVar[int] = 114
    name: ClassVar[str] = "statement-sync-request"

    digests: Annotated[bytes, Field(min_length=512, max_length=512), N(1)]
    """64 buckets of 8 bytes: the XOR of the first 8 bytes of the names in it."""
    after: Annotated[bytes, Field(max_length=32), N(2)]
    """Continue behind this name; empty at first."""


class StatementSyncReply(Message):
    """Names of the buckets that differ, ascending."""

    number: ClassVar[int] = 115
    name: ClassVar[str] = "statement-sync-reply"

    names: Annotated[tuple[Bytes32, ...], Field(max_length=limits.PROBE_SYNC_NAMES_MAX), N(1)]
    is_complete: Annotated[bool, N(2)]


class StatementsRequest(Message):
    """Please give me these statements."""

    number: ClassVar[int] = 116
    name: ClassVar[str] = "statements-request"

    names: Annotated[
        tuple[Bytes32, ...], Field(min_length=1, max_length=limits.PROBE_STATEMENTS_ASKED_MAX), N(1)
    ]


class StatementsReply(Message):
    """What is held of what was asked for."""

    number: ClassVar[int] = 117
    name: ClassVar[str] = "statements-reply"

    items: Annotated[tuple[StatementBytes, ...], Field(max_length=limits.PROBE_STATEMENTS_ASKED_MAX), N(1)]
    """Encoded SignedStatements."""
