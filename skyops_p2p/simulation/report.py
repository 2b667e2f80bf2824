"""What a failed simulation says: the seed, the commit, the command that replays it, and what happened last."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from skyops_p2p import __version__

LINES_SHOWN = 40


class BrokenPromiseError(AssertionError):
    """A promise was broken in a simulated world.

    Args:
        what: Which promise, with the values.
        seed: The world's seed.
        replay: The command that runs the same world again.
        lines: The last trace lines, oldest first.
    """

    def __init__(self, what: str, *, seed: int, replay: str, lines: Sequence[str] = ()) -> None:
        self.what = what
        self.seed = seed
        self.replay = replay
        story = "\n".join(lines[-LINES_SHOWN:])
        super().__init__(f"{what}\n  seed    {seed}\n  commit  {commit()}\n  replay  {replay}\n{story}")


def commit() -> str:
    """Return the commit of the checkout that runs, or the version of an installed package."""
    git = which("git")
    package = Path(__file__).parent
    if git is None or not (package.parent.parent / ".git").exists():
        return f"skyops {__version__}"
    command = [git, "-C", str(package), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)  # noqa: S603 - fixed words
    return done.stdout.strip() or f"skyops {__version__}"
