"""What a worker and a job's program have agreed on: checkpoints, progress, the wish to end. Standard library alone.

The same names are set by every runtime, so this runs in a container, in a sandboxed process, in a WebAssembly module,
and at home, where nothing is set and no checkpoint is kept. See docs/wasm-jobs.md and protocol/05-execution.md.
"""

import os
import signal
from pathlib import Path

ASK_AGAIN = 75
"""Exit code: the job was stopped before its end and wants another attempt."""
_KEPT = 2
_PREFIX = "epoch-"


class Contract:
    """Checkpoints are files named by their epoch; the newest counts, and the one before is kept too, or all, if the
    job has a stride."""

    def __init__(self) -> None:
        self._folder = path_of("SKYOPS_CHECKPOINT_DIR")
        self._progress = path_of("SKYOPS_PROGRESS")
        self.stride = int(os.environ.get("SKYOPS_CHECKPOINT_STRIDE", "0"))
        """Epochs between two checkpoints, all of which are kept; 0: the program decides, and keeps two."""
        self.is_stop_asked = False
        try:
            signal.signal(signal.SIGTERM, self._hear)
        except (AttributeError, OSError, ValueError):
            print("no signals here: a stop ends this program at once")

    def newest(self) -> bytes | None:
        """Return the newest checkpoint, if the worker says that there is one to go on from."""
        if os.environ.get("SKYOPS_RESUME") != "1" or not (found := self._checkpoints()):
            return None
        return found[-1].read_bytes()

    def save(self, epoch: int, data: bytes) -> None:
        """Save a checkpoint; without a folder for them nothing is kept."""
        if self._folder is None:
            return
        write_whole(self._folder / f"{_PREFIX}{epoch:06d}", data)
        for old in self._checkpoints()[:-_KEPT] if not self.stride else ():
            old.unlink()

    def tell_progress(self, done: int, total: int, **figures: float) -> None:
        """Say how far the work is, to the log and to the worker."""
        words = [f"{name}={value:.6f}" for name, value in figures.items()]
        print(f"epoch {done}/{total}", *words, flush=True)
        if self._progress is not None:
            self._progress.write_text(" ".join([f"{done}/{total}", *words]) + "\n", encoding="utf-8")

    def _checkpoints(self) -> list[Path]:
        found = self._folder.iterdir() if self._folder is not None else []
        return sorted(path for path in found if path.name.removeprefix(_PREFIX).isdigit())

    def _hear(self, number: int, frame: object) -> None:
        self.is_stop_asked = True


def path_of(variable: str) -> Path | None:
    """Return the path that a variable of the environment names, or None."""
    text = os.environ.get(variable, "")
    return Path(text) if text else None


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under another name first, so that it is never seen half written."""
    partial = path.with_name(path.name + ".tmp")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
