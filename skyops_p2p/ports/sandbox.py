"""The sandbox port: where a job's program runs, what it may use, and how it ended.

Three runtimes implement it (wasm, docker, native), and all pass the suite in tests/ports/sandbox. A runtime says what
it enforces; a job that asks for a limit that it cannot enforce is refused before anything starts. Mounts are plain
directories of the worker's workspace, which the sandbox makes over to the program's user id; keys and ciphertext
never enter a sandbox. Spec: protocol/05-execution.md.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Protocol

import trio

WORKING_DIR = PurePosixPath("/work")
"""Where a program starts; its own scratch space."""


class Limit(Enum):
    """A bound that a runtime may be able to enforce."""

    CPU = "cpu"
    MEMORY = "memory"
    PIDS = "pids"
    DISK = "disk"
    """Bytes in its writable mounts together: at once on a workspace that is capped, else within DISK_WATCH_S."""
    FILE_SIZE = "file_size"
    WALL = "wall"
    LOG = "log"
    NETWORK = "network"
    """No network at all. A job that asks for hosts is refused with `not_supported` by a runtime that cannot let it
    reach those and no others."""
    GPU = "gpu"
    """No device but those that were granted."""


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What one sandbox may use; each is enforced or the sandbox does not start."""

    cpu_cores: float
    memory_bytes: int
    pids_max: int
    disk_bytes: int
    file_bytes_max: int
    wall_s: float
    """From the start of the program; paused time counts."""
    log_bytes_max: int
    """Output taken of the program, stdout and stderr together; what comes after is dropped and counted."""
    fuel_max: int | None = None
    """wasm: instructions; None: as many as fit into `wall_s`. Those before a resumed snapshot count."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory of the workspace as the program sees it."""

    source: Path
    target: PurePosixPath
    """Absolute."""
    is_read_only: bool


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """One program to run."""

    name: str
    """Unique on this machine: lower-case letters, digits and dashes, at most 63."""
    command: tuple[str, ...]
    """Program and arguments; empty: what the image or module starts."""
    env: Mapping[str, str] = field(repr=False)
    """Values of secrets are in it: never logged."""
    mounts: tuple[Mount, ...]
    limits: SandboxLimits
    working_dir: PurePosixPath = WORKING_DIR
    image: str = ""
    """docker: a reference, with or without "@sha256:…", or an image's id; native: empty for the machine's own /usr."""
    image_archive: Path | None = None
    """A tar that came with the job instead: docker: as `docker save` writes it; native: a root file system."""
    module: Path | None = None
    """wasm: the module's bytes."""
    entry_point: str = ""
    """wasm: exported function; empty: `_start`, or `step` of a module without it."""
    is_deterministic: bool = False
    """wasm: clocks, random bytes and NaNs are the same wherever it runs: for results that are compared bit for bit."""
    gpus: tuple[str, ...] = ()
    """UUIDs of the devices that it may use."""
    hosts: tuple[str, ...] = ()
    """"host:port" that it may connect to; empty: no network."""
    shares_sockets: bool = False
    """Unix sockets in its mounts lead out of the sandbox, and into it; refused with `not_supported` by a runtime in
    which they do not."""
    shares_pipes: bool = False
    """Named pipes in its mounts lead out of the sandbox, and into it; refused in the same way."""
    needs: frozenset[Limit] = frozenset(Limit)
    """Limits without which it may not start; the others hold as far as this runtime can."""
    snapshot_dir: Path | None = None
    """Where `RunningSandbox.snapshot` leaves its files, and from where a run goes on if it holds one."""


class ExitKind(Enum):
    """How a program ended, told apart by the runtime."""

    EXITED = "exited"
    """By itself, with a code."""
    SIGNALLED = "signalled"
    """By a signal that it did not get from us. An engine reports the signal n as exit code 128 + n: so do programs
    that end with such a code."""
    OUT_OF_MEMORY = "out_of_memory"
    OUT_OF_DISK = "out_of_disk"
    TIMED_OUT = "timed_out"
    """`wall_s` was over."""
    OUT_OF_FUEL = "out_of_fuel"
    STOPPED = "stopped"
    """We stopped it."""
    TRAPPED = "trapped"
    """wasm: a trap other than those above."""
    NOT_STARTED = "not_started"
    """The program could not be executed: not found, not executable, wrong architecture."""
    LOST = "lost"
    """The runtime itself failed: engine gone, child killed from outside."""


@dataclass(frozen=True, slots=True)
class SandboxExit:
    """How it ended."""

    kind: ExitKind
    exit_code: int | None
    """EXITED: 0 to 255; else None."""
    signal: int | None
    """SIGNALLED: its number."""
    text: str
    """One sentence for a person: "ran out of memory (limit 512 MiB)"."""
    log_bytes_dropped: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a sandbox has used so far; None where the runtime cannot tell."""

    wall_s: float
    cpu_s: float | None = None
    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    pids: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    fuel: int | None = None
    """wasm: instructions metered."""


@dataclass(frozen=True, slots=True)
class OutputChunk:
    """Bytes that the program wrote, in order within their stream; at most LOG_CHUNK_BYTES_MAX."""

    stream: str
    """"stdout" or "stderr"."""
    data: bytes


class RunningSandbox(Protocol):
    """One program while it runs and after."""

    @property
    def output(self) -> trio.MemoryReceiveChannel[OutputChunk]:
        """Its output; ends after the program. The program waits while the channel is full (back-pressure)."""

    async def wait(self) -> SandboxExit:
        """Wait for its end; may be called by several tasks, and again afterwards."""

    async def stop(self, *, grace_s: float) -> SandboxExit:
        """SIGTERM, wait, SIGKILL to everything in it; what ended before is returned as it was.

        A paused program is resumed first, so that it can hear the signal.
        """

    async def pause(self) -> None:
        """Freeze all its processes.

        Raises:
            ExecutionError: `not_supported`, or it has ended (`sandbox_ended`).
        """

    async def resume(self) -> None:
        """Undo `pause`; without a pause nothing happens."""

    async def signal(self, number: int) -> None:
        """Send a signal to its main process.

        Raises:
            ExecutionError: `not_supported` or `sandbox_ended`.
        """

    async def usage(self) -> Usage:
        """Return what it has used; after the end the final figures."""

    async def snapshot(self) -> bool:
        """Save its whole state into `snapshot_dir` without its help; False where the runtime or program cannot."""


Progress = Callable[[int, int], None]
"""(done, total) in bytes; total 0 where unknown. Quick, never raises."""


class Sandbox(Protocol):
    """One runtime of this machine."""

    @property
    def runtime(self) -> str:
        """ "wasm", "docker" or "native"."""

    @property
    def enforces(self) -> frozenset[Limit]:
        """What it can bound on this machine, as found out at its start."""

    async def prepare(self, spec: SandboxSpec, *, progress: Progress) -> None:
        """Get what the program needs: pull the image, compile the module. Cached; bounded by SANDBOX_PREPARE_TIMEOUT_S.

        Raises:
            ExecutionError: `image_missing`, `image_digest_wrong`, `image_invalid`, `module_invalid`,
                `wrong_architecture`, `gpu_unavailable`, `limit_not_enforced`, `not_supported`,
                `runtime_unavailable`, `prepare_timeout`.
        """

    def start(self, spec: SandboxSpec) -> AbstractAsyncContextManager[RunningSandbox]:
        """Start a prepared program; leaving the context kills what is left and removes all traces.

        Raises:
            ExecutionError: On entering: the codes of `prepare`, or `sandbox_failed`.
        """

    async def reap(self) -> int:
        """Remove what an earlier process of this node left behind (containers, cgroups, children); return how many."""


class Workspace(Protocol):
    """Plaintext on this machine: directories that exist while a job runs, and are wiped afterwards."""

    def open(self, name: str, *, bytes_max: int) -> AbstractAsyncContextManager[Path]:
        """Make an empty private directory, on tmpfs or a private image where this user may; gone when left.

        Args:
            name: As SandboxSpec.name.
            bytes_max: Its size; a hard cap where `is_capped`.

        Raises:
            ExecutionError: On entering: `workspace_full` (not enough room), `workspace_failed`.
        """

    @property
    def is_capped(self) -> bool:
        """Whether `bytes_max` is enforced by the file system."""

    @property
    def is_volatile(self) -> bool:
        """Whether the bytes never touch a disk, or touch it only encrypted."""

    async def reap(self) -> int:
        """Wipe what an earlier process left behind; return how many directories."""
