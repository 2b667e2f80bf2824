"""A network of real processes: it comes up, is disturbed in every way, and leaves nothing behind."""

import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skyops_p2p.errors import NetworkError, TestnetError
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.run_file import process_start
from skyops_p2p.testnet.creation import log_path, node_dir
from skyops_p2p.testnet.disturbance import heal, partition, slow
from skyops_p2p.testnet.launcher import Testnet
from skyops_p2p.testnet.startup import bring_up
from skyops_p2p.testnet.survey import survey
from skyops_p2p.testnet.topology import NetworkPlan, Topology, default_topology
from tests.e2e.conftest import PATIENCE_S, wait_until

pytestmark = [pytest.mark.process, pytest.mark.net]

Make = Callable[..., Testnet]


@pytest.fixture
def make_testnet(tmp_path: Path) -> Iterator[Make]:
    """Bring networks up, and take down those that are left."""
    made: list[Path] = []

    def make(name: str = "net", *, nodes: int = 4, beat_s: float = 1.0, is_private: bool = False) -> Testnet:
        topology: Topology = default_topology(nodes)
        plan = NetworkPlan(beat_s=beat_s, private=is_private, chain=False)
        testnet = Testnet.create(
            tmp_path / name, name=name, topology=topology.model_copy(update={"network": plan})
        )
        made.append(testnet.directory)
        bring_up(testnet, timeout_s=PATIENCE_S, progress=lambda _line: None)
        return testnet

    yield make
    for directory in made:
        if (directory / "testnet.json").exists():
            Testnet(directory).down()


def sees(testnet: Testnet, viewer: str, target: str) -> str:
    """Return the state in which one node has another on its map."""
    return state_at(testnet.client(viewer), testnet.record.entry(target).peer_id)


def state_at(client: ControlClient, peer_id: str) -> str:
    try:
        return client.node(peer_id).state
    except NetworkError as error:
        return error.code


def ping_s(client: ControlClient, peer_id: str) -> float:
    """Return a round trip; without an answer in time, one without end."""
    try:
        return client.ping(peer_id)[1]
    except NetworkError:
        return math.inf


def connections(client: ControlClient) -> int:
    """Return how many connections a node has; -1 if it does not answer in time."""
    try:
        return client.status().connections
    except NetworkError:
        return -1


def pids(testnet: Testnet) -> list[tuple[int, str]]:
    return [(entry.pid, entry.process_start) for entry in testnet.record.nodes]


def test_death_return_freeze_and_guest(make_testnet: Make, start_skyops: Callable[..., object]) -> None:
    testnet = make_testnet()
    victim = testnet.record.entry("node-4")

    # A peer from outside joins by the directory and is given a data directory of its own.
    start_skyops("run", "--no-screen", "--join", str(testnet.directory))
    guest_dir = testnet.directory / "guests" / "guest-1"

    def guest_sees_all() -> bool:
        try:
            return len(ControlClient.of(guest_dir).map()) == 5
        except NetworkError:
            return False

    wait_until(guest_sees_all, what="the guest sees four nodes and itself")
    guest = ControlClient.of(guest_dir)
    own_id = guest.status().peer_id
    wait_until(lambda: state_at(testnet.client("node-1"), own_id) == "active", what="node-1 sees the guest")
    assert guest.handshake(victim.peer_id).peer_id == victim.peer_id
    wait_until(lambda: 0 < ping_s(guest, victim.peer_id[-8:]) < math.inf, what="node-4 answers the guest")

    # A crash turns up as SUSPECT, then INACTIVE, everywhere.
    testnet.signal("node-4", signal.SIGKILL)
    assert testnet.state(victim) == "dead"
    wait_until(lambda: state_at(guest, victim.peer_id) == "inactive", what="node-4 is INACTIVE for the guest")
    assert any("suspect -> inactive" in step for step in guest.node(victim.peer_id).history)
    for viewer in ("node-1", "node-2", "node-3"):
        wait_until(
            lambda name=viewer: sees(testnet, name, "node-4") == "inactive", what=f"… and for {viewer}"
        )

    # Its return is seen too, with the same identity.
    testnet.restart("node-4")
    for viewer in ("node-1", "node-2", "node-3"):
        wait_until(
            lambda name=viewer: sees(testnet, name, "node-4") == "active", what=f"{viewer} sees it back"
        )

    # A frozen process keeps its connections but does not answer.
    testnet.signal("node-3", signal.SIGSTOP)
    assert testnet.state(testnet.record.entry("node-3")) == "stopped"
    wait_until(lambda: sees(testnet, "node-1", "node-3") == "inactive", what="the frozen node is INACTIVE")
    testnet.signal("node-3", signal.SIGCONT)
    wait_until(lambda: sees(testnet, "node-1", "node-3") == "active", what="the thawed node is ACTIVE")

    processes = [*pids(testnet), (guest.entry.pid, guest.entry.process_start)]
    assert testnet.down() == 4
    assert [pid for pid, start in processes if process_start(pid) == start] == []
    assert not testnet.directory.exists()


def test_partition_and_slowness_end_with_heal(make_testnet: Make) -> None:
    testnet = make_testnet()
    partition(testnet, (("node-1", "node-2"), ("node-3", "node-4")))
    wait_until(lambda: sees(testnet, "node-1", "node-3") == "inactive", what="node-1 has lost node-3")
    wait_until(lambda: sees(testnet, "node-4", "node-2") == "inactive", what="node-4 has lost node-2")
    for one, other in (("node-1", "node-2"), ("node-3", "node-4")):
        wait_until(lambda a=one, b=other: sees(testnet, a, b) == "active", what=f"{one} still sees {other}")
    with pytest.raises(NetworkError):
        testnet.client("node-1").ping(testnet.record.entry("node-3").peer_id)

    # A partition lasts through a restart.
    testnet.restart("node-3")
    assert testnet.faults("node-3")["blocked"]
    wait_until(lambda: sees(testnet, "node-3", "node-4") == "active", what="node-3 sees its own side")
    assert sees(testnet, "node-1", "node-3") == "inactive"

    heal(testnet)
    names = [entry.name for entry in testnet.record.nodes]
    for viewer in names:
        for target in names:
            wait_until(
                lambda v=viewer, t=target: sees(testnet, v, t) == "active",
                what=f"{viewer} sees {target} again",
            )

    slow(testnet, "node-2", delay_ms=300, loss_permille=0)
    node_2 = testnet.record.entry("node-2").peer_id
    wait_until(lambda: math.inf > ping_s(testnet.client("node-1"), node_2) >= 0.3, what="node-2 is slow")
    (report,) = [report for report in survey(testnet) if report.name == "node-2"]
    assert report.faults == {"delay_ms": 300}
    heal(testnet)
    wait_until(lambda: ping_s(testnet.client("node-1"), node_2) < 0.3, what="node-2 is quick again")


def test_networks_side_by_side_do_not_mix(make_testnet: Make, skyops: Callable[..., object]) -> None:
    ours = make_testnet("ours", nodes=2)
    theirs = make_testnet("theirs", nodes=2, is_private=True)
    assert ours.record.network != theirs.record.network
    assert {e.port for e in ours.record.nodes}.isdisjoint(e.port for e in theirs.record.nodes)
    with pytest.raises(NetworkError):
        ours.client("node-1").join(theirs.record.entry("node-1").addr)
    for testnet in (ours, theirs):
        own = {entry.peer_id for entry in testnet.record.nodes}
        assert {view.peer_id for view in testnet.client("node-1").map()} == own

    # The names are taken, and a second `create` says so and changes nothing.
    with pytest.raises(TestnetError) as error:
        Testnet.create(ours.directory, name="ours", topology=default_topology(2))
    assert error.value.code == "testnet_exists"
    assert ours.down(keep=True) == 2
    assert ours.down() == 0
    assert theirs.down() == 2


def test_taken_port_is_told_by_the_node_and_by_the_launcher(make_testnet: Make) -> None:
    import socket

    testnet = make_testnet(nodes=2)
    testnet.signal("node-2", signal.SIGKILL)
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", testnet.record.entry("node-2").port))
        holder.listen()
        with pytest.raises(TestnetError, match="port_taken") as error:
            testnet.restart("node-2")
    assert error.value.code == "node_died"
    assert "port_taken" in log_path(testnet.directory, "node-2").read_text()


def test_second_process_on_one_data_directory_is_refused(
    make_testnet: Make, skyops: Callable[..., object]
) -> None:
    testnet = make_testnet(nodes=2)
    data_dir = node_dir(testnet.directory, "node-1")
    ran = skyops("--data-dir", str(data_dir), "run", "--no-screen", "--listen", "/ip4/127.0.0.1/tcp/0")
    assert ran.code == 5
    assert "error[store_locked]" in ran.err
    wait_until(lambda: connections(testnet.client("node-1")) == 1, what="the node goes on")
