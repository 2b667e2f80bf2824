"""The demonstration: a network comes up, is used, loses a node, and gets it back. Real processes throughout.

Each stage does one thing, checks that it really happened, and returns what it saw in a sentence or two. Later
features add stages to STAGES.
"""

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from skyops_p2p.core.auction.audit import audit
from skyops_p2p.core.auction.codes import ACCEPTED
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import NetworkError, SkyopsError, TestnetError
from skyops_p2p.node.book_files import find_book, read_book
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.views import MapQuery, NodeView
from skyops_p2p.testnet.creation import guests_dir
from skyops_p2p.testnet.launcher import Progress, Testnet
from skyops_p2p.testnet.processes import start_detached, state_of
from skyops_p2p.testnet.startup import bring_up
from skyops_p2p.testnet.topology import default_topology
from skyops_p2p.types import NetworkName

DEMO_JOB = {
    "name": "demo",
    "runtime": "wasm",
    "module": "file:demo.wasm",
    "resources": {"gpu": {"vram": "12Gi"}},
}
"""What is offered; it is not started: execution is not there yet."""
_POLL_S = 0.1
UP_TIMEOUT_S = 120.0
CHANGE_TIMEOUT_S = 60.0
"""For a change of state to reach every node; a few heartbeats are usual."""


@dataclass
class Demo:
    """What the stages share."""

    directory: Path
    name: str
    node_count: int
    progress: Progress
    testnet: Testnet | None = None
    requester: ControlClient | None = None
    worker: NodeView | None = None
    """The worker that was chosen from the map."""
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


def run_stages(demo: Demo, *, keep: bool) -> Iterator[Outcome]:
    """Run all stages and yield each outcome; after a failure only the clean-up still runs.

    Args:
        demo: A fresh one.
        keep: Leave the network running at the end.
    """
    has_failed = False
    try:
        for stage in STAGES:
            if has_failed:
                break
            outcome = _run_one(stage, demo)
            has_failed = not outcome.is_done
            yield outcome
    finally:
        if not keep and demo.testnet is not None:
            last = _run_one(DOWN, demo)
    if not keep and demo.testnet is not None:
        yield last


def _run_one(stage: Stage, demo: Demo) -> Outcome:
    started = time.monotonic()
    error: SkyopsError | None = None
    try:
        told = stage.run(demo)
    except SkyopsError as problem:
        told, error = str(problem), problem
    return Outcome(stage.name, stage.title, time.monotonic() - started, error is None, told, error)


def _bring_up(demo: Demo) -> str:
    topology = default_topology(demo.node_count)
    demo.testnet = Testnet.create(demo.directory, name=demo.name, topology=topology)
    bring_up(demo.testnet, timeout_s=UP_TIMEOUT_S, progress=demo.progress)
    return f"{demo.node_count} processes, {demo.testnet.record.network}; each has all others on its map as ACTIVE."


def _join(demo: Demo) -> str:
    """Start one more node, as a person in another terminal would."""
    data_dir = guests_dir(demo.directory) / "guest-1"
    data_dir.mkdir(mode=0o700, parents=True)
    arguments = ["--data-dir", str(data_dir), "run", "--no-screen", "--join", str(demo.directory)]
    pid, start = start_detached(arguments, log=data_dir / "log")

    def sees_all() -> bool:
        if state_of(pid, start) == "dead":
            raise TestnetError("the requester's node ended by itself", hint=f"Its log: {data_dir / 'log'}")
        try:
            demo.requester = ControlClient.of(data_dir, timeout_s=5.0)
            return _count(demo.requester.map(), "active") == demo.node_count + 1
        except NetworkError:
            return False

    _wait(demo, sees_all, "the requester sees the whole network")
    status = demo.client.status()
    return f"skyops run --join {demo.directory.name}: peer …{status.peer_id[-8:]} knows {demo.node_count} others."


def _query_map(demo: Demo) -> str:
    """Choose the cheapest worker with a large enough GPU."""
    query = MapQuery.model_validate(
        {"vram_gib": 12, "workers_only": True, "states": ("active",), "sort": "price"}
    )
    found = demo.client.map(query)
    if not found:
        raise TestnetError("no worker with 12 GiB of GPU memory is on the map", code="demo_failed")
    demo.worker = found[0]
    gpu = found[0].gpus[0].model
    price = found[0].price_microcredits_per_hour / 1_000_000
    return f"skyops map --vram 12 --sort price: {len(found)} workers, the cheapest a {gpu} for {price:g} credits/h."


def _ping(demo: Demo) -> str:
    assert demo.worker is not None
    trips_ms = sorted(demo.client.ping(demo.worker.peer_id)[1] * 1000 for _ in range(5))
    return f"skyops ping {demo.worker.peer_id[-8:]}: {trips_ms[2]:.1f} ms (median of 5)."


def _handshake(demo: Demo) -> str:
    assert demo.worker is not None
    session = demo.client.handshake(demo.worker.peer_id)
    if session.wallet != demo.worker.wallet:
        raise TestnetError("the session's wallet is not the one on the map", code="demo_failed")
    return (
        f"skyops handshake {session.peer_id[-8:]}: session {session.session_id[:16]}… in {session.took_ms:.1f} ms;\n"
        f"wallet {session.wallet} proven, encrypted end to end."
    )


def _match(demo: Demo) -> str:
    """Offer a job that needs one larger GPU, and check the award from its bid book."""
    ended = demo.client.match(DEMO_JOB, lambda _step: None)
    if not ended.is_matched:
        reasons = ", ".join(f"{reason.nodes} x {reason.code}" for reason in ended.reasons)
        raise TestnetError(f"no worker took the job: {ended.code} ({reasons})", code="demo_failed")
    book = read_book(find_book(ended.job_id, demo.client.data_dir))
    record = demo.network.record
    report = audit(book, NetworkRules(NetworkName(record.network), record.chain_id, is_testnet=True))
    if not report.ok or sha256(book).hex() != ended.book_digest:
        raise TestnetError("the bid book does not pass its audit", code="demo_failed")
    turned_down = sum(one.code != ACCEPTED for one in ended.outcomes)
    price = ended.price_microcredits_per_hour / 1_000_000
    return (
        f"skyops match job.toml: {report.bids} sealed bids, …{ended.winner[-8:]} ({ended.gpu_model}) for {price:g} "
        f"credits/h after {ended.elapsed_ms} ms;\n{turned_down} others with a reason each; "
        f"skyops audit {ended.job_id[:12]}: OK."
    )


def _kill(demo: Demo) -> str:
    """Kill a node the hard way and watch the requester's map."""
    demo.victim = demo.network.record.nodes[-1].name
    peer_id = demo.network.record.entry(demo.victim).peer_id
    started = time.monotonic()
    demo.network.signal(demo.victim, signal.SIGKILL)
    seen: dict[str, float] = {}

    def is_inactive() -> bool:
        seen.setdefault(_state_on(demo.client, peer_id), time.monotonic() - started)
        return "inactive" in seen

    _wait(demo, is_inactive, f"{demo.victim} is INACTIVE on the requester's map")
    if "suspect" not in seen:
        raise TestnetError(f"{demo.victim} became INACTIVE without being SUSPECT first", code="demo_failed")
    _wait(demo, lambda: _all_see(demo, peer_id, "inactive"), f"{demo.victim} is INACTIVE on every map")
    everywhere_s = time.monotonic() - started
    return (
        f"kill -9 {demo.victim}: SUSPECT after {seen['suspect']:.1f} s, INACTIVE after {seen['inactive']:.1f} s, "
        f"on every map after {everywhere_s:.1f} s."
    )


def _restart(demo: Demo) -> str:
    peer_id = demo.network.record.entry(demo.victim).peer_id
    started = time.monotonic()
    demo.network.restart(demo.victim)
    answers_s = time.monotonic() - started
    _wait(demo, lambda: _all_see(demo, peer_id, "active"), f"{demo.victim} is ACTIVE on every map")
    everywhere_s = time.monotonic() - started
    return f"{demo.victim}: answers after {answers_s:.1f} s, ACTIVE on every map after {everywhere_s:.1f} s."


def _take_down(demo: Demo) -> str:
    count = demo.network.down()
    return f"{count} nodes and the requester stopped, files removed."


STAGES = (
    Stage("up", "A network comes up", _bring_up),
    Stage("join", "A requester joins from outside", _join),
    Stage("map", "It finds workers on its node map", _query_map),
    Stage("ping", "It measures the way to one", _ping),
    Stage("handshake", "Both prove their wallets and share a key", _handshake),
    Stage("match", "A job finds its worker by sealed bids", _match),
    Stage("kill", "A node dies, and everybody notices", _kill),
    Stage("restart", "It comes back", _restart),
)
DOWN = Stage("down", "All is taken down", _take_down)


def _all_see(demo: Demo, peer_id: str, state: str) -> bool:
    """Tell whether every other node that runs, and the requester, has a node in a state."""
    others = [entry for entry in demo.network.record.nodes if entry.peer_id != peer_id]
    alive = [demo.network.client(entry.name) for entry in others if demo.network.state(entry) == "running"]
    clients = [demo.client, *alive]
    return all(_state_on(client, peer_id) == state for client in clients)


def _state_on(client: ControlClient, peer_id: str) -> str:
    try:
        return client.node(peer_id).state
    except NetworkError:
        return "unknown"


def _count(views: tuple[NodeView, ...], state: str) -> int:
    return sum(view.state == state for view in views)


def _wait(demo: Demo, condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition.

    Raises:
        TestnetError: `demo_failed`: it did not hold within CHANGE_TIMEOUT_S.
    """
    deadline = time.monotonic() + CHANGE_TIMEOUT_S
    demo.progress(f"waiting until {what}")
    while not condition():
        if time.monotonic() > deadline:
            raise TestnetError(
                f"after {CHANGE_TIMEOUT_S:g} s it is still not so that {what}", code="demo_failed"
            )
        time.sleep(_POLL_S)
