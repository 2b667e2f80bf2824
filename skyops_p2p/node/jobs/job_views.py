"""What a job shows: frozen models shared by the library, the control API and the command line."""

from skyops_p2p.core.execution.outcomes import OUTCOMES
from skyops_p2p.core.execution.shard_record import ShardState
from skyops_p2p.node.jobs.search_views import SearchView
from skyops_p2p.node.views import View


class GpuLoadView(View):
    """One device at this moment."""

    index: int
    utilisation_permille: int
    memory_mib: int
    power_mw: int
    temperature_c: int


class UsageView(View):
    """What a program has used; None where the runtime cannot tell."""

    wall_ms: int
    cpu_ms: int | None = None
    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    written_bytes: int | None = None
    fuel: int | None = None
    gpu_ms: int | None = None


class AttemptView(View):
    """One lease."""

    epoch: int
    worker: str
    price_microcredits_per_hour: int
    tender_job: str
    """Hex: what `skyops audit` takes."""
    code: str
    """How it ended; empty while it stands."""
    text: str


class CheckpointView(View):
    """One saved checkpoint."""

    sequence: int
    epoch: int
    worker: str
    label: str
    size_bytes: int
    done: int
    total: int
    made_unix_ms: int


class ReplicaView(View):
    """One worker more that computes a shard, to compare results."""

    job_id: str
    """Hex, 32 digits: it is a job of its own, which `skyops ps` does not list."""
    worker: str
    """Empty before it has one."""
    state: str
    """As of a shard."""
    code: str
    """Outcome; empty before the end."""
    round: int
    """0: of the first comparison; each later one was drawn because those before did not decide it."""
    epoch: int
    """Of the shard's lease whose result it was drawn to check."""


class ShardView(View):
    """How one shard stands."""

    index: int
    state: str
    text: str
    """What happened last."""
    code: str
    """Outcome; empty before the end."""
    meaning: str
    """Of the code."""
    change: str
    """What to do about it."""
    epoch: int
    worker: str
    phase: str
    """What the worker is at; empty without a lease."""
    phase_done: int
    phase_total: int
    done: int
    total: int
    metrics: dict[str, float]
    remaining_s: float | None
    estimate_basis: str
    usage: UsageView | None
    gpus: tuple[GpuLoadView, ...]
    attempts: tuple[AttemptView, ...]
    checkpoints: tuple[CheckpointView, ...]
    log_records: int
    is_log_proven: bool | None
    """Whether the log is the one that the worker signed for; None before the end, and where the result is another's."""
    result_bytes: int | None
    exit_code: int | None
    search: SearchView | None = None
    """Its newest search for a worker; None before the first, after a restart, and in a job of many shards."""
    checked: str = ""
    """What came of comparing results: "agreed", "decided", "refereed", "canary" (this node has computed it, too, and
    came to the same); or why it is taken unverified: "no_replica" and "no_budget" (there was nobody, or no money),
    "not_drawn" (spot checks: no lot fell on it), "no_canary" (nobody else computes it, and it is no canary),
    "canary_failed" (this node could not compute it); empty: nothing yet, or nothing is compared."""
    replicas: tuple[ReplicaView, ...] = ()
    """Who else computes it; at most REPLICAS_PER_SHARD_MAX."""
    discrepancy: str = ""
    """Who came to another result, in a sentence; empty: nobody, or nothing was compared."""


class JobView(View):
    """How a job stands."""

    job_id: str
    """Hex, 32 digits."""
    name: str
    state: str
    """"preparing", "waiting", "matching", "opening", "running", "checking", "fetching", "succeeded", "failed" or
    "cancelled"."""
    text: str
    code: str
    meaning: str
    change: str
    submitted_unix_ms: int
    runtime: str
    shards: tuple[ShardView, ...]
    verified: str = ""
    """By how many workers its results were verified, or why not, in words; empty before there is one."""

    @property
    def replica_ids(self) -> tuple[bytes, ...]:
        """Job ids of all that compute a shard once more, 16 bytes each."""
        return tuple(bytes.fromhex(one.job_id) for shard in self.shards for one in shard.replicas)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in ("succeeded", "failed", "cancelled")


class LogLineView(View):
    """One record of a job's log."""

    shard: int
    epoch: int
    number: int
    unix_ms: int
    stream: str
    """"stdout", "stderr" or "skyops": what the worker's node says."""
    text: str
    """What is no UTF-8 is replaced."""


class ResultView(View):
    """Where a result was put."""

    job_id: str
    folder: str
    files: int
    size_bytes: int


class PublishedView(View):
    """Outputs that everybody may read."""

    job_id: str
    cid: str
    """Of the directory: for `ipfs://CID`, and for any IPFS node."""
    files: int
    size_bytes: int
    addrs: tuple[str, ...]
    """Where this node serves them, with its peer id: for `ipfs swarm connect`."""


def meaning_of(code: str) -> tuple[str, str]:
    """Return what an outcome means and what to do about it; empty for none."""
    outcome = OUTCOMES.get(code)
    return (outcome.meaning, outcome.change) if outcome else ("", "")


_ORDER = (
    "failed",
    "cancelled",
    "preparing",
    "waiting",
    "matching",
    "opening",
    "running",
    "checking",
    "fetching",
)


def state_of(shards: tuple[ShardState, ...]) -> str:
    """Return a job's state from those of its shards: the least advanced of what is still open, else how it ended."""
    names = [state.value for state in shards]
    is_open = [name for name in _ORDER[2:] if name in names]
    if is_open:
        return is_open[-1] if "running" in is_open else is_open[0]
    return next(
        (name for name in _ORDER[:2] if name in names), "succeeded" if "succeeded" in names else "waiting"
    )
