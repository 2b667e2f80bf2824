"""What the stages of the demonstration share: the network they use, and waiting for what they want to see."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import SkyopsError, TestnetError
from skyops_p2p.node.book_files import find_book, read_book
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.jobs.job_views import JobView
from skyops_p2p.node.views import NodeView
from skyops_p2p.testnet.launcher import Progress, Testnet
from skyops_p2p.types import NetworkName

POLL_S = 0.1
CHANGE_TIMEOUT_S = 60.0
"""For a change of state to reach every node; a few heartbeats are usual."""
MICROCREDITS = 1_000_000


@dataclass
class Demo:
    """What the stages share.

    Args:
        directory: Of the network that is made.
        name: Of it.
        node_count: How many nodes.
        progress: Told what is waited for.
        live: Told figures that change all the time; shown where a line can be overwritten.
    """

    directory: Path
    name: str
    node_count: int
    progress: Progress
    live: Progress
    testnet: Testnet | None = None
    requester: ControlClient | None = None
    guest: tuple[int, str] | None = None
    """The process of the requester's node, and its start."""
    worker: NodeView | None = None
    """The worker that was chosen from the map."""
    job: JobView | None = None
    """The training as it was last seen."""
    victim: str = ""
    """Name of the node that was killed."""

    @property
    def network(self) -> Testnet:
        """The test network; the first stage has made it."""
        assert self.testnet is not None
        return self.testnet

    @property
    def client(self) -> ControlClient:
        """The requester's node; the second stage has started it."""
        assert self.requester is not None
        return self.requester

    @property
    def training(self) -> JobView:
        """The training; a stage has submitted it."""
        assert self.job is not None
        return self.job

    def name_of(self, peer_id: str) -> str:
        """Return the name of a node of the network; of a peer that is none, the end of its id."""
        entries = self.network.record.nodes
        return next((entry.name for entry in entries if entry.peer_id == peer_id), peer_id[-8:])

    def audited(self, tender_job: str) -> tuple[int, str]:
        """Re-run an award from the requester's bid book; return how many bids were in it, and the book's digest.

        Args:
            tender_job: Hex: the match's or the attempt's.

        Raises:
            TestnetError: `demo_failed`: the book does not pass.
        """
        book = read_book(find_book(tender_job, self.client.data_dir))
        record = self.network.record
        rules = NetworkRules(NetworkName(record.network), record.chain_id, is_testnet=True)
        report = audit(book, rules)
        if not report.ok:
            raise failed(f"the bid book of {tender_job[:12]} does not pass its audit")
        return report.bids, sha256(book).hex()


@dataclass(frozen=True, slots=True)
class Stage:
    """One step."""

    name: str
    title: str
    run: Callable[[Demo], str]
    """Returns what was seen; raises SkyopsError if it did not happen."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step went."""

    name: str
    title: str
    took_s: float
    is_done: bool
    told: str
    error: SkyopsError | None = field(default=None, compare=False)


def failed(text: str) -> TestnetError:
    """Return what a stage raises if something did not happen."""
    return TestnetError(text, code="demo_failed")


def wait_until(demo: Demo, condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition.

    Raises:
        TestnetError: `demo_failed`: it did not hold within CHANGE_TIMEOUT_S.
    """
    deadline = time.monotonic() + CHANGE_TIMEOUT_S
    demo.progress(f"waiting until {what}")
    while not condition():
        if time.monotonic() > deadline:
            raise failed(f"after {CHANGE_TIMEOUT_S:g} s it is still not so that {what}")
        time.sleep(POLL_S)
