"""What a valid job leaves to be wished for: remarks for its author, not errors. Pure."""

import re
from collections.abc import Iterator

from skyops_p2p.core.jobs.sizes import duration_text, millionths_text
from skyops_p2p.core.jobs.spec import ARCHIVE_SCHEMES, JobSpec
from skyops_p2p.core.reputation.parameters import DEFAULTS
from skyops_p2p.types import UnixMs

_CID = re.compile(
    r"Qm[1-9A-HJ-NP-Za-km-z]{44}|b[a-z2-7]{50,110}|z[1-9A-HJ-NP-Za-km-z]{40,110}|f[0-9a-f]{60,150}"
)


def remarks_on(spec: JobSpec, *, now: UnixMs) -> tuple[str, ...]:
    """Return one sentence for each thing that is probably not meant so.

    Args:
        spec: The job.
        now: The wall clock, for its deadline.
    """
    return (*_on_program(spec), *_on_data(spec), *_on_terms(spec, now))


def _on_program(spec: JobSpec) -> Iterator[str]:
    if spec.image and "@sha256:" not in spec.image and not spec.image.startswith(ARCHIVE_SCHEMES):
        yield f"image: {spec.image} may change under the job; name it by digest (…@sha256:…) to pin it."
    if spec.runtime == "wasm" and spec.resources.gpu.count:
        yield "resources.gpu: a wasm module cannot reach the GPU; the job pays for one that it does not use."
    if spec.resources.network:
        yield "resources.network: no worker lets a program reach hosts, so all refuse the job; bring data as inputs."
    if len(spec.command) > 1 and any(word in ("|", ">", "&&", ";") for word in spec.command):
        yield 'command: no shell runs; for pipes and redirections write ["sh", "-c", "…"].'


def _on_data(spec: JobSpec) -> Iterator[str]:
    for index, item in enumerate(spec.inputs):
        scheme, _, rest = item.uri.partition(":")
        if scheme in ("ipfs", "cid") and not _CID.fullmatch(rest.lstrip("/").partition("/")[0]):
            yield f"inputs.{index}.uri: {item.uri} names no content id that could be fetched."
        if item.size is None and scheme != "file":
            yield f"inputs.{index}.size: unknown, so the time to fetch it does not count in the award."
    if not spec.outputs:
        yield "outputs: none, so only the logs are kept."


def _on_terms(spec: JobSpec, now: UnixMs) -> Iterator[str]:
    if spec.price.total_max is None:
        hourly = millionths_text(spec.price.per_hour_max)
        yield f"price.total_max: no ceiling for the whole job; the hourly one is {hourly} credits."
    if spec.verification.kind not in ("exact", "numeric"):
        yield f"verification.class: {spec.verification.kind}, so results are not checked."
    if 0 < spec.placement.reputation_min < DEFAULTS.gate:
        gate = millionths_text(DEFAULTS.gate)
        yield f"placement.reputation_min: below {gate}, the usual gate; so a worker's stake need not cover the job."
    if spec.mode.kind == "flex" and spec.checkpoint is None:
        yield "checkpoint: none, so each preemption of this flex job loses all work."
    if spec.checkpoint is not None and spec.checkpoint.interval >= spec.timeouts.execution:
        yield "checkpoint.interval: not shorter than timeouts.execution, so none is ever saved."
    if spec.deadline is not None and spec.deadline <= now:
        yield "deadline: is past, so the job would fail at once."
    elif spec.deadline is not None and spec.deadline - now < spec.timeouts.execution * 1000:
        left = duration_text((spec.deadline - now) // 1000)
        yield f"deadline: {left} from now, which is shorter than timeouts.execution."
