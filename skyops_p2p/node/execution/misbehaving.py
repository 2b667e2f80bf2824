"""A worker that does wrong on purpose, on test networks only: so that a real process can be caught at it."""

from pathlib import Path

WRONG_RESULT = "wrong-result"
"""Value of the setting worker.misbehaves."""


def spoil(outputs: Path) -> None:
    """Change the first file of some outputs a little, as a worker would that did not compute; blocks for a moment.

    Args:
        outputs: A file or a directory; if it holds no file, nothing happens.
    """
    files = [outputs] if outputs.is_file() else sorted(path for path in outputs.rglob("*") if path.is_file())
    if files and not files[0].is_symlink():
        data = files[0].read_bytes()
        files[0].write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if data else b"\n")
