"""What is written down about a test network: `testnet.json` in its directory.

The record is all that the commands share; there is no daemon. It is replaced whole, under a lock file, so that
two commands at once do not lose each other's change.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from skyops_p2p.errors import TestnetError
from skyops_p2p.limits import PROBE_SLOT_MS, PROBE_WATCH_SLOTS

RECORD_NAME = "testnet.json"
LOCK_NAME = ".lock"
FORMAT = 1
NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,31}"


class NodeEntry(BaseModel):
    """One node of the network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    peer_id: str
    port: int
    """TCP port on 127.0.0.1 that it listens on; the same after a restart."""
    gpus: tuple[str, ...]
    """Declared GPUs, "A100:80"."""
    region: str
    is_worker: bool
    pid: int = 0
    """Process id of the latest start; 0 before the first."""
    process_start: str = ""
    """The kernel's start time of that process, against reuse of the pid."""

    @property
    def addr(self) -> str:
        """The multiaddr to join through."""
        return f"/ip4/127.0.0.1/tcp/{self.port}/p2p/{self.peer_id}"


class ChainEntry(BaseModel):
    """The embedded chain of the network; its process is found by the note in its directory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int
    """TCP port on 127.0.0.1; the same after a restart."""
    contracts: str
    """Address of the contracts' Directory."""
    block_s: float = 0.0
    """Seconds after which it makes a block though nobody sends anything; 0: never."""
    confirmations: int = 0
    """Blocks that nodes want above a transaction's own."""
    redeem_s: float = 60.0
    """Seconds between a worker's redemptions, unless it is asked."""

    @property
    def url(self) -> str:
        """Its JSON-RPC."""
        return f"http://127.0.0.1:{self.port}"


class TestnetRecord(BaseModel):
    """A test network."""

    __test__ = False  # keeps pytest from collecting the class because of its name
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    name: str
    """What people call it on the command line."""
    network: str
    """The network name on the wire, "testnet-4f2a"."""
    chain_id: int
    beat_s: float
    """Seconds between heartbeats."""
    probe_slot_s: int = PROBE_SLOT_MS // 1000
    """Seconds in which witnesses ask each worker once."""
    probe_watch_slots: int = PROBE_WATCH_SLOTS
    """Such slots for which the same witnesses are drawn."""
    psk_file: str = ""
    """File name of the pre-shared key inside the directory; empty: none."""
    chain: ChainEntry | None = None
    """None: nothing is paid on this network."""
    created_unix_ms: int
    nodes: tuple[NodeEntry, ...]
    partition: tuple[tuple[str, ...], ...] = ()
    """Groups of node names that do not reach each other; empty: no partition."""

    @property
    def bootstrap(self) -> tuple[str, ...]:
        """Addresses to join through: the first three nodes, so that one may be dead."""
        return tuple(entry.addr for entry in self.nodes[:3])

    def entry(self, name: str) -> NodeEntry:
        """Return a node by name.

        Raises:
            TestnetError: `unknown_node`, with a suggestion.
        """
        for entry in self.nodes:
            if entry.name == name:
                return entry
        import difflib

        names = [entry.name for entry in self.nodes]
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"It has {', '.join(names)}."
        raise TestnetError(f"test network {self.name!r} has no node {name!r}", code="unknown_node", hint=hint)

    def with_entry(self, changed: NodeEntry) -> "TestnetRecord":
        """Return the record with one node's entry replaced."""
        nodes = tuple(changed if entry.name == changed.name else entry for entry in self.nodes)
        return self.model_copy(update={"nodes": nodes})


def read_record(directory: Path) -> TestnetRecord:
    """Return the record of the test network in a directory.

    Raises:
        TestnetError: `testnet_unknown` (no record there) or `testnet_damaged`.
    """
    path = directory / RECORD_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TestnetError(
            f"there is no test network in {directory}",
            code="testnet_unknown",
            hint="`skyops testnet up` starts one; `skyops testnet list` shows those that exist.",
        ) from error
    try:
        return TestnetRecord.model_validate_json(text)
    except ValidationError as error:
        raise TestnetError(
            f"{path} is damaged or of another version of skyops",
            code="testnet_damaged",
            hint=f"Stop its processes if any are left, then remove {directory}.",
        ) from error


def write_record(directory: Path, record: TestnetRecord) -> None:
    """Replace the record, whole or not at all."""
    draft = directory / f".{RECORD_NAME}.{os.getpid()}"
    draft.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    draft.replace(directory / RECORD_NAME)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock: one command at a time changes a test network.

    Raises:
        TestnetError: `testnet_busy`: another command holds it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / LOCK_NAME).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TestnetError(
                f"another command is changing the test network in {directory}",
                code="testnet_busy",
                hint="Wait for it, or stop it, and try again.",
            ) from error
        yield
