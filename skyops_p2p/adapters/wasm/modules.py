"""Modules compiled for this machine, kept in files: compiling Python takes nine seconds, loading it a few milliseconds.

The files are native code that runs with this user's rights, so only what this node wrote itself is ever loaded: the
directory and its files are this user's alone, and a file appears under its name when it is whole. The name says what
it was made from: the module, our settings, the version of the engine, the processor.
"""

import contextlib
import hashlib
import importlib.metadata
import logging
import os
import platform
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.wasm.frames import BrokenFrame, CompileRequest, FrameReader, encode_request
from skyops_p2p.adapters.wasm.launcher import Child, Launcher
from skyops_p2p.adapters.wasm.structure import hidden_state, is_module
from skyops_p2p.adapters.wasm.user import module_user
from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import Progress

logger = logging.getLogger(__name__)
SETTINGS_VERSION = 1
"""Of the engine's settings in child/engine.py."""
_SUFFIX, _PARTIAL = ".cwasm", ".partial"


@dataclass(frozen=True, slots=True)
class CompiledModule:
    """A module that can be run."""

    digest: str
    """SHA-256 of the module, in hex."""
    path: Path
    hidden_state: str
    """Why its state cannot be saved between calls; empty if it can."""


class ModuleStore:
    """The directory of compiled modules.

    Args:
        directory: Made if it is not there.
        launcher: Gives the processes that compile.
    """

    def __init__(self, directory: Path, launcher: Launcher) -> None:
        self._directory = directory
        self._launcher = launcher
        self._lock = trio.Lock()
        self._in_progress: set[Path] = set()

    async def compiled(self, module: Path, *, is_deterministic: bool, progress: Progress) -> CompiledModule:
        """Return a module's code, compiled now if it was not before; one compiles at a time.

        Raises:
            ExecutionError: `module_invalid`, `prepare_timeout`, `sandbox_failed`.
        """
        data = await trio.to_thread.run_sync(_read_module, module)
        digest = hashlib.sha256(data).hexdigest()
        target = self._directory / f"{_key(digest, is_deterministic=is_deterministic)}{_SUFFIX}"
        progress(0, len(data))
        async with self._lock:
            if not await trio.to_thread.run_sync(_touch, target):
                request = CompileRequest(
                    module=os.path.abspath(module),  # noqa: PTH100, ASYNC240 - looks at nothing
                    digest=digest,
                    target=str(target.with_suffix(f".{secrets.token_hex(8)}{_PARTIAL}")),
                    is_deterministic=is_deterministic,
                    memory_bytes_max=limits.WASM_COMPILE_BYTES_MAX,
                    user=module_user(),
                )
                await self._compile(request, target)
        progress(len(data), len(data))
        return CompiledModule(digest, target, hidden_state(data))

    def remove_partial(self) -> int:
        """Remove what a process that was killed left half written; return how many files."""
        left = [path for path in self._directory.glob(f"*{_PARTIAL}") if path not in self._in_progress]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    async def _compile(self, request: CompileRequest, target: Path) -> None:
        partial = Path(request.target)
        self._in_progress.add(partial)
        try:
            await trio.to_thread.run_sync(open_private_directory, self._directory)
            with trio.move_on_after(limits.SANDBOX_PREPARE_TIMEOUT_S) as scope:
                problem = await self._ask_child(request)
            if scope.cancelled_caught:
                raise ExecutionError(
                    f"compiling the module took longer than {limits.SANDBOX_PREPARE_TIMEOUT_S:g} s",
                    code="prepare_timeout",
                )
            if problem:
                raise _invalid(problem)
            await trio.to_thread.run_sync(partial.replace, target)
            await trio.to_thread.run_sync(_evict, self._directory, target)
        finally:
            self._forget(partial)

    def _forget(self, partial: Path) -> None:
        self._in_progress.discard(partial)
        partial.unlink(missing_ok=True)

    async def _ask_child(self, request: CompileRequest) -> str:
        """Return what is wrong with the module, "" if it is compiled."""
        child = await self._launcher.launch()
        try:
            return await _converse(child, request)
        finally:
            child.close()


def open_private_directory(directory: Path) -> None:
    """Make a directory for this user alone, or check that it is one.

    Raises:
        ExecutionError: `runtime_unavailable`: it belongs to another user or others may write it.
        OSError: It cannot be made.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise ExecutionError(
            f"{directory} holds native code and is not this user's alone",
            code="runtime_unavailable",
            hint=f"Remove it, or `chmod 700 {directory}` if nobody else can have written there.",
        )


async def _converse(child: Child, request: CompileRequest) -> str:
    reader = FrameReader()
    try:
        await child.conversation.send_all(encode_request(request))
        while data := await child.conversation.receive_some(limits.WASM_READ_BYTES):
            for message in reader.feed(data):
                if "failure" in message:
                    raise ExecutionError(
                        f"the module could not be compiled: {message['failure']}", code="sandbox_failed"
                    )
                if isinstance(told := message.get("compiled"), dict):
                    return str(told["problem"])
    except (trio.BrokenResourceError, BrokenFrame) as error:
        logger.debug("compile_child_lost error=%r", error)
    return "the compiler gave up on it: it is too large, or its functions are"


def _read_module(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limits.WASM_MODULE_BYTES_MAX + 1)
    except OSError as error:
        raise _invalid(f"it cannot be read: {error.strerror}") from error
    if len(data) > limits.WASM_MODULE_BYTES_MAX:
        raise _invalid(f"it is longer than {limits.WASM_MODULE_BYTES_MAX >> 20} MiB")
    if not is_module(data):
        raise _invalid("it does not begin like a core module of version 1 (components and text are none)")
    return data


def _invalid(problem: str) -> ExecutionError:
    return ExecutionError(
        f"the module cannot be used: {problem}",
        code="module_invalid",
        hint="`wasm-tools validate` or `wasmtime compile` says more.",
    )


def _key(digest: str, *, is_deterministic: bool) -> str:
    made_from = (
        SETTINGS_VERSION,
        importlib.metadata.version("wasmtime"),
        platform.machine(),
        _processor_features(),
        is_deterministic,
        digest,
    )
    return hashlib.sha256(repr(made_from).encode()).hexdigest()


def _processor_features() -> str:
    """Return what the kernel says of the processor: code made for one need not run on another."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return ""


def _touch(path: Path) -> bool:
    """Note that a file was used; return whether it is there."""
    try:
        os.utime(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _evict(directory: Path, newest: Path) -> None:
    """Remove what was not used for longest until the rest is within WASM_CACHE_BYTES_MAX; the newest one stays."""
    found = [(path, path.stat()) for path in directory.glob(f"*{_SUFFIX}") if path != newest]
    room = limits.WASM_CACHE_BYTES_MAX - newest.stat().st_size
    for path, status in sorted(found, key=lambda item: item[1].st_mtime_ns, reverse=True):
        room -= status.st_size
        if room < 0:
            path.unlink(missing_ok=True)
