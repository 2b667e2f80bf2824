"""The demonstration's stages about the network: it comes up, is joined and asked, and gets a dead node back."""

import signal
import time

from skyops_p2p.core.auction.codes import ACCEPTED
from skyops_p2p.errors import NetworkError, TestnetError
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.views import MapQuery, NodeView
from skyops_p2p.testnet.creation import guests_dir
from skyops_p2p.testnet.demo_stage import MICROCREDITS, Demo, failed, wait_until
from skyops_p2p.testnet.launcher import STOP_TIMEOUT_S, Testnet
from skyops_p2p.testnet.processes import send_signal, start_detached, state_of, wait_state
from skyops_p2p.testnet.startup import bring_up as start_nodes
from skyops_p2p.testnet.topology import default_topology

GPU_JOB = {
    "name": "demo",
    "runtime": "wasm",
    "module": "file:demo.wasm",
    "resources": {"gpu": {"vram": "12Gi"}},
}
"""What is only matched: the network's GPUs are invented, so it could not run."""
UP_TIMEOUT_S = 120.0
SLOTS = 2
"""Jobs side by side on one node: whoever wins the job that is only matched holds its capacity for a minute."""


def bring_up(demo: Demo) -> str:
    """Start a network and wait until everybody knows everybody."""
    topology = default_topology(demo.node_count)
    nodes = tuple(plan.model_copy(update={"slots": SLOTS}) for plan in topology.nodes)
    topology = topology.model_copy(update={"nodes": nodes})
    demo.testnet = Testnet.create(demo.directory, name=demo.name, topology=topology)
    start_nodes(demo.testnet, timeout_s=UP_TIMEOUT_S, progress=demo.progress)
    return f"{demo.node_count} processes, {demo.testnet.record.network}; each has all others on its map as ACTIVE."


def join(demo: Demo) -> str:
    """Start one more node, as a person in another terminal would."""
    data_dir = guests_dir(demo.directory) / "guest-1"
    data_dir.mkdir(mode=0o700, parents=True)
    arguments = ["--data-dir", str(data_dir), "run", "--no-screen", "--join", str(demo.directory)]
    demo.guest = pid, start = start_detached(arguments, log=data_dir / "log")

    def sees_all() -> bool:
        if state_of(pid, start) == "dead":
            raise TestnetError("the requester's node ended by itself", hint=f"Its log: {data_dir / 'log'}")
        try:
            demo.requester = ControlClient.of(data_dir, timeout_s=5.0)
            return _count(demo.requester.map(), "active") == demo.node_count + 1
        except NetworkError:
            return False

    wait_until(demo, sees_all, "the requester sees the whole network")
    status = demo.client.status()
    return f"skyops run --join {demo.directory.name}: peer …{status.peer_id[-8:]} knows {demo.node_count} others."


def query_map(demo: Demo) -> str:
    """Choose the cheapest worker with a large enough GPU."""
    query = MapQuery.model_validate(
        {"vram_gib": 12, "workers_only": True, "states": ("active",), "sort": "price"}
    )
    found = demo.client.map(query)
    if not found:
        raise failed("no worker with 12 GiB of GPU memory is on the map")
    demo.worker = found[0]
    gpu = found[0].gpus[0].model
    price = found[0].price_microcredits_per_hour / MICROCREDITS
    return f"skyops map --vram 12 --sort price: {len(found)} workers, the cheapest a {gpu} for {price:g} credits/h."


def ping(demo: Demo) -> str:
    """Measure the way to it."""
    assert demo.worker is not None
    trips_ms = sorted(demo.client.ping(demo.worker.peer_id)[1] * 1000 for _ in range(5))
    return f"skyops ping {demo.worker.peer_id[-8:]}: {trips_ms[2]:.1f} ms (median of 5)."


def handshake(demo: Demo) -> str:
    """Have both sides prove their wallets."""
    assert demo.worker is not None
    session = demo.client.handshake(demo.worker.peer_id)
    if session.wallet != demo.worker.wallet:
        raise failed("the session's wallet is not the one on the map")
    return (
        f"skyops handshake {session.peer_id[-8:]}: session {session.session_id[:16]}… in {session.took_ms:.1f} ms;\n"
        f"wallet {session.wallet} proven, encrypted end to end."
    )


def match(demo: Demo) -> str:
    """Offer a job that needs one larger GPU, and check the award from its bid book."""
    ended = demo.client.match(GPU_JOB, lambda _step: None)
    if not ended.is_matched:
        reasons = ", ".join(f"{reason.nodes} x {reason.code}" for reason in ended.reasons)
        raise failed(f"no worker took the job: {ended.code} ({reasons})")
    bids, digest = demo.audited(ended.job_id)
    if digest != ended.book_digest:
        raise failed("the bid book is not the one that the award names")
    turned_down = sum(one.code != ACCEPTED for one in ended.outcomes)
    price = ended.price_microcredits_per_hour / MICROCREDITS
    return (
        f"skyops match job.toml: {bids} sealed bids, …{ended.winner[-8:]} ({ended.gpu_model}) for {price:g} "
        f"credits/h after {ended.elapsed_ms} ms;\n{turned_down} others with a reason each; "
        f"skyops audit {ended.job_id[:12]}: OK."
    )


def restart(demo: Demo) -> str:
    """Start the killed node again and watch everybody's map."""
    peer_id = demo.network.record.entry(demo.victim).peer_id
    started = time.monotonic()
    demo.network.restart(demo.victim)
    answers_s = time.monotonic() - started
    wait_until(demo, lambda: all_see(demo, peer_id, "active"), f"{demo.victim} is ACTIVE on every map")
    everywhere_s = time.monotonic() - started
    return f"{demo.victim}: answers after {answers_s:.1f} s, ACTIVE on every map after {everywhere_s:.1f} s."


def take_down(demo: Demo) -> str:
    """Stop all processes and remove their files."""
    if demo.guest is not None:  # before it has said where it is, nobody else knows of it
        send_signal(*demo.guest, signal.SIGTERM)
        if not wait_state([demo.guest], "dead", timeout_s=STOP_TIMEOUT_S):
            send_signal(*demo.guest, signal.SIGKILL)
    count = demo.network.down()
    return f"{count} nodes and the requester stopped, files removed."


def all_see(demo: Demo, peer_id: str, state: str) -> bool:
    """Tell whether every other node that runs, and the requester, has a node in a state."""
    others = [entry for entry in demo.network.record.nodes if entry.peer_id != peer_id]
    alive = [demo.network.client(entry.name) for entry in others if demo.network.state(entry) == "running"]
    clients = [demo.client, *alive]
    return all(state_on(client, peer_id) == state for client in clients)


def state_on(client: ControlClient, peer_id: str) -> str:
    """Return the state of a node on another one's map."""
    try:
        return client.node(peer_id).state
    except NetworkError:
        return "unknown"


def _count(views: tuple[NodeView, ...], state: str) -> int:
    return sum(view.state == state for view in views)
