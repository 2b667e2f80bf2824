"""What every node of a test network looks like now: asked at once, each within seconds."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from skyops_p2p.errors import SkyopsError
from skyops_p2p.testnet.launcher import Testnet
from skyops_p2p.testnet.record import NodeEntry

_ANSWER_TIMEOUT_S = 3.0
_ASKED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One node."""

    name: str
    state: str
    """"running", "starting" (alive, answers nothing yet), "stopped" or "dead"."""
    pid: int
    peer_id: str
    addr: str
    gpus: tuple[str, ...]
    region: str
    connections: int | None
    """None if it does not answer."""
    map_counts: dict[str, int]
    faults: dict[str, object]


@dataclass(frozen=True, slots=True)
class ChainReport:
    """The network's chain."""

    state: str
    """"running", "stopped" or "dead"."""
    pid: int
    url: str
    contracts: str
    """Address of the Directory."""


def survey_chain(testnet: Testnet) -> ChainReport | None:
    """Look at the network's chain; None if it has none."""
    chain = testnet.chain
    if chain is None:
        return None
    return ChainReport(chain.state(), chain.process[0], chain.entry.url, chain.entry.contracts)


def survey(testnet: Testnet) -> tuple[NodeReport, ...]:
    """Ask every running node for its status."""
    with ThreadPoolExecutor(max_workers=_ASKED_AT_ONCE) as pool:
        return tuple(pool.map(lambda entry: _report(testnet, entry), testnet.record.nodes))


def _report(testnet: Testnet, entry: NodeEntry) -> NodeReport:
    state = testnet.state(entry)
    connections: int | None = None
    counts: dict[str, int] = {}
    if state == "running":
        try:
            status = testnet.client(entry.name, timeout_s=_ANSWER_TIMEOUT_S).status()
            connections, counts = status.connections, status.map_counts
        except SkyopsError:
            state = "starting"
    return NodeReport(
        name=entry.name,
        state=state,
        pid=entry.pid,
        peer_id=entry.peer_id,
        addr=entry.addr,
        gpus=entry.gpus,
        region=entry.region,
        connections=connections,
        map_counts=counts,
        faults={name: value for name, value in testnet.faults(entry.name).items() if value},
    )
