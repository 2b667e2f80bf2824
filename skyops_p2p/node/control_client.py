"""A client of the control API of a node that runs in another process.

Used by the command line, by the client for notebooks and by the testnet launcher.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from skyops_p2p.errors import NetworkError
from skyops_p2p.limits import API_OPERATION_TIMEOUT_S
from skyops_p2p.node.control_link import ControlLink
from skyops_p2p.node.run_file import RunFile, read_run_file
from skyops_p2p.node.views import (
    MapQuery,
    NodeEventView,
    NodeView,
    PeerView,
    ProofView,
    SessionView,
    StatusView,
)

if TYPE_CHECKING:
    from skyops_p2p.node.control_jobs import JobsClient
    from skyops_p2p.node.control_money import MoneyClient
    from skyops_p2p.node.control_payments import PaymentsClient
    from skyops_p2p.node.job_preview import PreviewView
    from skyops_p2p.node.match_view import MatchStepView, MatchView


class ControlClient(ControlLink):
    """Talks to one node; see ControlLink."""

    def __init__(self, data_dir: Path, entry: RunFile, *, timeout_s: float = API_OPERATION_TIMEOUT_S) -> None:
        super().__init__(data_dir, entry, timeout_s=timeout_s)

    @classmethod
    def of(cls, data_dir: Path, *, timeout_s: float = API_OPERATION_TIMEOUT_S) -> "ControlClient":
        """Return a client for the node that runs in a data directory.

        Raises:
            NetworkError: `node_not_running`.
        """
        return cls(data_dir, read_run_file(data_dir), timeout_s=timeout_s)

    def is_ready(self) -> bool:
        """Tell whether the node has started fully; False also while it does not answer."""
        try:
            return bool(self.call("GET", "/ready").get("is_ready"))
        except NetworkError:
            return False

    def status(self) -> StatusView:
        """Return the node's own screen."""
        return StatusView.model_validate(self.call("GET", "/v1/status"))

    def peers(self) -> tuple[PeerView, ...]:
        """Return its links."""
        return tuple(PeerView.model_validate(item) for item in self.call("GET", "/v1/peers")["peers"])

    def map(self, query: MapQuery | None = None) -> tuple[NodeView, ...]:
        """Return the nodes on its map that match."""
        fields = query.model_dump(exclude_defaults=True) if query is not None else {}
        path = "/v1/map" + (f"?{urlencode(fields, doseq=True)}" if fields else "")
        return tuple(NodeView.model_validate(item) for item in self.call("GET", path)["nodes"])

    def node(self, peer: str) -> NodeView:
        """Return one node of its map by peer id, unique part of one, or "self"."""
        return NodeView.model_validate(self.call("GET", f"/v1/nodes/{quote(peer, safe='')}"))

    def search(self, query: MapQuery) -> int:
        """Have it look in the DHT for nodes that match; return how many are new."""
        fields = query.model_dump(mode="json", exclude_defaults=True)
        return int(self.call("POST", "/v1/map/search", fields)["found"])

    def ping(self, peer: str) -> tuple[str, float]:
        """Have it ping a peer; return the whole peer id and the round trip in seconds."""
        answer = self.call("POST", f"/v1/peers/{quote(peer, safe='')}/ping")
        return str(answer["peer_id"]), float(answer["round_trip_ms"]) / 1000.0

    def handshake(self, peer: str) -> SessionView:
        """Have it open an authenticated session with a peer."""
        answer = self.call("POST", f"/v1/peers/{quote(peer, safe='')}/handshake")
        return SessionView.model_validate(answer)

    def prove(self, peer: str, *, again: bool = False, memory_mib: int = 0) -> ProofView:
        """Have it challenge a worker to prove what it computes; see Node.prove."""
        asked = {"again": again, "memory_mib": memory_mib}
        answer = self.call("POST", f"/v1/peers/{quote(peer, safe='')}/prove", asked)
        return ProofView.model_validate(answer)

    def join(self, addr: str) -> str:
        """Have it dial a multiaddr with /p2p; return the peer id."""
        return str(self.call("POST", "/v1/join", {"addr": addr})["peer_id"])

    def preview(self, spec: Mapping[str, object]) -> "PreviewView":
        """Have it screen the nodes of its map for a job, given as the specification's JSON."""
        from skyops_p2p.node.job_preview import PreviewView  # other questions do without the job models

        return PreviewView.model_validate(self.call("POST", "/v1/jobs/preview", dict(spec)))

    def stop(self) -> None:
        """Ask it to stop cleanly; returns before it has."""
        self.call("POST", "/v1/stop")

    def metrics(self) -> str:
        """Return its metrics as Prometheus text."""
        return self.exchange("GET", "/v1/metrics").decode("utf-8", "replace")

    def set_faults(self, faults: Mapping[str, object]) -> None:
        """Replace the faults of a test network's node; see skyops_p2p.testnet.faults."""
        self.call("PUT", "/v1/faults", dict(faults))

    def match(self, tree: Mapping[str, object], told: "Callable[[MatchStepView], None]") -> "MatchView":
        """Have it look for a worker for a job; `told` is called with each step while it runs.

        Args:
            tree: The job as `JobSpec.model_dump(mode="json", by_alias=True)` gives it.
            told: Called with each step.

        Raises:
            SkyopsError: The job is not valid, the node does not answer, or too many matches run.
        """
        from skyops_p2p.node.match_view import MatchStepView, MatchView

        for kind, content in self.objects("POST", "/v1/jobs/match", dict(tree)):
            if kind == "match":
                return MatchView.model_validate(content)
            told(MatchStepView.model_validate(content))
        raise self.broken_off("the match")

    @property
    def jobs(self) -> "JobsClient":
        """The jobs of the node."""
        from skyops_p2p.node.control_jobs import JobsClient

        return JobsClient(self)

    @property
    def payments(self) -> "PaymentsClient":
        """What the node pays and is paid."""
        from skyops_p2p.node.control_payments import PaymentsClient

        return PaymentsClient(self)

    @property
    def money(self) -> "MoneyClient":
        """The money of the node's wallet, for a person."""
        from skyops_p2p.node.control_money import MoneyClient

        return MoneyClient(self)

    def events(self) -> Iterator[NodeEventView]:
        """Yield events as they happen, until the node stops or the iterator is closed.

        Raises:
            NetworkError: The node does not answer, or nothing (not even a heartbeat) came for long.
        """
        for line in self.raw_lines("GET", "/v1/events"):
            if line.startswith(b"data: "):
                yield NodeEventView.model_validate_json(line[6:])
