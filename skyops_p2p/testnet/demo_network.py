"""The demonstration's stages about the network: it comes up, is joined and asked, and gets a dead node back."""

import signal
import time
from pathlib import Path

from skyops_p2p.config.models import MisbehaviourName
from skyops_p2p.errors import NetworkError, TestnetError
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.views import MapQuery, NodeView
from skyops_p2p.testnet.creation import guests_dir
from skyops_p2p.testnet.demo_pace import measure_slowness, stretched_beat_s
from skyops_p2p.testnet.demo_stage import (
    ANSWER_TIMEOUT_S,
    MICROCREDITS,
    POLL_S,
    Demo,
    Roles,
    failed,
    wait_until,
)
from skyops_p2p.testnet.launcher import READY_TIMEOUT_S, STOP_TIMEOUT_S, Testnet
from skyops_p2p.testnet.processes import send_signal, start_detached, state_of, wait_state
from skyops_p2p.testnet.startup import bring_up as start_nodes
from skyops_p2p.testnet.topology import (
    BEAT_S_DEFAULT,
    NetworkPlan,
    NodePlan,
    Topology,
    default_topology,
    expand,
)

BROKER = "broker"
"""A node that knows everybody and forwards what they say, but neither works nor asks."""
UP_TIMEOUT_S = 120.0
"""On a quiet machine a tenth of it is usual."""
SLOTS = 2
"""Jobs side by side on one node: whoever wins a job that is only matched holds its capacity for a minute."""
BLOCK_S = 2.0
"""Between blocks where the chain is reorganised, on a quiet machine: long enough to see a block, and take it back."""
REDEEM_S_NEVER = 86_400.0
WITH_LIAR_LEAST = 5
"""Workers where one lies: two compute the same as it does, one has the training, and one has no part in it."""
WITH_HEIR_LEAST = 5
"""Workers where one that lies is the heir of one that dies: two compute the same, and one has no part in it."""
ALIKE: MisbehaviourName = "wrong-alike"
_HEIR_PRICE = 90_000
"""Microcredits an hour; three quarters of it are asked for the training: above the floor of a job without GPU, to which
a cheaper worker's bid is raised, and below what a worker with a large GPU asks."""
_USUAL = NetworkPlan(beat_s=BEAT_S_DEFAULT)


def demo_topology(workers: int, network: NetworkPlan = _USUAL) -> Topology:
    """Return the network of the demonstration: a broker through which the others join, and workers of mixed classes.

    Args:
        workers: How many.
        network: What it is like.

    Raises:
        TestnetError: `too_many_nodes`.
    """
    nodes = [plan.model_copy(update={"slots": SLOTS}) for plan in default_topology(workers).nodes]
    broker = NodePlan(name=BROKER, worker=False, region="eu")
    return expand(Topology(network=network, nodes=(broker, *nodes)))


def with_liar(topology: Topology) -> Roles:
    """Have a cheap worker do wrong, and the two dearest the same work right.

    So the liar wins a job that goes to the cheapest of the three. It is one that the jobs which are only matched leave
    alone: one without GPU, or not the cheapest that has one.

    Raises:
        TestnetError: `demo_failed`: fewer than WITH_LIAR_LEAST workers.
    """
    workers = sorted((plan.price_microcredits_per_hour, plan.name) for plan in topology.nodes if plan.worker)
    if len(workers) < WITH_LIAR_LEAST:
        raise failed(
            f"this needs {WITH_LIAR_LEAST} workers at least: three that compute the same, and two besides"
        )
    bare = {plan.name for plan in topology.nodes if not plan.gpus}
    liar = next((name for _, name in workers if name in bare), workers[1][1])
    honest = tuple(name for _, name in workers[-2:])
    return Roles(_misbehaving(topology, liar), liar, honest)


def with_lying_heir(topology: Topology) -> Roles:
    """Have the second cheapest worker do wrong, and three others the same work right.

    So a job of these four that goes to the cheapest goes to an honest one first, to the liar when that one dies, and
    two are left that compute the same. The liar's price is between theirs, also where both would bid the floor.

    Raises:
        TestnetError: `demo_failed`: fewer than WITH_HEIR_LEAST workers.
    """
    workers = sorted((plan.price_microcredits_per_hour, plan.name) for plan in topology.nodes if plan.worker)
    if len(workers) < WITH_HEIR_LEAST:
        raise failed(
            f"this needs {WITH_HEIR_LEAST} workers at least: one that dies, one that lies, two that compute the "
            "same, and one besides"
        )
    first, liar, *others = (name for _, name in workers[: WITH_HEIR_LEAST - 1])
    return Roles(_misbehaving(topology, liar, price=_HEIR_PRICE), liar, (first, *others))


def with_cartel(topology: Topology) -> Roles:
    """Have two cheap workers do wrong alike, and the dearest the same work right: they outvote it.

    Raises:
        TestnetError: `demo_failed`: fewer than WITH_LIAR_LEAST workers.
    """
    roles = with_liar(topology)
    workers = sorted((plan.price_microcredits_per_hour, plan.name) for plan in topology.nodes if plan.worker)
    others = (name for _, name in workers[1:] if name not in (roles.liar, *roles.honest))
    accomplice, honest = next(others), roles.honest[-1:]
    both = _misbehaving(_misbehaving(topology, roles.liar, conduct=ALIKE), accomplice, conduct=ALIKE)
    return Roles(both, roles.liar, honest, accomplice)


def _misbehaving(
    topology: Topology, liar: str, *, conduct: MisbehaviourName = "wrong-result", price: int | None = None
) -> Topology:
    update = {"misbehaves": conduct} | ({"price_microcredits_per_hour": price} if price else {})
    nodes = tuple(plan.model_copy(update=update) if plan.name == liar else plan for plan in topology.nodes)
    return topology.model_copy(update={"nodes": nodes})


def bring_up(demo: Demo) -> str:
    """Start a network and wait until everybody knows everybody."""
    demo.slowness = measure_slowness()
    beat_s = stretched_beat_s(BEAT_S_DEFAULT, demo.slowness)
    network = NetworkPlan(beat_s=beat_s)
    if demo.confirmations:  # then nobody redeems by itself: a stage takes the block of a redemption back
        block_s = round(BLOCK_S * demo.slowness, 1)
        network = NetworkPlan(
            beat_s=beat_s, block_s=block_s, confirmations=demo.confirmations, redeem_s=REDEEM_S_NEVER
        )
    topology = demo_topology(demo.node_count, network)
    if demo.cast is not None:
        roles = demo.cast(topology)
        topology, demo.liar, demo.accomplice, demo.honest = (
            roles.topology,
            roles.liar,
            roles.accomplice,
            roles.honest,
        )
    demo.testnet = Testnet.create(demo.directory, name=demo.name, topology=topology)
    start_nodes(demo.testnet, timeout_s=UP_TIMEOUT_S * demo.slowness, progress=demo.progress)
    demo.figures |= {"slowness": round(demo.slowness, 2), "beat_s": beat_s}
    lies = "".join(
        f'\n{plan.name} has misbehaves = "{plan.misbehaves}": it changes what programs leave behind.'
        for plan in topology.nodes
        if plan.misbehaves
    )
    return (
        f"{demo.node_count} workers, a broker and a chain, {demo.testnet.record.network}; "
        f"each node has all others on its map as ACTIVE;\na second of work takes {demo.slowness:.1f} s here, "
        f"so heartbeats come every {beat_s:g} s.{lies}"
    )


def join(demo: Demo) -> str:
    """Start one more node, as a person in another terminal would."""
    guest_dir(demo).mkdir(mode=0o700, parents=True)
    start_guest(demo)

    def sees_all() -> bool:
        return (
            guest_answers(demo) and _count(demo.client.map(), "active") == len(demo.network.record.nodes) + 1
        )

    wait_until(demo, sees_all, "the requester sees the whole network")
    status = demo.client.status()
    return (
        f"skyops run --join {demo.directory.name}: peer …{status.peer_id[-8:]} knows "
        f"{len(demo.network.record.nodes)} others."
    )


def guest_dir(demo: Demo) -> Path:
    """Return the requester's data directory."""
    return guests_dir(demo.directory) / "guest-1"


def start_guest(demo: Demo) -> None:
    """Start the requester's node, and do not wait."""
    words = ["--data-dir", str(guest_dir(demo)), "run", "--no-screen", "--join", str(demo.directory)]
    demo.guest = start_detached(words, log=guest_dir(demo) / "log")


def guest_answers(demo: Demo) -> bool:
    """Tell whether the requester's node answers, where it is now.

    Raises:
        TestnetError: `node_died`.
    """
    assert demo.guest is not None
    if state_of(*demo.guest) == "dead":
        raise TestnetError(
            "the requester's node ended by itself",
            code="node_died",
            hint=f"Its log: {guest_dir(demo) / 'log'}",
        )
    try:
        demo.requester = ControlClient.of(guest_dir(demo), timeout_s=ANSWER_TIMEOUT_S)
        return demo.requester.is_ready()
    except NetworkError:
        return False


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


def restart(demo: Demo) -> str:
    """Start the node that was killed again, and watch everybody's map."""
    peer_id = demo.network.record.entry(demo.victim).peer_id
    started = time.monotonic()
    demo.network.start([demo.victim])
    wait_until(demo, lambda: _answers(demo), f"{demo.victim} answers", limit_s=READY_TIMEOUT_S)
    answers_s = time.monotonic() - started
    wait_until(demo, lambda: all_see(demo, peer_id, "active"), f"{demo.victim} is ACTIVE on every map")
    everywhere_s = time.monotonic() - started
    return f"{demo.victim}: answers after {answers_s:.1f} s, ACTIVE on every map after {everywhere_s:.1f} s."


def _answers(demo: Demo) -> bool:
    """Tell whether the node that was hurt answers.

    Raises:
        TestnetError: `node_died`.
    """
    try:
        demo.network.wait_ready([demo.victim], timeout_s=POLL_S)
    except TestnetError as error:
        if error.code != "timed_out":
            raise
        return False
    return True


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
    alive = [demo.node(entry.name) for entry in others if demo.network.state(entry) == "running"]
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
