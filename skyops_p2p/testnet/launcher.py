"""Starts, stops and disturbs the nodes of a test network on this machine.

Nothing stays behind to supervise: the nodes are processes in sessions of their own, found again through the
record. Every function may be called twice; the second call finds nothing left to do.
"""

import json
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from skyops_p2p.errors import NetworkError, SkyopsError, TestnetError
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.run_file import read_run_file
from skyops_p2p.testnet.creation import (
    FAULTS_NAME,
    create_files,
    guests_dir,
    log_path,
    node_dir,
    remove_files,
)
from skyops_p2p.testnet.network_chain import NetworkChain, network_chain
from skyops_p2p.testnet.port_numbers import release_ports
from skyops_p2p.testnet.processes import ProcessState, send_signal, start_many, state_of, wait_state
from skyops_p2p.testnet.record import NodeEntry, TestnetRecord, locked, read_record, write_record
from skyops_p2p.testnet.topology import Topology

Progress = Callable[[str], None]
"""Takes a line about what goes on; the next one replaces it."""

READY_TIMEOUT_S = 60.0
"""For one node to answer: starting takes about 1.5 s of CPU, and a small machine starts many at once."""
STOP_TIMEOUT_S = 8.0
"""After SIGTERM; then SIGKILL."""
_POLL_S = 0.1
_STATE_AFTER: dict[signal.Signals, ProcessState] = {
    signal.SIGKILL: "dead",
    signal.SIGSTOP: "stopped",
    signal.SIGCONT: "running",
}


class Testnet:
    """One test network that has been laid out.

    Args:
        directory: Its directory; the record is read from it.
    """

    __test__ = False  # keeps pytest from collecting the class because of its name

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.record: TestnetRecord = read_record(directory)

    @classmethod
    def create(cls, directory: Path, *, name: str, topology: Topology) -> "Testnet":
        """Lay out a new test network.

        Raises:
            TestnetError: `testnet_exists` (one is there: up or kept), `testnet_busy`, `ports_exhausted`.
        """
        with locked(directory):
            try:
                existing = cls(directory)
            except TestnetError as error:
                if error.code != "testnet_unknown":
                    raise
            else:
                alive = sum(existing.state(entry) != "dead" for entry in existing.record.nodes)
                raise TestnetError(
                    f"test network {name!r} is there already, {alive} of {len(existing.record.nodes)} nodes alive",
                    code="testnet_exists",
                    hint="`skyops testnet status` shows it, `down` removes it, --name makes another beside it.",
                )
            create_files(directory, name=name, topology=topology)
        return cls(directory)

    def state(self, entry: NodeEntry) -> str:
        """Return "running", "stopped" (by SIGSTOP) or "dead"."""
        return state_of(entry.pid, entry.process_start)

    @property
    def chain(self) -> NetworkChain | None:
        """The network's chain, or None."""
        return network_chain(self.directory, self.record)

    def client(self, name: str, *, timeout_s: float = 5.0) -> ControlClient:
        """Return a client for one node.

        Raises:
            TestnetError: `unknown_node`.
            NetworkError: `node_not_running`.
        """
        return ControlClient.of(node_dir(self.directory, self.record.entry(name).name), timeout_s=timeout_s)

    def start(self, names: Sequence[str] = ()) -> list[str]:
        """Start nodes that are dead (all of them by default) and return their names; do not wait.

        Raises:
            TestnetError: `unknown_node` or `testnet_busy`.
        """
        wanted = list(names) or [entry.name for entry in self.record.nodes]
        with locked(self.directory):
            record = read_record(self.directory)
            dead = [entry for entry in map(record.entry, wanted) if self.state(entry) == "dead"]
            processes = start_many([self._order(entry.name) for entry in dead]) if dead else []
            for entry, (pid, start) in zip(dead, processes, strict=True):
                record = record.with_entry(entry.model_copy(update={"pid": pid, "process_start": start}))
            write_record(self.directory, record)
            self.record = record
        return [entry.name for entry in dead]

    def _order(self, name: str) -> tuple[list[str], Path]:
        """Return the arguments and the log of one node's process."""
        data_dir = node_dir(self.directory, name)
        return ["--data-dir", str(data_dir), "run", "--no-screen"], log_path(self.directory, name)

    def wait_ready(self, names: Sequence[str] = (), *, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until nodes answer.

        Raises:
            TestnetError: `node_died` with the end of its log, or `timed_out`.
        """
        for name in list(names) or [entry.name for entry in self.record.nodes]:
            self._wait_one(name, deadline=time.monotonic() + timeout_s)

    def wait_converged(self, *, timeout_s: float, progress: Progress = lambda _line: None) -> None:
        """Wait until every node sees every other one ACTIVE.

        Raises:
            TestnetError: `node_died`, or `not_converged` saying who does not see whom.
        """
        deadline = time.monotonic() + timeout_s
        expected = {entry.peer_id for entry in self.record.nodes}
        pending = [entry.name for entry in self.record.nodes]
        while True:
            missing = {name: self._unseen(name, expected) for name in pending}
            pending = [name for name, unseen in missing.items() if unseen]
            progress(f"{len(expected) - len(pending)} of {len(expected)} nodes see all others")
            if not pending:
                return
            if time.monotonic() > deadline:
                story = ", ".join(f"{name} misses {missing[name]}" for name in pending)
                raise TestnetError(
                    f"after {timeout_s:g} s not every node sees all others: {story}", code="not_converged"
                )
            time.sleep(_POLL_S)

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Send a signal to one node and wait until it has acted; tell whether the node was alive.

        Raises:
            TestnetError: `unknown_node`.
        """
        entry = self.record.entry(name)
        was_there = send_signal(entry.pid, entry.process_start, number)
        if was_there and (state := _STATE_AFTER.get(number)) is not None:
            wait_state([(entry.pid, entry.process_start)], state, timeout_s=STOP_TIMEOUT_S)
        return was_there

    def restart(self, *names: str) -> None:
        """Stop nodes cleanly if they live, start them again all at once, and wait until they answer.

        Raises:
            TestnetError: `unknown_node`, `node_died`, `timed_out`.
        """
        if names:
            self._stop([self.record.entry(name) for name in names])
            self.start(names)
            self.wait_ready(names)

    def down(self, *, keep: bool = False) -> int:
        """Stop every node and guest and the chain, and remove all files (with `keep`: only stop).

        Returns:
            How many nodes were alive.
        """
        with locked(self.directory):
            self.record = read_record(self.directory)
            alive = self._stop(self.record.nodes)
            self._stop_processes(self._guests())
            if self.chain is not None:
                self.chain.stop()
            if not keep:
                release_ports(self.directory)
                remove_files(self.directory)
        return alive

    def set_faults(self, name: str, faults: dict[str, object]) -> None:
        """Write a node's faults for its next start, and put them in force if it runs."""
        path = node_dir(self.directory, name) / FAULTS_NAME
        path.write_text(json.dumps(faults) + "\n", encoding="utf-8")
        entry = self.record.entry(name)
        if self.state(entry) == "running":
            self.client(name).set_faults(faults)

    def faults(self, name: str) -> dict[str, object]:
        """Return a node's faults as last set."""
        path = node_dir(self.directory, self.record.entry(name).name) / FAULTS_NAME
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return dict(found) if isinstance(found, dict) else {}

    def _stop(self, entries: Sequence[NodeEntry]) -> int:
        """Stop processes: SIGTERM (a stopped one is continued), and SIGKILL for those that do not go."""
        return self._stop_processes([(entry.pid, entry.process_start) for entry in entries])

    def _guests(self) -> list[tuple[int, str]]:
        """Return the processes of peers that joined from outside with a directory of this network."""
        found = []
        for path in guests_dir(self.directory).glob("guest-*"):
            try:
                entry = read_run_file(path)
            except NetworkError:
                continue
            found.append((entry.pid, entry.process_start))
        return found

    def _stop_processes(self, processes: Sequence[tuple[int, str]]) -> int:
        alive = [process for process in processes if state_of(*process) != "dead"]
        for pid, start in alive:
            send_signal(pid, start, signal.SIGTERM)
            send_signal(pid, start, signal.SIGCONT)
        if not wait_state(alive, "dead", timeout_s=STOP_TIMEOUT_S):
            for pid, start in alive:
                send_signal(pid, start, signal.SIGKILL)
            wait_state(alive, "dead", timeout_s=STOP_TIMEOUT_S)
        return len(alive)

    def _wait_one(self, name: str, *, deadline: float) -> None:
        data_dir = node_dir(self.directory, name)
        while True:
            self._check_alive(name)
            try:
                if ControlClient.of(data_dir, timeout_s=2.0).is_ready():
                    return
            except NetworkError as error:
                if error.code != "node_not_running":
                    raise
            if time.monotonic() > deadline:
                raise TestnetError(f"{name} does not answer", code="timed_out")
            time.sleep(_POLL_S)

    def _unseen(self, name: str, expected: set[str]) -> int:
        """Return how many of the expected nodes a node does not see ACTIVE."""
        self._check_alive(name)
        try:
            views = self.client(name).map()
        except SkyopsError:
            return len(expected)
        return len(expected - {view.peer_id for view in views if view.state == "active"})

    def _check_alive(self, name: str) -> None:
        """Raise TestnetError `node_died` with the end of its log if a node's process is gone."""
        if self.state(self.record.entry(name)) != "dead":
            return
        tail = read_log_tail(log_path(self.directory, name), lines=3)
        raise TestnetError(
            f"{name} ended by itself. Its log ends with:\n" + "\n".join(f"    {line}" for line in tail),
            code="node_died",
            hint=f"The whole log: {log_path(self.directory, name)}",
        )


def read_log_tail(path: Path, *, lines: int) -> list[str]:
    """Return the last lines of a log; of a long one only its end is read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64 * 1024))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ["(no log)"]
    return text.splitlines()[-lines:] if lines else []
