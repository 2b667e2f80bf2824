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
from skyops_p2p.testnet.demo_pace import measure_slowness
from skyops_p2p.testnet.launcher import Progress, Testnet
from skyops_p2p.testnet.topology import Topology
from skyops_p2p.types import NetworkName
from skyops_p2p.wire.envelope import open_envelope
from skyops_p2p.wire.messages.auction import BidBook

POLL_S = 0.1
CHANGE_TIMEOUT_S = 60.0
"""For a change of state to reach every node on a quiet machine, where a few heartbeats are usual."""
ANSWER_TIMEOUT_S = 60.0
"""For one answer of a node: a redemption waits for a block, and on a busy machine everything waits."""
MICROCREDITS = 1_000_000


@dataclass(frozen=True, slots=True)
class Roles:
    """Who does what in a network where not all do right."""

    topology: Topology
    """The network, with those in it that do wrong."""
    liar: str
    honest: tuple[str, ...]
    """Those that do the same work as the liar, right."""
    accomplice: str = ""
    """Does wrong as the liar does; empty: nobody."""


Cast = Callable[[Topology], Roles]
"""Has workers of a network do wrong."""


@dataclass
class Demo:
    """What the stages share.

    Args:
        directory: Of the network that is made.
        name: Of it.
        node_count: How many nodes.
        progress: Told what is waited for.
        into: Where the result is put for good; None: into the network's directory.
        slowness: Of the machine, as measured at the beginning.
        confirmations: Blocks that nodes want above a transaction's own; 0: the chain takes none back.
        cast: Has workers of the network return wrong results; None: nobody does.
    """

    directory: Path
    name: str
    node_count: int
    progress: Progress
    into: Path | None = None
    slowness: float = 1.0
    confirmations: int = 0
    cast: Cast | None = None
    testnet: Testnet | None = None
    requester: ControlClient | None = None
    guest: tuple[int, str] | None = None
    """The process of the requester's node, and its start."""
    worker: NodeView | None = None
    """The worker that was chosen from the map."""
    job: JobView | None = None
    """The training as it was last seen."""
    victim: str = ""
    """Name of the node that was hurt."""
    lost_epoch: int = 0
    """Which lease the hurt worker had."""
    lost_unix_ms: int = 0
    """When that lease was seen to have ended."""
    liar: str = ""
    """Name of the worker that returns wrong results, if one does."""
    accomplice: str = ""
    """Name of the worker that returns the same wrong results, if one does."""
    honest: tuple[str, ...] = ()
    """Names of those that compute the same as the liar."""
    compared: list[str] = field(default_factory=list)
    """Jobs whose results are compared."""
    small_book: str = ""
    """Tender job of the small job that is only matched."""
    set_aside_wei: int = 0
    """What the contract held for the requester before the training."""
    paid_wei: int = 0
    """Promised for the training when something was hurt."""
    credits_wei: dict[str, int] = field(default_factory=dict)
    """Worker -> what it had earned on chain before the training."""
    figures: dict[str, object] = field(default_factory=dict)
    """What the record and the summary tell besides the stages."""

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

    @property
    def liars(self) -> tuple[str, ...]:
        """All that return wrong results."""
        return tuple(name for name in (self.liar, self.accomplice) if name)

    def node(self, name: str) -> ControlClient:
        """Return a client of a node of the network that is given time to answer."""
        return self.network.client(name, timeout_s=ANSWER_TIMEOUT_S)

    def name_of(self, peer_id: str) -> str:
        """Return the name of a node of the network; of a peer that is none, the end of its id."""
        entries = self.network.record.nodes
        return next((entry.name for entry in entries if entry.peer_id == peer_id), peer_id[-8:])

    def book(self, tender_job: str) -> BidBook:
        """Return a bid book of the requester's that has passed its audit."""
        data = read_book(find_book(tender_job, self.client.data_dir))
        return open_envelope(data, BidBook, self.network.record.network).message

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


class Patience:
    """How long a stage waits: longer on a slow machine, which is measured again when the time seems to be up.

    Args:
        demo: Knows how slow the machine was at the beginning.
        quiet_s: What is enough on a quiet one.
    """

    def __init__(self, demo: Demo, quiet_s: float) -> None:
        self._began = time.monotonic()
        self._quiet_s = quiet_s
        self._slowness = demo.slowness
        self._demo = demo

    @property
    def limit_s(self) -> float:
        """How long is waited, as far as is known; at most SLOWNESS_MAX times what is enough on a quiet machine."""
        return self._quiet_s * self._slowness

    def is_over(self) -> bool:
        """Tell whether it has been waited long enough."""
        waited_s = time.monotonic() - self._began
        if waited_s <= self.limit_s:
            return False
        self._slowness = self._demo.slowness = max(self._slowness, measure_slowness())
        return waited_s > self.limit_s


def wait_until(
    demo: Demo, condition: Callable[[], bool], what: str, *, limit_s: float = CHANGE_TIMEOUT_S
) -> None:
    """Wait for a condition.

    Raises:
        TestnetError: `demo_failed`: it did not hold within `limit_s`, times the machine's slowness.
    """
    patience = Patience(demo, limit_s)
    demo.progress(f"waiting until {what}")
    while not condition():
        if patience.is_over():
            raise failed(f"after {patience.limit_s:.0f} s it is still not so that {what}")
        time.sleep(POLL_S)
