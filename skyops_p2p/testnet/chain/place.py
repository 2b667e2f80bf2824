"""Where an embedded chain is kept, and how it is started, found and stopped.

`chain.json` in its directory tells its URL while it runs; `chain.db` is its state, `chain.log` what it said.
"""

import json
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from skyops_p2p import limits
from skyops_p2p.errors import ChainError
from skyops_p2p.node.run_file import process_start
from skyops_p2p.testnet.places import state_root
from skyops_p2p.testnet.processes import send_signal, start_detached, state_of, wait_state

_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class ChainPlace:
    """The directory of one embedded chain."""

    directory: Path

    @property
    def state(self) -> Path:
        """Its blocks and accounts."""
        return self.directory / "chain.db"

    @property
    def note(self) -> Path:
        """Where it is while it runs."""
        return self.directory / "chain.json"

    @property
    def log(self) -> Path:
        """What it said."""
        return self.directory / "chain.log"


@dataclass(frozen=True, slots=True)
class RunningChain:
    """An embedded chain that runs."""

    url: str
    chain_id: int
    pid: int
    process_start: str


def chain_place(directory: Path | None) -> ChainPlace:
    """Return the place of a directory; of this user's own chain if none is given."""
    return ChainPlace(directory if directory is not None else state_root() / "chain")


def note_of(port: int, *, chain_id: int, pid: int) -> dict[str, object]:
    """Return what stands in `chain.json`."""
    url = f"http://127.0.0.1:{port}"
    return {"url": url, "chain_id": chain_id, "pid": pid, "process_start": process_start(pid) or "gone"}


def find_chain(place: ChainPlace) -> RunningChain | None:
    """Return the running chain of a place, or None; a note that a crash left behind counts as none."""
    try:
        note = json.loads(place.note.read_text(encoding="utf-8"))
        found = RunningChain(note["url"], note["chain_id"], note["pid"], note["process_start"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if state_of(found.pid, found.process_start) != "dead" else None


def start_chain(
    place: ChainPlace, *, port: int, chain_id: int, is_fresh: bool = False, block_s: float = 0.0
) -> RunningChain:
    """Start a chain in a process of its own, which outlives this one, and wait until it answers.

    Args:
        place: Its directory.
        port: TCP port on loopback; 0 picks a free one.
        chain_id: Its EVM chain id.
        is_fresh: Forget the state of earlier runs.
        block_s: Seconds after which it makes a block though nobody sends anything; 0: never.

    Raises:
        ChainError: `chain_running`, `chain_start_failed`.
    """
    process = launch_chain(place, port=port, chain_id=chain_id, is_fresh=is_fresh, block_s=block_s)
    return wait_chain(place, process)


def launch_chain(
    place: ChainPlace, *, port: int, chain_id: int, is_fresh: bool = False, block_s: float = 0.0
) -> tuple[int, str]:
    """Start a chain as `start_chain` does, but do not wait; return its process.

    Raises:
        ChainError: `chain_running`.
    """
    if find_chain(place) is not None:
        raise ChainError(
            f"a chain runs in {place.directory} already",
            code="chain_running",
            hint="`skyops chain stop` stops it.",
        )
    place.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if is_fresh:
        for path in place.directory.glob("chain.db*"):
            path.unlink()
    place.note.unlink(missing_ok=True)
    words = ["chain", "serve", "--dir", str(place.directory), "--port", str(port)]
    words += ["--chain-id", str(chain_id), "--block-time", str(block_s)]
    return start_detached(words, log=place.log)


def wait_chain(place: ChainPlace, process: tuple[int, str]) -> RunningChain:
    """Wait until a chain that was launched answers.

    Raises:
        ChainError: `chain_start_failed`.
    """
    deadline = time.monotonic() + limits.CHAIN_START_TIMEOUT_S
    while time.monotonic() < deadline and state_of(*process) != "dead":
        found = find_chain(place)
        if found is not None:
            return found
        time.sleep(_POLL_S)
    send_signal(*process, signal.SIGKILL)
    said = place.log.read_text(encoding="utf-8", errors="replace").strip()[-500:]
    raise ChainError(
        f"the embedded chain did not start: {said or 'it said nothing'}", code="chain_start_failed"
    )


def stop_chain(place: ChainPlace) -> None:
    """Stop the chain of a place; its state is kept.

    Raises:
        ChainError: `chain_not_running`.
    """
    found = find_chain(place)
    if found is None:
        raise ChainError(
            f"no chain runs in {place.directory}",
            code="chain_not_running",
            hint="`skyops chain start` starts one.",
        )
    process = (found.pid, found.process_start)
    send_signal(*process, signal.SIGTERM)
    if not wait_state([process], "dead", timeout_s=limits.CHAIN_STOP_TIMEOUT_S):
        send_signal(*process, signal.SIGKILL)
        wait_state([process], "dead", timeout_s=limits.CHAIN_STOP_TIMEOUT_S)
