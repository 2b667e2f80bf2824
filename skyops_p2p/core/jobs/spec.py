"""The job specification: one model for TOML, YAML, JSON and Python. Pure. Spec: docs/jobs.md.

    spec = JobSpec(image="python:3.12", command="python train.py", resources={"gpu": "1xRTX4090"})

Every default is in the model, so that the canonical form (core/jobs/encoding.py) of a job never depends on a version's
defaults. The published short form (`input_data`, `output_dest`) is read too.
"""

import shlex
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from skyops_p2p import limits
from skyops_p2p.core.jobs.fields import (
    Deadline,
    JobReference,
    Matching,
    Section,
    VariableName,
    Word,
    form_of,
)
from skyops_p2p.core.jobs.parts import (
    Award,
    Checkpoint,
    Input,
    Mode,
    Output,
    Placement,
    Price,
    PriceField,
    Resources,
    Retry,
    Secret,
    Timeouts,
    Verification,
)
from skyops_p2p.wire.messages.auction import RuntimeName

ARCHIVE_SCHEMES = ("file:", "cid:", "ipfs:", "job:")
"""Beginnings of an image that is a tar: an input like others, instead of a name that the engine pulls."""
COMMAND_WORDS = "allowed is a command as a text with balanced quotes, or as a list of texts"


def _split(value: Any, info: ValidationInfo) -> Any:
    """Split a command that is one text as a POSIX shell would, without expanding anything."""
    if form_of(info) == "canonical" or not isinstance(value, str):
        return value
    if len(value) > limits.JOB_TEXT_CHARS_MAX:
        raise ValueError(f"{COMMAND_WORDS}, of at most {limits.JOB_TEXT_CHARS_MAX} characters")
    try:
        return tuple(shlex.split(value))
    except ValueError as error:
        raise ValueError(COMMAND_WORDS) from error


def _named(value: Any, info: ValidationInfo) -> Any:
    """Read a secret that is only a name."""
    if form_of(info) == "canonical" or not isinstance(value, (list, tuple)):
        return value
    return tuple({"name": item} if isinstance(item, str) else item for item in value)


Words = Annotated[tuple[Word, ...], Field(max_length=limits.JOB_WORDS_MAX, strict=False)]
Secrets = Annotated[
    tuple[Secret, ...],
    Field(max_length=limits.JOB_PARTS_MAX, strict=False),
    BeforeValidator(_named, json_schema_input_type=tuple[Secret | VariableName, ...]),
]


class JobSpec(Section):
    """A job: what to run, on what, for how much, and how it is checked."""

    name: Annotated[
        str,
        Matching(
            r"[a-z0-9][a-z0-9_-]{0,63}",
            "allowed is a name of at most 64 lower-case letters, digits, - and _, not beginning with - or _",
        ),
    ] = "job"
    """For people, and for other jobs of the same graph."""
    runtime: RuntimeName = "docker"
    """"docker", "wasm" or "native"; if left out, "wasm" with a module, else "docker"."""
    image: Annotated[
        str,
        Matching(
            r"([a-z0-9][A-Za-z0-9._:/@-]{0,254})?", 'allowed is an image such as "pytorch/pytorch:latest"'
        ),
    ] = ""
    """docker: the container image; with "@sha256:…" it cannot change under the job. "file:image.tar", as `docker save`
    writes it, travels with the job; so does a root file system for native, as `docker export` writes it."""
    module: Annotated[
        str, Matching(r"((file|cid|ipfs|job):[^\s\x00]{1,1024})?", 'allowed is a URI such as "file:job.wasm"')
    ] = ""
    """wasm: URI of the module."""
    entry_point: Annotated[
        str, Matching(r"[A-Za-z0-9_.$-]{0,128}", "allowed is the name of an exported function")
    ] = ""
    """wasm: the exported function to call; empty: `_start`."""
    command: Annotated[Words, BeforeValidator(_split, json_schema_input_type=str | tuple[str, ...])] = ()
    """What to start; a text is split as a shell would, but no shell runs. Empty: what the image or module starts."""
    args: Words = ()
    """Appended to the command."""
    env: Annotated[dict[VariableName, Word], Field(max_length=limits.JOB_WORDS_MAX)] = Field({})
    """Environment variables; the worker sees them, so no secrets."""
    secrets: Secrets = ()
    """Names of secrets, or tables; values are never here."""
    inputs: tuple[Input, ...] = Field((), max_length=limits.JOB_PARTS_MAX, strict=False)
    outputs: tuple[Output, ...] = Field((), max_length=limits.JOB_PARTS_MAX, strict=False)
    resources: Resources = Resources()
    mode: Annotated[Mode, BeforeValidator(lambda value: value, json_schema_input_type=Mode | str)] = Mode()
    """A table, or short "priority", "commit" or "flex"."""
    price: PriceField = Price()
    """A table, or short the ceiling in credits an hour."""
    award: Award = Award()
    deadline: Deadline = None
    """The result is worth nothing after it; None: no such point."""
    timeouts: Timeouts = Timeouts()
    retry: Retry = Retry()
    checkpoint: Checkpoint | None = None
    """None: the job cannot be resumed, only started again."""
    verification: Verification = Verification()
    placement: Placement = Placement()
    shards: int = Field(1, ge=1, le=limits.JOB_SHARDS_MAX)
    """Equal parts that run side by side, told apart by SKYOPS_SHARD and SKYOPS_SHARDS."""
    gang: bool = False
    """All shards run at once, or none."""
    depends_on: tuple[JobReference, ...] = Field((), max_length=limits.JOB_PARTS_MAX, strict=False)
    """Jobs that must have ended well before."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any, info: ValidationInfo) -> Any:
        """Read the short form, and fill in what follows from other fields."""
        if form_of(info) == "canonical" or not isinstance(value, dict):
            return value
        full = dict(value)
        _expand_short_form(full)
        if "runtime" not in full and full.get("module") and not full.get("image"):
            full["runtime"] = "wasm"
        if "verification" not in full and full.get("runtime") == "wasm":
            full["verification"] = {"class": "exact"}
        return full

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Check the rules that span several fields; all breaches are told at once."""
        problems = [f"{field}\t{text}" for field, text in _contradictions(self)]
        if problems:
            raise PydanticCustomError("job_rules", "{problems}", {"problems": "\n".join(problems)})
        return self


def _expand_short_form(full: dict[str, Any]) -> None:
    """Turn `input_data` and `output_dest` of the published short form into inputs and outputs."""
    data = full.get("input_data")
    if "inputs" not in full and isinstance(data, str):
        full["inputs"] = ({"path": "/input", "uri": full.pop("input_data")},)
    elif "inputs" not in full and isinstance(data, (list, tuple)):
        uris = full.pop("input_data")
        full["inputs"] = tuple({"path": f"/input/{index}", "uri": uri} for index, uri in enumerate(uris))
    destination = full.get("output_dest")
    if "outputs" not in full and isinstance(destination, str):
        place = full.pop("output_dest")
        is_path = place.startswith("/")
        full["outputs"] = ({"path": place} if is_path else {"path": "/results", "uri": place},)


def _contradictions(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Yield (field, what is wrong and what is allowed) for fields that do not fit each other."""
    yield from _program(spec)
    if spec.timeouts.total is not None and spec.timeouts.total < spec.timeouts.execution:
        yield "timeouts.total", "is shorter than timeouts.execution; allowed is at least as long"
    if spec.price.total_max is not None and spec.price.total_max == 0 < spec.price.per_hour_max:
        yield "price.total_max", "is 0 though an hour may cost something; leave it out or raise it"
    if spec.gang:
        yield from _gang(spec)
    if both := sorted(set(spec.placement.allow) & set(spec.placement.deny)):
        yield "placement.deny", f"holds peers that placement.allow holds too: {', '.join(both[:3])}"
    if spec.verification.tolerance and spec.verification.kind != "numeric":
        yield "verification.tolerance", 'goes with class = "numeric" only'
    if spec.verification.check is not None:
        yield from _spot_checked(spec)
    if spec.verification.canaries is not None:
        yield from _canaries(spec, spec.verification.canaries)
    for field, items in (("inputs", spec.inputs), ("outputs", spec.outputs)):
        yield from _repeated(field, [item.path for item in items], "path")
    yield from _repeated("secrets", [secret.name for secret in spec.secrets], "name")
    for secret in spec.secrets:
        if secret.name in spec.env:
            yield "env", f"{secret.name} is also the name of a secret"


def _program(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the runtime and what it starts."""
    if not (spec.image or spec.module or spec.command):
        yield "runtime", 'has nothing to start; give an image, a module, or runtime = "native" and a command'
        return
    needed = {"docker": "image", "wasm": "module", "native": "command"}[spec.runtime]
    if not getattr(spec, needed):
        yield needed, f'is missing; runtime = "{spec.runtime}" needs it'
    for field, runtime in (("image", "docker"), ("module", "wasm"), ("entry_point", "wasm")):
        if field == "image" and spec.runtime == "native" and spec.image.startswith(ARCHIVE_SCHEMES):
            continue  # its root file system
        if getattr(spec, field) and spec.runtime != runtime:
            yield field, f'goes with runtime = "{runtime}" only; found runtime "{spec.runtime}"'


def _gang(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Yield what keeps shards from running as a gang."""
    if spec.shards == 1:
        yield "gang", "needs at least two shards"
    if spec.shards > limits.GANG_MEMBERS_MAX:
        yield "gang", f"has at most {limits.GANG_MEMBERS_MAX} shards; found {spec.shards}"
    if spec.runtime == "wasm":
        yield (
            "gang",
            'goes with runtime = "docker" or "native": a WebAssembly module has no sockets to reach others by',
        )


def _spot_checked(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Yield what keeps results from being checked by lot."""
    kind = spec.verification.kind
    if kind not in ("exact", "numeric"):
        yield (
            "verification.check",
            f'goes with class = "exact" or "numeric": results of the class "{kind}" cannot be compared',
        )
    if spec.verification.redundancy < 2:
        yield "verification.redundancy", "is 1, so nobody could check; allowed with check is 2 to 7"
    if spec.gang:
        yield "verification.check", "does not go with gang: its members compute together"


def _canaries(spec: JobSpec, canaries: int) -> Iterator[tuple[str, str]]:
    """Yield what keeps this machine from computing shards, too, and comparing."""
    if spec.runtime != "wasm":
        yield (
            "verification.canaries",
            f'goes with runtime = "wasm", where every machine comes to the same bytes; found runtime "{spec.runtime}"',
        )
    if spec.verification.kind != "exact":
        yield (
            "verification.canaries",
            f'goes with class = "exact", where results are compared byte for byte; found class '
            f'"{spec.verification.kind}"',
        )
    if canaries > spec.shards:
        yield (
            "verification.canaries",
            f"is {canaries}, of {spec.shards} shards; allowed is at most as many as there are shards",
        )


def _repeated(field: str, names: list[str], what: str) -> Iterator[tuple[str, str]]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f"{field}.{index}.{what}", f"{name} stands there twice"
