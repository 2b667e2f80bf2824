"""A sandbox under test: one runtime, a workspace, and small programs to run in it."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import trio

from skyops_p2p.ports import Mount, RunningSandbox, Sandbox, SandboxExit, SandboxLimits, SandboxSpec

MIB = 1 << 20
DEADLINE_S = 180.0
"""Far beyond what any case takes: a test that hangs ends with its name instead of the whole run's patience."""
LIMITS = SandboxLimits(
    cpu_cores=1.0,
    memory_bytes=128 * MIB,
    pids_max=64,
    disk_bytes=32 * MIB,
    file_bytes_max=16 * MIB,
    wall_s=150.0,
    log_bytes_max=1 * MIB,
)
_numbers = itertools.count(1)


@dataclass
class Finished:
    """What became of one program."""

    end: SandboxExit
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "replace")


@dataclass
class Box:
    """One runtime with a folder for its mounts: /in (read-only), /out and /work."""

    runtime: str
    sandbox: Sandbox
    folder: Path
    """The sandbox's mounts are made in it."""
    python: Callable[[str, Sequence[str]], dict[str, Any]]
    """(program text, arguments) -> the fields of SandboxSpec that run it: command, image, module, env..."""
    abilities: frozenset[str] = frozenset()
    """What programs can do in it: "processes", "threads", "signals", "sockets", "pause"."""
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("in", "out", "work"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def spec(
        self, program: str, *arguments: str, limits: SandboxLimits = LIMITS, **changes: Any
    ) -> SandboxSpec:
        """Say how to run a program; further fields of SandboxSpec by name."""
        mounts = tuple(
            Mount(self.folder / name, PurePosixPath("/", name), is_read_only=name == "in")
            for name in ("in", "out", "work")
        )
        fields: dict[str, Any] = {"env": self.env, "mounts": mounts, "limits": limits}
        return SandboxSpec(
            name=f"case-{next(_numbers)}", **(fields | self.python(program, arguments) | changes)
        )

    async def run(self, program: str, *arguments: str, **changes: Any) -> Finished:
        """Run a program to its end, reading all its output."""
        return await self.run_spec(self.spec(program, *arguments, **changes))

    async def run_spec(self, spec: SandboxSpec) -> Finished:
        with trio.fail_after(DEADLINE_S):
            await self.sandbox.prepare(spec, progress=lambda done, total: None)
            async with self.sandbox.start(spec) as running:
                streams = await drain(running)
                return Finished(await running.wait(), streams["stdout"], streams["stderr"])


def limits_with(**changes: float) -> SandboxLimits:
    """Return the limits of these tests with some changed."""
    return replace(LIMITS, **changes)  # type: ignore[arg-type]


async def drain(running: RunningSandbox) -> dict[str, bytes]:
    """Read the output to its end."""
    streams = {"stdout": bytearray(), "stderr": bytearray()}
    async for chunk in running.output:
        streams[chunk.stream] += chunk.data
    return {name: bytes(data) for name, data in streams.items()}


async def read_until(running: RunningSandbox, wanted: bytes) -> bytes:
    """Read stdout until some bytes came: the program has got that far."""
    seen = b""
    async for chunk in running.output:
        seen += chunk.data
        if wanted in seen:
            return seen
    raise AssertionError(f"the program ended without {wanted!r}: {seen!r}")
