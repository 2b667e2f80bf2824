"""Proof of compute: a challenge, the root of its answer, and what is drawn of it. Spec: protocol/04-auction.md.

Requests and answers over an authenticated stream; what is to convince others than the asker is enveloped.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.wire.messages.identity import NetworkText
from skyops_p2p.wire.messages.peering import EnvelopeBytes
from skyops_p2p.wire.model import Bytes32, Instant, Message, N, Name, Part, PeerBytes

Path = Annotated[tuple[Bytes32, ...], Field(max_length=limits.PROOF_PATH_MAX)]
"""Siblings in a Merkle tree, from a leaf up."""
Index = Annotated[int, Field(ge=0, le=2**32)]


class ProofRowPart(Part):
    """One drawn row of a factor, from its checkpoint to the next."""

    index: Annotated[Index, N(1)]
    """Leaf where it begins: checkpoint times size plus row."""
    start: Annotated[bytes, Field(min_length=1, max_length=limits.PROOF_SIZE_MAX), N(2)]
    """The row of that factor, `size` bytes."""
    products: Annotated[bytes, Field(min_length=4, max_length=limits.PROOF_ROW_BYTES_MAX), N(3)]
    """The row of each product up to the next checkpoint, 4 * `size` bytes each, one behind the other."""
    start_path: Annotated[Path, N(4)]
    end_path: Annotated[Path, N(5)]


class ProofBlockPart(Part):
    """One block of filled memory and its place in the tree."""

    index: Annotated[Index, N(1)]
    block: Annotated[Bytes32, N(2)]
    path: Annotated[Path, N(3)]


class ProofPlacePart(Part):
    """One drawn block with the two that it is made of."""

    block: Annotated[ProofBlockPart, N(1)]
    before: Annotated[ProofBlockPart, N(2)]
    pointed: Annotated[ProofBlockPart, N(3)]


class ProofChallenge(Message):
    """Compute this, now. The answer is a ProofRoot, and the time until it comes is what is measured."""

    number: ClassVar[int] = 43
    name: ClassVar[str] = "proof-challenge"

    beacon: Annotated[Bytes32, N(1)]
    """Random, and new for each challenge: nothing can be computed before it is known."""
    size: Annotated[int, Field(ge=1, le=limits.PROOF_SIZE_MAX), N(2)]
    """Rows and columns of the matrices."""
    checkpoints: Annotated[int, Field(ge=1, le=256), N(3)]
    """Commitments after the first."""
    stride: Annotated[int, Field(ge=1, le=64), N(4)]
    """Products from one commitment to the next."""
    lanes: Annotated[int, Field(ge=0, le=2**20), N(5)]
    """Of the memory that is to be filled as well; 0: none."""
    rows: Annotated[int, Field(ge=0, le=2**20), N(6)]
    """Blocks of each lane."""


class ProofRoot(Message):
    """What a worker has computed, committed to."""

    number: ClassVar[int] = 44
    name: ClassVar[str] = "proof-root"

    root: Annotated[Bytes32, N(1)]
    """Of the tree over all rows that are committed to."""
    memory: Annotated[Bytes32 | None, N(2)] = None
    """Of the tree over all blocks; there just if the challenge has lanes."""
    answer: Annotated[EnvelopeBytes | None, N(3)] = None
    """The enveloped ProofAnswer; an asker for itself needs none."""


class ProofAnswer(Message):
    """Worker, enveloped: what it has computed, on what, and for whom."""

    number: ClassVar[int] = 47
    name: ClassVar[str] = "proof-answer"

    network: Annotated[NetworkText, N(1)]
    asker: Annotated[PeerBytes, N(2)]
    challenge: Annotated[Bytes32, N(3)]
    """SHA-256 of the encoded ProofChallenge."""
    root: Annotated[Bytes32, N(4)]
    memory: Annotated[Bytes32 | None, N(5)] = None
    hardware: Annotated[Bytes32, N(6)]
    """Digest of the GPUs and the processor in its record."""
    devices: Annotated[tuple[Name, ...], Field(min_length=1, max_length=limits.RECORD_GPUS_MAX), N(7)]
    """Names of the GPUs, as in bids, on one of which it computed; or "<peer>/cpu"."""


class ProofAttestation(Message):
    """Verifier, enveloped: how long a worker's answer took, and rows of it that anybody can work out again."""

    number: ClassVar[int] = 48
    name: ClassVar[str] = "proof-attestation"

    network: Annotated[NetworkText, N(1)]
    challenge: Annotated[bytes, Field(min_length=1, max_length=128), N(2)]
    """The encoded ProofChallenge."""
    sent_unix_ms: Annotated[Instant, N(3)]
    elapsed_ms: Annotated[int, Field(ge=0, le=600_000), N(4)]
    """Until the root was there."""
    answer: Annotated[EnvelopeBytes, N(5)]
    """The worker's enveloped ProofAnswer."""
    secret: Annotated[Bytes32, N(6)]
    """What the rows were drawn with."""
    rows: Annotated[
        tuple[ProofRowPart, ...], Field(min_length=1, max_length=limits.PROOF_ROWS_ATTESTED), N(7)
    ]
    """The first that it draws."""


class AttestationRequest(Message):
    """To a worker: show your attestation. To a verifier, by the worker: attest me. The answer is the envelope."""

    number: ClassVar[int] = 49
    name: ClassVar[str] = "attestation-request"

    worker: Annotated[PeerBytes, N(1)]


class OpeningRequest(Message):
    """Show what this secret draws. The answer is Openings; where one does not hold all, another request follows."""

    number: ClassVar[int] = 45
    name: ClassVar[str] = "opening-request"

    root: Annotated[Bytes32, N(1)]
    """Of the worker's answer."""
    secret: Annotated[Bytes32, N(2)]
    """Random; told to nobody before the answer was there."""
    rows: Annotated[int, Field(ge=1, le=limits.PROOF_ROWS_MAX), N(3)]
    """How many are drawn."""
    places: Annotated[int, Field(ge=0, le=limits.PROOF_PLACES_MAX), N(4)]
    """How many blocks of memory are drawn."""
    first: Annotated[int, Field(ge=0, le=limits.PROOF_ROWS_MAX + limits.PROOF_PLACES_MAX), N(5)]
    """Begin with this one of all that are drawn: rows are counted from 0, places go on behind them."""


class Openings(Message):
    """What was drawn, in its order, as much as fits; at least one."""

    number: ClassVar[int] = 46
    name: ClassVar[str] = "openings"

    rows: Annotated[tuple[ProofRowPart, ...], Field(max_length=limits.PROOF_ROWS_MAX), N(1)]
    places: Annotated[tuple[ProofPlacePart, ...], Field(max_length=limits.PROOF_PLACES_MAX), N(2)]
