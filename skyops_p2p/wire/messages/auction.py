"""Auction messages: tender, answers, sealed bids and the bid book. Spec: protocol/04-auction.md.

A tender and every answer to it is enveloped by its author's node key, so that each can be shown to a third party. A
reveal is not signed: the signed commitment already binds it.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.wire.messages.identity import NetworkText
from skyops_p2p.wire.messages.peering import EnvelopeBytes, Label
from skyops_p2p.wire.model import Bytes16, Bytes32, Count, Instant, Message, N, Name, Part, PeerBytes

Micro = Annotated[int, Field(ge=0, le=1_000_000)]
"""A part of one in millionths: scores and weights are integers so that everybody computes the same."""
Peers = Annotated[tuple[PeerBytes, ...], Field(max_length=limits.TENDER_PEERS_MAX)]
Code = Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
RuntimeName = Literal["wasm", "docker", "native"]
PolicyName = Literal["composite", "wrr", "poc", "vdf"]
ModeName = Literal["priority", "commit", "flex"]


class Needs(Part):
    """What a job needs of one worker; a zero, an empty text or an empty list asks for nothing."""

    runtime: Annotated[RuntimeName, N(1)]
    gpu_models: Annotated[tuple[Name, ...], Field(max_length=16), N(2)]
    """Normalised parts of model names ("a100", "rtx4090"), any of them."""
    gpu_count: Annotated[int, Field(ge=0, le=limits.RECORD_GPUS_MAX), N(3)]
    vram_mib: Annotated[int, Field(ge=0, le=2**24), N(4)]
    """On each GPU."""
    compute_capability: Annotated[str, Field(pattern=r"^(\d{1,2}\.\d)?$"), N(5)]
    """At least this CUDA compute capability, "8.0"."""
    cpu_cores: Annotated[int, Field(ge=0, le=4096), N(6)]
    memory_mib: Annotated[int, Field(ge=0, le=2**30), N(7)]
    disk_mib: Annotated[int, Field(ge=0, le=2**40), N(8)]
    regions: Annotated[tuple[Name, ...], Field(max_length=16), N(9)]
    labels: Annotated[tuple[Label, ...], Field(max_length=16), N(10)]
    """All of them."""
    latency_ms_max: Annotated[int, Field(ge=0, le=60_000), N(11)]
    """Round trip that the requester measures; 0 for any."""
    needs_hard_limits: Annotated[bool, N(12)]
    """The runtime must enforce its limits ("hard")."""


class Weights(Part):
    """What counts how much; the four add up to 1,000,000."""

    price: Annotated[Micro, N(1)]
    reputation: Annotated[Micro, N(2)]
    fit: Annotated[Micro, N(3)]
    latency: Annotated[Micro, N(4)]


class Tender(Message):
    """A job is offered; enveloped by the requester's node key. Its id is the SHA-256 of the envelope."""

    number: ClassVar[int] = 30
    name: ClassVar[str] = "tender"

    requester: Annotated[PeerBytes, N(1)]
    """Must be the envelope's signer."""
    network: Annotated[NetworkText, N(2)]
    job_id: Annotated[Bytes16, N(3)]
    """Random; one requester never signs two different tenders with one (job_id, round)."""
    round: Annotated[int, Field(ge=0, le=limits.TENDER_ROUNDS_MAX), N(4)]
    """0 at first; a widened tender of the same job counts up."""
    issued_unix_ms: Annotated[Instant, N(5)]
    expires_unix_ms: Annotated[Instant, N(6)]
    """After it no answer counts; at most TENDER_LIFETIME_MS_MAX after the issue."""
    spec_digest: Annotated[Bytes32, N(7)]
    """SHA-256 of the canonical job specification, which the winner alone is shown."""
    needs: Annotated[Needs, N(8)]
    mode: Annotated[ModeName, N(9)]
    duration_s_max: Annotated[int, Field(ge=1, le=31_536_000), N(10)]
    """Execution time-out."""
    price_max: Annotated[Count, N(11)]
    """Reserve price: microcredits an hour; no bid above it."""
    price_floor: Annotated[Count, N(12)]
    """A bid at or below it gets the full price score; below price_max."""
    token: Annotated[Name, N(13)]
    weights: Annotated[Weights, N(14)]
    policy: Annotated[PolicyName, N(15)]
    commit_ms: Annotated[int, Field(ge=50, le=30_000), N(16)]
    """Commitments are taken so long after the issue; the window closes early when all invited have answered."""
    reveal_ms: Annotated[int, Field(ge=50, le=30_000), N(17)]
    input_bytes: Annotated[Count, N(18)]
    """Size of the inputs, for the transfer's part of the latency score."""
    reputation_min: Annotated[Micro, N(19)]
    """The gate."""
    allow: Annotated[Peers, N(20)]
    """If not empty, nobody else may bid."""
    deny: Annotated[Peers, N(21)]
    invite_share: Annotated[int, Field(ge=0, le=2**32), N(22)]
    """Of those who hear it by gossip, a node answers if H32(tender id, peer id) is below this; 2**32: all do."""
    seed_digest: Annotated[Bytes32, N(23)]
    """SHA-256 of the secret that the bid book shows: lots are drawn from it, and no bidder can know it in time."""
    tier_mib: Annotated[int, Field(ge=0, le=2**24), N(24)]
    """Bids with at most this GPU memory stand before all others; 0: the smallest memory that is bid stands first."""
    speed_milli_min: Annotated[int, Field(ge=0, le=2**32), N(25)]
    """A bid with this class index or more gets the full speed part of the fit; 0: speed does not count."""
    window_awards: Annotated[Count, N(26)]
    """Awards of the whole network in the last window, for anti-hoarding; 0 switches it off."""
    window_stake: Annotated[Count, N(27)]
    """Stake weight of the whole network, the other half of a bidder's fair share."""


class Bid(Part):
    """What a worker offers; sealed until it is revealed."""

    price: Annotated[Count, N(1)]
    """Microcredits an hour; what is paid (first price)."""
    devices: Annotated[tuple[Name, ...], Field(max_length=limits.RECORD_GPUS_MAX), N(2)]
    """UUIDs of the GPUs reserved, or "<peer>/<index>" of declared ones; each in one bid of the book only."""
    gpu_model: Annotated[Name, N(3)]
    """Of those devices, as the node record has it; empty without a GPU."""
    vram_mib: Annotated[int, Field(ge=0, le=2**24), N(4)]
    """Of each."""
    speed_milli: Annotated[int, Field(ge=0, le=2**32), N(5)]
    """Class index of the devices in thousandths (1000 is the reference class)."""
    cached_permille: Annotated[int, Field(ge=0, le=1000), N(6)]
    """Part of the input bytes that is here already."""
    starts_in_ms: Annotated[int, Field(ge=0, le=86_400_000), N(7)]
    valid_until_unix_ms: Annotated[Instant, N(8)]
    """The capacity is reserved until then."""


class Commit(Message):
    """A sealed bid; enveloped by the bidder's node key."""

    number: ClassVar[int] = 31
    name: ClassVar[str] = "commit"

    tender: Annotated[Bytes32, N(1)]
    commitment: Annotated[Bytes32, N(2)]
    """SHA-256("skyops/bid/1" | tender | bidder | canonical bid | salt)."""
    record_sequence: Annotated[Count, N(3)]
    """The node record that the bid's hardware is in."""


class Decline(Message):
    """An invited worker does not bid, and says why; enveloped by its node key."""

    number: ClassVar[int] = 32
    name: ClassVar[str] = "decline"

    tender: Annotated[Bytes32, N(1)]
    code: Annotated[Code, N(2)]


class CommitAck(Message):
    """The requester has a commitment; enveloped by it. One that is missing from the CommitSet proves censorship."""

    number: ClassVar[int] = 33
    name: ClassVar[str] = "commit-ack"

    commit: Annotated[Bytes32, N(1)]
    """SHA-256 of the commit's envelope."""


class CommitSet(Message):
    """The commitments that count; enveloped by the requester. Nobody reveals before it."""

    number: ClassVar[int] = 34
    name: ClassVar[str] = "commit-set"

    tender: Annotated[Bytes32, N(1)]
    root: Annotated[Bytes32, N(2)]
    """SHA-256 of the concatenated digests of the commit envelopes, ascending."""
    count: Annotated[int, Field(ge=0, le=limits.BOOK_BIDS_MAX), N(3)]
    closed_unix_ms: Annotated[Instant, N(4)]


class Reveal(Message):
    """The opened bid. Unsigned: the commitment binds it."""

    number: ClassVar[int] = 35
    name: ClassVar[str] = "reveal"

    tender: Annotated[Bytes32, N(1)]
    bid: Annotated[Bid, N(2)]
    salt: Annotated[Bytes32, N(3)]


class RevealRequest(Message):
    """The CommitSet, to each whose commitment is in it; the answer is a Reveal. A request, not enveloped."""

    number: ClassVar[int] = 36
    name: ClassVar[str] = "reveal-request"

    commit_set: Annotated[EnvelopeBytes, N(1)]
    digests: Annotated[tuple[Bytes32, ...], Field(max_length=limits.TENDER_BIDS_MAX), N(2)]
    """Digests of the commit envelopes, ascending: what `root` is over."""


class Observation(Part):
    """What the requester measured or read about one bidder before it scored; part of what it signs."""

    bidder: Annotated[PeerBytes, N(1)]
    round_trip_ms: Annotated[int, Field(ge=0, le=60_000), N(2)]
    """Measured by the requester; the limit where it could not be measured."""
    transfer_ms: Annotated[int, Field(ge=0, le=2**32), N(3)]
    """Estimated from the missing input bytes and the measured bandwidth."""
    reputation: Annotated[Micro, N(4)]
    stake_weight: Annotated[Count, N(5)]
    """Weight in lotteries and deficits: stake, in whole units, at least 1."""
    recent_awards: Annotated[Count, N(6)]
    """Awards of the last window, for anti-hoarding and `wrr`."""
    record: Annotated[EnvelopeBytes, N(7)]
    """The bidder's enveloped node record: what the bid's hardware is checked against."""
    throughput: Annotated[Count, N(8)]
    """Proven by challenge, in 10^6 operations a second; the weight of the policy `poc`; 0: nothing proven."""


class Exclusion(Part):
    """A bidder that the hard filter dropped."""

    bidder: Annotated[PeerBytes, N(1)]
    codes: Annotated[tuple[Code, ...], Field(min_length=1, max_length=16), N(2)]


class Score(Part):
    """The parts and the sum of one bid's score, millionths."""

    bidder: Annotated[PeerBytes, N(1)]
    price: Annotated[Micro, N(2)]
    reputation: Annotated[Micro, N(3)]
    fit: Annotated[Micro, N(4)]
    latency: Annotated[Micro, N(5)]
    hoarding: Annotated[Micro, N(6)]
    """Subtracted."""
    total: Annotated[int, Field(ge=-1_000_000, le=1_000_000), N(7)]


class BidBook(Message):
    """All that an award follows from, and the award; enveloped by the requester, named by its digest.

    Anybody re-runs it: `skyops audit`.
    """

    number: ClassVar[int] = 37
    name: ClassVar[str] = "bid-book"
    bytes_max: ClassVar[int] = limits.BOOK_BYTES_MAX
    items_max: ClassVar[int] = limits.BOOK_BIDS_MAX

    tender: Annotated[EnvelopeBytes, N(1)]
    declines: Annotated[tuple[EnvelopeBytes, ...], Field(max_length=limits.BOOK_BIDS_MAX), N(2)]
    commits: Annotated[tuple[EnvelopeBytes, ...], Field(max_length=limits.BOOK_BIDS_MAX), N(3)]
    """In ascending order of their digests."""
    commit_set: Annotated[EnvelopeBytes, N(4)]
    reveals: Annotated[tuple[Reveal, ...], Field(max_length=limits.BOOK_BIDS_MAX), N(5)]
    """In the order of their commits; one that never came is missing."""
    observations: Annotated[tuple[Observation, ...], Field(max_length=limits.BOOK_BIDS_MAX), N(6)]
    """One for each bidder that revealed, ascending by bidder."""
    exclusions: Annotated[tuple[Exclusion, ...], Field(max_length=limits.BOOK_BIDS_MAX), N(7)]
    scores: Annotated[tuple[Score, ...], Field(max_length=limits.BOOK_BIDS_MAX), N(8)]
    """Of those that were not excluded and stand in the chosen tier, best first."""
    ranking: Annotated[tuple[PeerBytes, ...], Field(max_length=limits.BOOK_BIDS_MAX), N(9)]
    """The winner, then the reserves in the order in which they are asked. Empty: nobody qualified."""
    proof: Annotated[bytes, Field(max_length=4096), N(10)]
    """Of the policy: the VDF's output and proof; empty for the others."""
    closed_unix_ms: Annotated[Instant, N(11)]
    seed: Annotated[Bytes32, N(12)]
    """What the tender's `seed_digest` is the SHA-256 of."""


class Award(Message):
    """To a worker that was chosen; enveloped by the requester. The answer is a Confirm."""

    number: ClassVar[int] = 38
    name: ClassVar[str] = "award"

    tender: Annotated[Bytes32, N(1)]
    book: Annotated[Bytes32, N(2)]
    """Digest of the enveloped bid book, which the worker may ask for and audit."""
    winner: Annotated[PeerBytes, N(3)]
    rank: Annotated[int, Field(ge=0, le=limits.BOOK_BIDS_MAX), N(4)]
    """0 for the winner; a reserve's place otherwise."""
    price: Annotated[Count, N(5)]
    """As bid."""
    expires_unix_ms: Annotated[Instant, N(6)]
    """The worker confirms before."""


class Confirm(Message):
    """The worker holds the capacity for the awarded job, or says why not; enveloped by it."""

    number: ClassVar[int] = 39
    name: ClassVar[str] = "award-confirm"

    award: Annotated[Bytes32, N(1)]
    """SHA-256 of the award's envelope."""
    is_accepted: Annotated[bool, N(2)]
    code: Annotated[Code, N(3)]
    """`accepted`, or a decline code."""


class Release(Message):
    """The requester lets a bidder go: its capacity is free again. A request, enveloped by the requester."""

    number: ClassVar[int] = 40
    name: ClassVar[str] = "release"

    tender: Annotated[Bytes32, N(1)]
    code: Annotated[Code, N(2)]
    """`not_chosen`, `withdrawn`, `no_match` or `failed`."""
    book: Annotated[Bytes32 | None, N(3)] = None
    """Digest of the enveloped bid book, which the bidder may ask for and audit; absent where none was built."""


class BookRequest(Message):
    """Give me the bid book of this digest."""

    number: ClassVar[int] = 41
    name: ClassVar[str] = "book-request"

    book: Annotated[Bytes32, N(1)]


class Received(Message):
    """An answer that says no more than that the request was taken."""

    number: ClassVar[int] = 42
    name: ClassVar[str] = "received"
