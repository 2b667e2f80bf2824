"""What survives a restart of the requester: its jobs and how each shard stands. Canonical msgpack in the journal.

The content key and the secrets are sealed to the node's own key, so that a copy of the database opens nothing without
the key file.
"""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.core.execution.faults import Record
from skyops_p2p.core.execution.shard_record import (
    ATTEMPTS_KEPT,
    EXCLUDED_MAX,
    Attempt,
    ShardRecord,
    ShardState,
)
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import NodeKey, peer_id_from_bytes, peer_id_to_bytes
from skyops_p2p.crypto.sealing import open_sealed, seal_to
from skyops_p2p.errors import RemoteProtocolError, StoreError
from skyops_p2p.ports import Entropy, Store
from skyops_p2p.types import PeerId
from skyops_p2p.wire import canonical
from skyops_p2p.wire.messages.execution import HolderPart, InputPart
from skyops_p2p.wire.messages.peering import EnvelopeBytes
from skyops_p2p.wire.model import Bytes16, Bytes32, Count, Instant, N, Part, PeerBytes

JOB_STEM, SHARD_STEM = "job", "shard"
COMPACT_EVERY = 8
"""Older records of a shard are deleted after so many writes."""
_ITEMS_MAX = 4096
Text = Annotated[str, Field(max_length=4096)]


class ReplicaPart(Part):
    """What a replica is of."""

    job_id: Annotated[Bytes16, N(1)]
    shard: Annotated[Count, N(2)]
    round: Annotated[Count, N(3)]
    """0: drawn for the first comparison; each later one because those before did not decide it."""
    place: Annotated[Count, N(4)]
    """Among the replicas of this attempt, in the order in which they were drawn."""
    epoch: Annotated[Count | None, N(5)] = None
    """Of the lease whose result it was drawn to check; absent in records of older versions."""

    @property
    def of_epoch(self) -> int:
        """Which lease's result it checks; where an older version did not say, the first one's."""
        return 1 if self.epoch is None else self.epoch


class JobPart(Part):
    """One job as the journal has it."""

    job_id: Annotated[Bytes16, N(1)]
    spec: Annotated[bytes, Field(max_length=limits.JOB_SPEC_BYTES_MAX), N(2)]
    """Canonical."""
    submitted_unix_ms: Annotated[Instant, N(3)]
    sealed: Annotated[bytes, Field(max_length=256 * 1024), N(4)]
    """Content key and secrets, sealed to this node."""
    base_dir: Annotated[Text, N(5)]
    """Where relative `file:` URIs begin."""
    inputs: Annotated[tuple[InputPart, ...] | None, Field(max_length=limits.JOB_PARTS_MAX + 2), N(6)] = None
    """Sealed inputs; absent until they are."""
    ended_code: Annotated[Text | None, N(7)] = None
    """Set when the job ended before its shards began, or was cancelled."""
    ended_text: Annotated[Text | None, N(8)] = None
    is_warm: Annotated[bool | None, N(9)] = None
    """A pool's job: it ends with the program that opened the pool."""
    gang_attempts: Annotated[Count | None, N(10)] = None
    """How often its gang has come together."""
    replica_of: Annotated[ReplicaPart | None, N(11)] = None
    """It computes one shard of another job once more."""


class _AttemptPart(Part):
    epoch: Annotated[Count, N(1)]
    worker: Annotated[PeerBytes, N(2)]
    price: Annotated[Count, N(3)]
    award: Annotated[Bytes32, N(4)]
    tender_job: Annotated[Bytes16, N(5)]
    code: Annotated[Text, N(6)]
    text: Annotated[Text, N(7)]
    receipt: Annotated[EnvelopeBytes | None, N(8)] = None
    keepers: Annotated[tuple[HolderPart, ...] | None, Field(max_length=limits.HOLDERS_MAX), N(9)] = None
    """Absent in records of older versions."""
    speed_milli: Annotated[Count | None, N(10)] = None
    """Likewise."""
    commit: Annotated[EnvelopeBytes | None, N(11)] = None
    reveal: Annotated[EnvelopeBytes | None, N(12)] = None
    is_spared: Annotated[bool | None, N(13)] = None


class _ShardPart(Part):
    state: Annotated[Text, N(1)]
    epoch: Annotated[Count, N(2)]
    attempts: Annotated[tuple[_AttemptPart, ...], Field(max_length=ATTEMPTS_KEPT), N(3)]
    counted: Annotated[Count, N(4)]
    preemptions: Annotated[Count, N(5)]
    failures: Annotated[Count, N(6)]
    excluded: Annotated[tuple[PeerBytes, ...], Field(max_length=EXCLUDED_MAX), N(7)]
    checkpoints: Annotated[tuple[EnvelopeBytes, ...], Field(max_length=limits.CHECKPOINTS_KEPT), N(8)]
    checkpoint_sequence: Annotated[Count, N(9)]
    result: Annotated[EnvelopeBytes | None, N(10)] = None
    code: Annotated[Text, N(11)]
    text: Annotated[Text, N(12)]
    changed_unix_ms: Annotated[Instant, N(13)]
    checked: Annotated[Text | None, N(14)] = None


@dataclass(frozen=True, slots=True)
class JobSecrets:
    """What only the requester and the winning worker know."""

    content_key: bytes = field(repr=False)
    """32 bytes."""
    secrets: tuple[tuple[str, bytes], ...] = field(repr=False)
    """(name, value), in the order of the specification."""
    draw_secret: bytes = field(repr=False)
    """32 bytes that no worker knows: what its draws of replicas are made with, where results are compared."""


class JobRecords:
    """The jobs of one requester.

    Args:
        store: The node's.
        node_key: Seals what is secret.
        entropy: For sealing.
    """

    def __init__(self, store: Store, node_key: NodeKey, entropy: Entropy) -> None:
        self._store = store
        self._node_key = node_key
        self._entropy = entropy
        self._writes: dict[str, int] = {}

    def seal(self, secrets: JobSecrets) -> bytes:
        """Seal a job's key and secrets to this node."""
        body = canonical.encode(
            {
                1: secrets.content_key,
                2: [[name, value] for name, value in secrets.secrets],
                3: secrets.draw_secret,
            }
        )
        return seal_to(self._node_key.x25519_public, body, ephemeral_secret=self._entropy.token(32))

    def open(self, sealed: bytes) -> JobSecrets:
        """Open them again.

        Raises:
            StoreError: `store_torn`: they are not this node's, or damaged.
        """
        try:
            fields = canonical.decode(open_sealed(self._node_key, sealed), bytes_max=256 * 1024)
        except RemoteProtocolError as error:
            raise _torn("a job's key does not open") from error
        match fields:
            case {1: bytes(key), 2: list(rows), 3: bytes(secret)} if len(key) == len(secret) == 32:
                return JobSecrets(key, tuple((str(name), bytes(value)) for name, value in rows), secret)
            case {1: bytes(key), 2: list(rows)} if (
                len(fields) == 2 and len(key) == 32
            ):  # before there were draws
                values = tuple((str(name), bytes(value)) for name, value in rows)
                return JobSecrets(key, values, sha256(key))
        raise _torn("a job's key is damaged")

    async def save_job(self, job: JobPart) -> None:
        """Write a job; the newest record counts.

        Raises:
            StoreError: It cannot be written.
        """
        await self._append(JOB_STEM, job.job_id.hex(), job)

    async def save_shard(self, job_id: bytes, shard: int, record: ShardRecord, *, now: int) -> None:
        """Write how a shard stands.

        Raises:
            StoreError: It cannot be written.
        """
        await self._append(SHARD_STEM, f"{job_id.hex()}/{shard}", _to_part(record, now))

    async def forget(self, job_id: bytes, shards: int) -> None:
        """Delete a job and its shards.

        Raises:
            StoreError: It cannot be written.
        """
        await self._store.compact(JOB_STEM, job_id.hex(), keep_last=0)
        for shard in range(shards):
            await self._store.compact(SHARD_STEM, f"{job_id.hex()}/{shard}", keep_last=0)

    async def restore(self) -> tuple[dict[bytes, JobPart], dict[tuple[bytes, int], ShardRecord], int]:
        """Read all jobs, all shards, and how many entries could not be read.

        Raises:
            StoreError: The journal cannot be read.
        """
        jobs: dict[bytes, JobPart] = {}
        shards: dict[tuple[bytes, int], ShardRecord] = {}
        unreadable = 0
        for entry in await self._store.entries(JOB_STEM):
            try:
                job = JobPart.from_wire(_decode(entry.body))
            except RemoteProtocolError:
                unreadable += 1
                continue
            jobs.pop(job.job_id, None)
            jobs[job.job_id] = job
        for entry in await self._store.entries(SHARD_STEM):
            try:
                record = _from_part(_ShardPart.from_wire(_decode(entry.body)))
                job_hex, _, index = entry.key.partition("/")
                shards[bytes.fromhex(job_hex), int(index)] = record
            except (RemoteProtocolError, ValueError):
                unreadable += 1
        return jobs, shards, unreadable

    async def _append(self, stem: str, key: str, part: Part) -> None:
        await self._store.append(stem, key, canonical.encode(part.to_wire(), items_max=_ITEMS_MAX))
        count = self._writes[key] = self._writes.get(key, 0) + 1
        if count % COMPACT_EVERY == 0:
            await self._store.compact(stem, key, keep_last=1)


def _decode(body: bytes) -> object:
    return canonical.decode(body, bytes_max=limits.JOURNAL_ENTRY_BYTES_MAX, items_max=_ITEMS_MAX)


def _to_part(record: ShardRecord, now: int) -> _ShardPart:
    attempts = tuple(
        _AttemptPart(
            epoch=one.epoch,
            worker=peer_id_to_bytes(one.worker),
            price=one.price,
            award=one.award,
            tender_job=one.tender_job,
            code=one.code,
            text=one.text,
            receipt=one.receipt,
            keepers=one.keepers or None,
            speed_milli=one.speed_milli or None,
            commit=one.commit,
            reveal=one.reveal,
            is_spared=one.is_spared or None,
        )
        for one in record.attempts
    )
    return _ShardPart(
        state=record.state.value,
        epoch=record.epoch,
        attempts=attempts,
        counted=record.tally.attempts,
        preemptions=record.tally.preemptions,
        failures=record.tally.failures_in_row,
        excluded=tuple(peer_id_to_bytes(peer) for peer in record.excluded),
        checkpoints=record.checkpoints,
        checkpoint_sequence=record.checkpoint_sequence,
        result=record.result,
        code=record.code,
        text=record.text,
        changed_unix_ms=now,
        checked=record.checked or None,
    )


def _from_part(part: _ShardPart) -> ShardRecord:
    attempts = tuple(
        Attempt(
            one.epoch,
            _peer(one.worker),
            one.price,
            one.award,
            one.tender_job,
            code=one.code,
            text=one.text,
            receipt=one.receipt,
            keepers=one.keepers or (),
            speed_milli=one.speed_milli or 0,
            commit=one.commit,
            reveal=one.reveal,
            is_spared=bool(one.is_spared),
        )
        for one in part.attempts
    )
    return ShardRecord(
        state=ShardState(part.state),
        epoch=part.epoch,
        attempts=attempts,
        tally=Record(part.counted, part.preemptions, part.failures),
        excluded=tuple(_peer(peer) for peer in part.excluded),
        checkpoints=part.checkpoints,
        checkpoint_sequence=part.checkpoint_sequence,
        result=part.result,
        code=part.code,
        text=part.text,
        checked=part.checked or "",
    )


def _peer(data: bytes) -> PeerId:
    return PeerId(peer_id_from_bytes(data))


def _torn(text: str) -> StoreError:
    return StoreError(
        text,
        code="store_torn",
        hint="It was written by another node, or the disk is damaged: restore a copy.",
    )
