"""The tables of a job specification. Pure. Spec: docs/jobs.md."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator

from skyops_p2p import limits
from skyops_p2p.core.jobs import sizes
from skyops_p2p.core.jobs.fields import (
    Credits,
    Duration,
    Host,
    Label,
    Matching,
    PeerText,
    Region,
    SandboxPath,
    Section,
    Share,
    Size,
    Uri,
    VariableName,
    form_of,
)
from skyops_p2p.wire.messages.auction import ModeName, PolicyName
from skyops_p2p.wire.messages.settlement import VerificationName

GpuModel = Annotated[
    str,
    Matching(
        r"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,63}", 'allowed is part of a GPU model\'s name, such as "RTX 4090"'
    ),
]
Capability = Annotated[
    str, Matching(r"([0-9]{1,2}\.[0-9])?", 'allowed is a CUDA compute capability such as "8.0"')
]
PartsTuple = Field((), max_length=limits.JOB_PARTS_MAX, strict=False)


class GpuNeed(Section):
    """GPUs of one worker: all equal, each with what is asked for."""

    count: int = Field(1, ge=0, le=limits.RECORD_GPUS_MAX)
    """How many; 0 for a job without a GPU."""
    models: tuple[GpuModel, ...] = Field((), max_length=16, strict=False)
    """Parts of model names, any of which will do; case, spaces and dashes are ignored. Empty: any model."""
    vram: Size = 0
    """Memory of each; a whole number of Gi stands for the class of cards sold under it."""
    compute_capability: Capability = ""
    """At least this CUDA compute capability."""

    @model_validator(mode="after")
    def _count_fits(self) -> Self:
        if self.count == 0 and (self.models or self.vram or self.compute_capability):
            raise ValueError("count is 0, so models, vram and compute_capability ask for nothing")
        return self


def _short_gpu(value: Any, info: ValidationInfo) -> Any:
    if form_of(info) == "canonical" or isinstance(value, (dict, GpuNeed)):
        return value
    if not isinstance(value, (str, int)):
        raise ValueError(sizes.GPU_WORDS)
    count, models = sizes.parse_gpu(value)
    return {"count": count, "models": models}


def _short_network(value: Any) -> Any:
    """Read "none" as no host at all."""
    if isinstance(value, str):
        if value != "none":
            raise ValueError('allowed is "none" or a list of hosts such as ["data.example.org:443"]')
        return ()
    return value


class Resources(Section):
    """What one shard needs of its worker."""

    gpu: Annotated[GpuNeed, BeforeValidator(_short_gpu, json_schema_input_type=GpuNeed | str | int)] = (
        GpuNeed(count=0)
    )
    """A table, or short: "1xRTX4090", "2xH100|A100" (either), a count."""
    cpu: int = Field(1, ge=1, le=4096)
    """CPU cores."""
    memory: Size = 1 << 30
    disk: Size = 4 << 30
    network: Annotated[
        tuple[Host, ...],
        Field(max_length=limits.JOB_PARTS_MAX, strict=False),
        BeforeValidator(_short_network, json_schema_input_type=Literal["none"] | tuple[Host, ...]),
    ] = ()
    """Hosts that the job may connect to; "none" or an empty list: no network at all. No runtime lets a program reach
    any, so a job that names some is refused by all workers."""


class Input(Section):
    """Data that is there before the job starts."""

    path: SandboxPath
    """Where the job finds it, read-only."""
    uri: Uri
    """Where it comes from: file:, ipfs://, cid: or job:ID/path (job:ID: all that it left)."""
    size: Size | None = None
    """How large it is, if known: counts for the latency score of far workers."""


class Output(Section):
    """Data that is kept after the job."""

    path: SandboxPath
    """Where the job leaves it; a directory is kept as a whole."""
    uri: Uri | None = None
    """Where it goes besides; None: it is kept by content and fetched with the result."""
    is_required: bool = True
    """Without it the job has failed."""


class Secret(Section):
    """A value that only the winning worker gets, sealed to it; it is in no tender, no log and no error."""

    name: VariableName
    """Its name; the job finds it in the environment variable of that name, or in a file."""
    source: Annotated[
        str,
        Matching(
            r"(env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:[^\x00]{1,1024})?",
            'allowed is "env:VARIABLE" or "file:PATH"',
        ),
    ] = ""
    """Where this machine finds the value when the job is submitted; empty: the environment variable of its name.
    It is not told to the worker."""
    path: SandboxPath | None = None
    """Put the value into this file instead of the environment."""
    value: SecretStr | None = Field(None, exclude=True, repr=False)
    """The value itself: in Python only."""

    @field_validator("value", mode="before")
    @classmethod
    def _not_in_files(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and form_of(info):
            raise ValueError('no value stands here: write source = "env:VARIABLE" or "file:PATH"')
        return value


_TERMS: dict[str, dict[str, Any]] = {
    "priority": {"is_renewed": False},
    "commit": {"term": 30 * 86_400},
    "flex": {"notice": 30, "preemptions_max": 3},
}
"""Mode -> its terms with their defaults."""


class Mode(Section):
    """How the worker is held, and at what terms; fixed when the job is created. What of it nodes act on today says
    docs/modes-and-prices.md."""

    kind: ModeName = "priority"
    """"priority": exclusive, never preempted; "commit": prepaid for a term; "flex": cheap, may be preempted."""
    is_renewed: bool | None = None
    """priority: renewed by itself when the execution time-out is over."""
    term: Duration | None = None
    """commit: how long the worker is reserved."""
    notice: Duration | None = None
    """flex: at least this long between the notice and the preemption."""
    preemptions_max: Annotated[int, Field(ge=0, le=100)] | None = None
    """flex: after so many preemptions the job is left alone."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, value: Any, info: ValidationInfo) -> Any:
        """Read the short form "flex"; give the terms of the mode their defaults."""
        if form_of(info) == "canonical":
            return value
        named = {"kind": value} if isinstance(value, str) else value
        if not isinstance(named, dict):
            return named
        defaults = _TERMS.get(str(named.get("kind", "priority")), {})
        return {name: term for name, term in defaults.items() if named.get(name) is None} | named

    @model_validator(mode="after")
    def _own_terms(self) -> Self:
        strange = [
            name
            for kind, terms in _TERMS.items()
            for name in terms
            if kind != self.kind and getattr(self, name) is not None
        ]
        if strange:
            raise ValueError(f"{' and '.join(strange)} cannot stand in mode {self.kind}")
        return self


def _short_price(value: Any, info: ValidationInfo) -> Any:
    if form_of(info) != "canonical" and isinstance(value, (str, int, float)):
        return {"per_hour_max": value}
    return value


TokenName = Annotated[str, Matching(r"[A-Za-z0-9]{1,16}", 'allowed is a token such as "SKYOPS" or "ETH"')]


class Price(Section):
    """What the job may cost; short: only the ceiling an hour."""

    per_hour_max: Credits = 10 * sizes.MICRO
    """Credits for one hour of one shard; no bid above it counts."""
    total_max: Credits | None = None
    """Credits for the whole job with all shards and attempts; None: no bound of its own."""
    token: TokenName = Field("SKYOPS")
    """What it is paid in."""


class Timeouts(Section):
    """How long each stage may take."""

    queue: Duration = 600
    """Looking for a worker, with all rounds."""
    execution: Annotated[Duration, Field(ge=1)] = 3600
    """One attempt on one worker."""
    total: Duration | None = None
    """From the submission to the end; None: no bound of its own."""


ExitCode = Annotated[int, Field(ge=1, le=255)]


class Retry(Section):
    """What is tried again, and how often."""

    attempts_max: int = Field(3, ge=1, le=limits.JOB_ATTEMPTS_MAX)
    """Attempts altogether; 1: no second one."""
    exit_codes: tuple[ExitCode, ...] = Field((75,), max_length=limits.JOB_PARTS_MAX, strict=False)
    """Exit codes that are worth another attempt; 75 is how a program asks for it (EX_TEMPFAIL)."""
    is_after_loss: bool = True
    """Also when the worker was lost."""
    pause: Duration = 5
    """Before the next attempt."""


class Checkpoint(Section):
    """Where the job leaves what it can resume from."""

    path: SandboxPath = "/checkpoint"
    interval: Annotated[Duration, Field(ge=1)] = 300
    """A completed checkpoint is saved this often; with `stride` each is, as soon as it is there."""
    stride: int | None = Field(None, ge=1, le=limits.CHAIN_STEPS_MAX)
    """Steps between two checkpoints, of which all are kept, named by their step: then two results that differ can be
    decided by running the steps between two of them again. None: they come when they come."""


CheckName = Literal["adaptive"]


def _short_check(value: Any, info: ValidationInfo) -> Any:
    """Read "always", which is what is meant where nothing is said."""
    return None if value == "always" and form_of(info) != "canonical" else value


def _no_canaries(value: Any, info: ValidationInfo) -> Any:
    """Read 0, which is what is meant where nothing is said."""
    is_none = value == 0 and not isinstance(value, bool) and form_of(info) != "canonical"
    return None if is_none else value


class Verification(Section):
    """How results are checked."""

    kind: VerificationName = Field("interactive", alias="class")
    """"exact": byte for byte; "numeric": within `tolerance`; "generation" (language models), "training" and
    "interactive": results are not compared."""
    redundancy: int = Field(1, ge=1, le=7)
    """Workers that compute the same; they do not know of each other."""
    check: Annotated[
        CheckName | None,
        BeforeValidator(_short_check, json_schema_input_type=Literal["always", "adaptive"] | None),
    ] = None
    """"always" (also if left out): all results are computed by as many workers as `redundancy` says; "adaptive": the
    first worker's alone, unless a lot falls on it, more often the less its worker is known. `redundancy` is 2 then, if
    nothing else is said."""
    tolerance: Share = 0
    """numeric: largest relative difference."""
    canaries: Annotated[
        Annotated[int, Field(ge=1, le=limits.CANARIES_MAX)] | None,
        BeforeValidator(
            _no_canaries, json_schema_input_type=Annotated[int, Field(ge=0, le=limits.CANARIES_MAX)] | None
        ),
    ] = None
    """exact, wasm: so many shards, which nobody knows, this machine computes, too, and compares; 0 (also if left out):
    none. It needs no second worker for that."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, value: Any, info: ValidationInfo) -> Any:
        """Have two workers compute what is checked, if nothing else is said."""
        if form_of(info) == "canonical" or not isinstance(value, dict):
            return value
        is_open = value.get("check") == "adaptive" and value.get("redundancy") is None
        return {**value, "redundancy": 2} if is_open else value


class Placement(Section):
    """Which nodes may run the job."""

    regions: tuple[Region, ...] = Field((), max_length=16, strict=False)
    """Any of them; empty: everywhere."""
    latency_ms_max: int = Field(0, ge=0, le=60_000)
    """Round trip in milliseconds as this node measures it; 0: any."""
    labels: tuple[Label, ...] = Field((), max_length=16, strict=False)
    """All of them."""
    allow: tuple[PeerText, ...] = Field((), max_length=limits.JOB_PEERS_MAX, strict=False)
    """If not empty, nobody else is asked."""
    deny: tuple[PeerText, ...] = Field((), max_length=limits.JOB_PEERS_MAX, strict=False)
    """Never asked."""
    data_locality: Share = sizes.MICRO // 2
    """How much it counts that inputs are there already, 0 to 1. No node acts on it yet."""
    hard_limits: bool = False
    """Only runtimes that enforce their limits."""
    reputation_min: Share = 0
    """Only workers with at least this reputation, 0 to 1; 0: the usual gate, 0.4. With less than that workers are taken
    whose stake does not cover the job, too."""
    stake_min: Credits = 0
    """Only workers whose wallet has at least so many SKYOPS at stake; 0: any. A node without contracts finds none."""


class Award(Section):
    """By which rule the winner is chosen; the four weights add up to 1."""

    policy: PolicyName = "composite"
    price: Share = 400_000
    reputation: Share = 300_000
    fit: Share = 200_000
    latency: Share = 100_000

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.price + self.reputation + self.fit + self.latency
        if total != sizes.MICRO:
            raise ValueError(
                "the weights price, reputation, fit and latency add up to "
                f"{sizes.millionths_text(total)}; allowed is 1"
            )
        return self


PriceField = Annotated[Price, BeforeValidator(_short_price, json_schema_input_type=Price | str | float)]
