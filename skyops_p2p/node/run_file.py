"""The run file: how other programs of this user find and authenticate to the node of a data directory.

`<data dir>/run/api.json` holds the control API's address and token, and the settings that the node runs with, whatever
flags it was started with; `<data dir>/run/api.token` holds the token alone, for programs such as Prometheus that read a
bearer token from a file. Both are readable by the
owner only, written whole or not at all, and removed when the node stops. After a crash they are stale: the
process id in them is no longer alive (or belongs to another program) and the next node replaces them.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from skyops_p2p.errors import NetworkError

if TYPE_CHECKING:
    from skyops_p2p.config import NodeConfig

RUN_DIR_NAME = "run"
RUN_FILE_NAME = "api.json"
TOKEN_FILE_NAME = "api.token"  # noqa: S105 - the name of the file, not a token


@dataclass(frozen=True, slots=True)
class RunFile:
    """Where the control API of a running node is, and the secret that opens it."""

    url: str
    """"http://127.0.0.1:40123", without a path."""
    token: str
    pid: int
    process_start: str
    """The kernel's start time of that process in clock ticks since boot; a reused pid has another one."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """What the node runs with, as NodeConfig dumps itself; empty: an older program's."""


def run_file_path(data_dir: Path) -> Path:
    """Return where the run file of a data directory lies."""
    return data_dir / RUN_DIR_NAME / RUN_FILE_NAME


def process_start(pid: int) -> str | None:
    """Return the kernel's start time of a process, in clock ticks since boot; None if there is none.

    A zombie counts as gone. Without /proc, "unknown" is returned for a living process.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        return "unknown" if _is_signalable(pid) else None
    fields = text.rpartition(")")[2].split()
    state, thread_count = fields[0], int(fields[17])
    # A first thread may be gone while others still hold the process's sockets and locks.
    is_gone = state == "X" or (state == "Z" and thread_count <= 1)
    return None if is_gone else fields[19]


def write_run_file(config: "NodeConfig", *, url: str, token: str) -> RunFile:
    """Write the run file for this process, replacing a stale one.

    Args:
        config: What the node runs with.
        url: Of its control API.
        token: Opens that.

    Raises:
        OSError: The directory cannot be written.
    """
    pid = os.getpid()
    settings = config.model_dump(mode="json")
    entry = RunFile(url, token, pid, process_start(pid) or "unknown", settings)
    directory = config.data_dir / RUN_DIR_NAME
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_private(directory / TOKEN_FILE_NAME, token)
    _write_private(directory / RUN_FILE_NAME, json.dumps(asdict(entry)) + "\n")
    return entry


def remove_run_file(data_dir: Path, entry: RunFile) -> None:
    """Remove the run file if it is still the one of `entry`; a newer node's is left alone."""
    if _read(run_file_path(data_dir)) == entry:
        run_file_path(data_dir).unlink(missing_ok=True)
        (data_dir / RUN_DIR_NAME / TOKEN_FILE_NAME).unlink(missing_ok=True)


def read_run_file(data_dir: Path) -> RunFile:
    """Return the run file of the node that runs in a data directory.

    Raises:
        NetworkError: `node_not_running`: there is none, it is unreadable, or its process is gone.
    """
    entry = _read(run_file_path(data_dir))
    if entry is None:
        raise not_running(data_dir, "no node is running")
    if process_start(entry.pid) != entry.process_start:
        raise not_running(data_dir, f"the node that ran (process {entry.pid}) is gone")
    return entry


def running_config(data_dir: Path) -> "NodeConfig | None":
    """Return the settings of the node that runs in a data directory.

    None if there is no such node, or if it is another version's and has settings that this program does not know.
    """
    from pydantic import ValidationError

    from skyops_p2p.config import NodeConfig  # takes long to import, and who only calls the node needs it not

    try:
        entry = read_run_file(data_dir)
        return NodeConfig.model_validate_json(json.dumps(entry.settings)) if entry.settings else None
    except (NetworkError, ValidationError):
        return None


def not_running(data_dir: Path, what: str) -> NetworkError:
    """Return the error for a data directory whose node does not answer."""
    return NetworkError(
        f"{what} in {data_dir}",
        code="node_not_running",
        hint="Start it with `skyops run`, or name another directory with --data-dir.",
    )


def _read(path: Path) -> RunFile | None:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return RunFile(
            url=str(fields["url"]),
            token=str(fields["token"]),
            pid=int(fields["pid"]),
            process_start=str(fields["process_start"]),
            settings=dict(fields.get("settings", {})),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _is_signalable(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
