"""Which directories a program sees, and where each input, output and secret lies in them. Pure.

The top-level directory of each path of the specification is one mount: read-only if it holds nothing but inputs.
Spec: protocol/05-execution.md, "What the program sees".
"""

from dataclasses import dataclass

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ExecutionError

WORK = "/work"
"""The working directory: scratch space that is not kept."""
CONTROL = "/skyops"
"""Holds the file that SKYOPS_PROGRESS names."""
PROGRESS_FILE = "progress"
FORBIDDEN_TOPS = frozenset(
    {
        "bin",
        "boot",
        "dev",
        "etc",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "proc",
        "run",
        "sbin",
        "sys",
        "usr",
        "var",
    }
)
"""Top-level directories that belong to the sandbox's system."""


@dataclass(frozen=True, slots=True)
class Place:
    """A path as the program names it, cut in two."""

    top: str
    """The mount: "/results"."""
    inner: str
    """The rest, relative; empty for the mount itself."""


@dataclass(frozen=True, slots=True)
class MountPlan:
    """One directory of the workspace."""

    target: str
    """"/results"."""
    folder: str
    """Its name in the workspace: "results"."""
    is_read_only: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """All mounts of a job."""

    mounts: tuple[MountPlan, ...]

    def folder_of(self, place: Place) -> str:
        """Return the workspace folder that a place lies in."""
        return next(mount.folder for mount in self.mounts if mount.target == place.top)


def place_of(path: str) -> Place:
    """Cut a sandbox path at its top-level directory.

    Args:
        path: Absolute, normal: as SandboxPath of the specification.

    Raises:
        ExecutionError: Code `spec_refused`: it lies in a directory of the system.
    """
    first, _, inner = path.removeprefix("/").partition("/")
    if first in FORBIDDEN_TOPS or not first:
        raise ExecutionError(
            f"{path} lies in a directory of the system",
            code="spec_refused",
            hint="Use a directory of its own, such as /data or /results.",
        )
    return Place("/" + first, inner)


def layout_of(spec: JobSpec) -> Layout:
    """Return the mounts that a job's paths ask for.

    Raises:
        ExecutionError: Code `spec_refused`: a path lies in a directory of the system.

    Rules: EXE-22.
    """
    read = {place_of(item.path).top for item in spec.inputs}
    read |= {place_of(secret.path).top for secret in spec.secrets if secret.path}
    written = {WORK, CONTROL} | {place_of(item.path).top for item in spec.outputs}
    if spec.checkpoint is not None:
        written.add(place_of(spec.checkpoint.path).top)
    tops = sorted(read | written)
    return Layout(tuple(MountPlan(top, top[1:], top not in written) for top in tops))


def environment(
    spec: JobSpec, *, job_id: bytes, epoch: int, shard: int, is_resumed: bool, grace_s: float
) -> dict[str, str]:
    """Return the variables that the worker sets; secrets are not among them. Rules: EXE-23."""
    variables = dict(spec.env)
    variables |= {
        "SKYOPS_JOB": job_id.hex(),
        "SKYOPS_EPOCH": str(epoch),
        "SKYOPS_SHARD": str(shard),
        "SKYOPS_SHARDS": str(spec.shards),
        "SKYOPS_RESUME": "1" if is_resumed else "0",
        "SKYOPS_GRACE_S": f"{grace_s:g}",
        "SKYOPS_PROGRESS": f"{CONTROL}/{PROGRESS_FILE}",
    }
    if spec.checkpoint is not None:
        variables["SKYOPS_CHECKPOINT_DIR"] = spec.checkpoint.path
        if spec.checkpoint.stride is not None:
            variables["SKYOPS_CHECKPOINT_STRIDE"] = str(spec.checkpoint.stride)
    return variables
