"""Execution messages: what two parties of a lease say inside their session. Spec: protocol/05-execution.md.

They travel sealed in a session (chapter 01), so most are not signed. What has to convince somebody else later, a
checkpoint's receipt and a result's, is enveloped by the worker's node key.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from skyops_p2p import limits
from skyops_p2p.wire.messages.auction import Code
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.gang import GangPart
from skyops_p2p.wire.messages.identity import NetworkText
from skyops_p2p.wire.messages.peering import AddrText, EnvelopeBytes
from skyops_p2p.wire.model import Bytes16, Bytes32, Count, Instant, Message, N, Name, Part, PeerBytes

Epoch = Annotated[int, Field(ge=1, le=2**31)]
"""The fencing token: each lease of one shard has the next number."""
Shard = Annotated[int, Field(ge=0, le=limits.JOB_SHARDS_MAX - 1)]
Shards = Annotated[int, Field(ge=1, le=limits.JOB_SHARDS_MAX)]
VariableText = Annotated[str, Field(min_length=1, max_length=128)]
PathText = Annotated[str, Field(min_length=1, max_length=1024)]
Sentence = Annotated[str, Field(max_length=256)]
Phase = Literal["fetching", "preparing", "running", "paused", "stopping", "collecting", "delivering"]
ExitName = Literal[
    "exited",
    "signalled",
    "out_of_memory",
    "out_of_disk",
    "timed_out",
    "out_of_fuel",
    "stopped",
    "trapped",
    "not_started",
    "lost",
    "none",
]
"""How the program ended; "none": it never ran."""


class InputPart(Part):
    """Data for the program: an encrypted bundle, and where its tree is put."""

    path: Annotated[PathText, N(1)]
    bundle: Annotated[BundleRef, N(2)]
    is_file: Annotated[bool, N(3)]
    """The bundle's one file stands at `path` itself."""


class SecretPart(Part):
    """A secret for the winning worker alone."""

    name: Annotated[VariableText, N(1)]
    value: Annotated[bytes, Field(max_length=limits.SECRET_BYTES_MAX, repr=False), N(2)]
    path: Annotated[PathText | None, N(3)] = None
    """The file to put it into; absent: the environment variable of its name."""


class HolderPart(Part):
    """A node that has, or should have, a job's bundles."""

    peer: Annotated[PeerBytes, N(1)]
    addrs: Annotated[tuple[AddrText, ...], Field(max_length=limits.ADDRS_PER_PEER_MAX), N(2)]


class LeaseOpen(Message):
    """Requester: begin the job that was awarded."""

    number: ClassVar[int] = 50
    name: ClassVar[str] = "lease-open"
    bytes_max: ClassVar[int] = limits.LEASE_OPEN_BYTES_MAX

    award: Annotated[Bytes32, N(1)]
    """Digest of the enveloped Award."""
    job_id: Annotated[Bytes16, N(2)]
    shard: Annotated[Shard, N(3)]
    shards: Annotated[Shards, N(4)]
    epoch: Annotated[Epoch, N(5)]
    spec: Annotated[bytes, Field(max_length=limits.JOB_SPEC_BYTES_MAX), N(6)]
    """Canonical; its digest is the tender's `spec_digest`."""
    content_key: Annotated[Bytes32, Field(repr=False), N(7)]
    """Opens the inputs and checkpoints, seals outputs, checkpoints and logs; for this lease, in memory only."""
    inputs: Annotated[tuple[InputPart, ...], Field(max_length=limits.JOB_PARTS_MAX + 1), N(8)]
    secrets: Annotated[tuple[SecretPart, ...], Field(max_length=limits.JOB_PARTS_MAX), N(9)]
    resume: Annotated[EnvelopeBytes | None, N(10)] = None
    """The enveloped CheckpointReceipt to go on from."""
    ttl_ms: Annotated[int, Field(ge=1_000, le=86_400_000), N(11)]
    """The worker stops when it has not heard from the requester for so long."""
    holders: Annotated[tuple[HolderPart, ...], Field(max_length=limits.HOLDERS_MAX), N(12)]
    """Where the bundles can be fetched, besides the requester."""
    replicas: Annotated[tuple[HolderPart, ...], Field(max_length=limits.HOLDERS_MAX), N(13)]
    """Who is asked to keep copies of checkpoints and logs."""
    is_warm: Annotated[bool, N(14)]
    """The lease takes tasks one after the other (TaskStart) instead of running the command once."""
    gang: Annotated[GangPart | None, N(15)] = None
    """Given just if the specification asks for a gang."""
    draw: Annotated[Bytes32 | None, N(16)] = None
    """Given just if results are compared (chapter 06): commits the requester to its part of the draw of replicas."""


class LeaseAttach(Message):
    """Requester: the session broke, or this node was restarted; go on with the lease."""

    number: ClassVar[int] = 51
    name: ClassVar[str] = "lease-attach"

    job_id: Annotated[Bytes16, N(1)]
    shard: Annotated[Shard, N(2)]
    epoch: Annotated[Epoch, N(3)]
    log_next: Annotated[Count, N(4)]
    """Number of the first log record that the requester lacks."""


class LeaseReady(Message):
    """Worker: the lease stands; the answer to LeaseOpen and LeaseAttach."""

    number: ClassVar[int] = 52
    name: ClassVar[str] = "lease-ready"

    epoch: Annotated[Epoch, N(1)]
    phase: Annotated[Phase, N(2)]
    log_count: Annotated[Count, N(3)]
    """Log records so far."""


class LeaseRefused(Message):
    """Worker: there is no such lease, and why; the session ends."""

    number: ClassVar[int] = 53
    name: ClassVar[str] = "lease-refused"

    code: Annotated[Code, N(1)]
    text: Annotated[Sentence, N(2)]


class Beat(Message):
    """Requester: it is there."""

    number: ClassVar[int] = 54
    name: ClassVar[str] = "lease-beat"

    epoch: Annotated[Epoch, N(1)]
    log_next: Annotated[Count, N(2)]
    """All log records below are safe with the requester."""


class MetricPart(Part):
    """One figure that the program told with its progress."""

    name: Annotated[Name, N(1)]
    millionths: Annotated[int, Field(ge=-(2**53), le=2**53), N(2)]


class GpuLoadPart(Part):
    """One device at this moment."""

    index: Annotated[int, Field(ge=0, le=limits.RECORD_GPUS_MAX), N(1)]
    utilisation_permille: Annotated[int, Field(ge=0, le=1000), N(2)]
    memory_mib: Annotated[int, Field(ge=0, le=2**24), N(3)]
    power_mw: Annotated[int, Field(ge=0, le=2**31), N(4)]
    temperature_c: Annotated[int, Field(ge=-100, le=255), N(5)]


class UsagePart(Part):
    """What the program has used since its start; absent where the runtime cannot tell."""

    wall_ms: Annotated[Count, N(1)]
    cpu_ms: Annotated[Count | None, N(2)] = None
    memory_bytes: Annotated[Count | None, N(3)] = None
    memory_peak_bytes: Annotated[Count | None, N(4)] = None
    written_bytes: Annotated[Count | None, N(5)] = None
    fuel: Annotated[Count | None, N(6)] = None
    gpu_ms: Annotated[Count | None, N(7)] = None
    """Integral of the devices' utilisation."""


class WorkerBeat(Message):
    """Worker: it is there, and how the job stands."""

    number: ClassVar[int] = 55
    name: ClassVar[str] = "worker-beat"

    epoch: Annotated[Epoch, N(1)]
    sequence: Annotated[Count, N(2)]
    phase: Annotated[Phase, N(3)]
    phase_done: Annotated[Count, N(4)]
    """Bytes of the phase's transfer that are done, where it has one."""
    phase_total: Annotated[Count, N(5)]
    done: Annotated[Count, N(6)]
    """Progress as the program tells it; of `total`, 0 where it tells none."""
    total: Annotated[Count, N(7)]
    metrics: Annotated[tuple[MetricPart, ...], Field(max_length=limits.PROGRESS_METRICS_MAX), N(8)]
    usage: Annotated[UsagePart | None, N(9)] = None
    gpus: Annotated[tuple[GpuLoadPart, ...], Field(max_length=limits.RECORD_GPUS_MAX), N(10)]


class LogPart(Part):
    """One piece of output."""

    unix_ms: Annotated[Instant, N(1)]
    stream: Annotated[Literal["stdout", "stderr", "skyops"], N(2)]
    """"skyops": what the worker's node says of the run itself."""
    data: Annotated[bytes, Field(max_length=limits.LOG_CHUNK_BYTES_MAX), N(3)]


class LogBatch(Message):
    """Worker: output of the program, in order, without gaps."""

    number: ClassVar[int] = 56
    name: ClassVar[str] = "log-batch"
    bytes_max: ClassVar[int] = limits.LOG_BATCH_BYTES_MAX + 32 * 1024

    epoch: Annotated[Epoch, N(1)]
    first: Annotated[Count, N(2)]
    """Number of the first record; the first of all is 0."""
    head: Annotated[Bytes32, N(3)]
    """Hash chain before the first record."""
    records: Annotated[tuple[LogPart, ...], Field(max_length=limits.LOG_BATCH_RECORDS_MAX), N(4)]


class CheckpointReceipt(Message):
    """Worker, enveloped: this was computed up to here, by whom, for whom."""

    number: ClassVar[int] = 57
    name: ClassVar[str] = "checkpoint-receipt"

    network: Annotated[NetworkText, N(1)]
    requester: Annotated[PeerBytes, N(2)]
    worker: Annotated[PeerBytes, N(3)]
    job_id: Annotated[Bytes16, N(4)]
    shard: Annotated[Shard, N(5)]
    epoch: Annotated[Epoch, N(6)]
    sequence: Annotated[Count, N(7)]
    """Counts the checkpoints of the shard over all epochs, from 1."""
    previous: Annotated[Bytes32, N(8)]
    """Digest of the receipt that this one follows, over all epochs; zero for the first."""
    bundle: Annotated[BundleRef, N(9)]
    label: Annotated[Name, N(10)]
    """Name that the program gave it."""
    done: Annotated[Count, N(11)]
    total: Annotated[Count, N(12)]
    wall_ms: Annotated[Count, N(13)]
    """Of the program in this epoch."""
    log_count: Annotated[Count, N(14)]
    log_head: Annotated[Bytes32, N(15)]
    logs: Annotated[BundleRef | None, N(16)] = None
    """The newest sealed log segment of this epoch; it names the one before."""
    made_unix_ms: Annotated[Instant, N(17)]


class CheckpointSaved(Message):
    """Worker: a checkpoint can be fetched."""

    number: ClassVar[int] = 58
    name: ClassVar[str] = "checkpoint-saved"

    receipt: Annotated[EnvelopeBytes, N(1)]
    """Enveloped CheckpointReceipt."""


class ResultReceipt(Message):
    """Worker, enveloped: how the job ended in this lease, and what it used."""

    number: ClassVar[int] = 59
    name: ClassVar[str] = "result-receipt"

    network: Annotated[NetworkText, N(1)]
    requester: Annotated[PeerBytes, N(2)]
    worker: Annotated[PeerBytes, N(3)]
    job_id: Annotated[Bytes16, N(4)]
    shard: Annotated[Shard, N(5)]
    epoch: Annotated[Epoch, N(6)]
    award: Annotated[Bytes32, N(7)]
    spec_digest: Annotated[Bytes32, N(8)]
    code: Annotated[Code, N(9)]
    """`succeeded`, or why not."""
    exit_kind: Annotated[ExitName, N(10)]
    exit_code: Annotated[int | None, Field(ge=0, le=255), N(11)] = None
    signal: Annotated[int | None, Field(ge=1, le=64), N(12)] = None
    text: Annotated[Sentence, N(13)]
    outputs: Annotated[BundleRef | None, N(14)] = None
    log_count: Annotated[Count, N(15)]
    log_head: Annotated[Bytes32, N(16)]
    logs: Annotated[BundleRef | None, N(17)] = None
    """The newest sealed log segment of this epoch."""
    usage: Annotated[UsagePart, N(18)]
    started_unix_ms: Annotated[Instant, N(19)]
    ended_unix_ms: Annotated[Instant, N(20)]


class ResultReady(Message):
    """Worker: the run is over; sent again after each attach until it is acknowledged."""

    number: ClassVar[int] = 60
    name: ClassVar[str] = "result-ready"

    receipt: Annotated[EnvelopeBytes, N(1)]
    """Enveloped ResultReceipt."""
    reveal: Annotated[EnvelopeBytes | None, N(2)] = None
    """Enveloped ResultReveal; given just if the result was committed to before (chapter 06)."""


class ResultTaken(Message):
    """Requester: receipt and outputs are stored; the worker may forget them."""

    number: ClassVar[int] = 61
    name: ClassVar[str] = "result-taken"

    receipt: Annotated[Bytes32, N(1)]
    """Digest of the enveloped receipt."""


class LeaseStop(Message):
    """Requester: end the run (`cancelled`, `superseded`, `over_budget`, `gang_broken`)."""

    number: ClassVar[int] = 62
    name: ClassVar[str] = "lease-stop"

    epoch: Annotated[Epoch, N(1)]
    code: Annotated[Code, N(2)]
    grace_ms: Annotated[int, Field(ge=0, le=3_600_000), N(3)]


class PreemptionNotice(Message):
    """Worker: the run will be stopped, and why, so that another worker can be looked for meanwhile."""

    number: ClassVar[int] = 63
    name: ClassVar[str] = "preemption-notice"

    epoch: Annotated[Epoch, N(1)]
    code: Annotated[Code, N(2)]
    grace_ms: Annotated[int, Field(ge=0, le=3_600_000), N(3)]


class TaskStart(Message):
    """Requester, on a warm lease: run one task."""

    number: ClassVar[int] = 64
    name: ClassVar[str] = "task-start"
    bytes_max: ClassVar[int] = limits.TASK_MESSAGE_BYTES_MAX

    epoch: Annotated[Epoch, N(1)]
    task: Annotated[Count, N(2)]
    """Rises; a number seen before is not run again."""
    arguments: Annotated[tuple[Annotated[str, Field(max_length=8192)], ...], Field(max_length=64), N(3)]
    stdin: Annotated[bytes, Field(max_length=limits.TASK_BYTES_MAX), N(4)]


class TaskEnded(Message):
    """Worker, on a warm lease: how one task ended."""

    number: ClassVar[int] = 65
    name: ClassVar[str] = "task-ended"
    bytes_max: ClassVar[int] = limits.TASK_MESSAGE_BYTES_MAX

    epoch: Annotated[Epoch, N(1)]
    task: Annotated[Count, N(2)]
    exit_kind: Annotated[ExitName, N(3)]
    exit_code: Annotated[int | None, Field(ge=0, le=255), N(4)] = None
    stdout: Annotated[bytes, Field(max_length=limits.TASK_BYTES_MAX), N(5)]
    stderr: Annotated[bytes, Field(max_length=limits.LOG_CHUNK_BYTES_MAX), N(6)]
    """Its end."""
    wall_us: Annotated[Count, N(7)]
