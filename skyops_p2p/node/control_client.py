"""A client of the control API of a node that runs in another process.

Used by the command line and by the testnet launcher. It is synchronous and built on the standard library:
importing an HTTP package would cost each command about 0.1 s. Errors of the node come back as the same
classes, codes and hints that the library raises.
"""

import http.client
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from skyops_p2p import errors
from skyops_p2p.errors import NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.limits import (
    API_ANSWER_BYTES_MAX,
    API_EVENT_HEARTBEAT_S,
    API_OPERATION_TIMEOUT_S,
    MATCH_TIMEOUT_S,
)
from skyops_p2p.node.run_file import RunFile, not_running, read_run_file
from skyops_p2p.node.views import MapQuery, NodeEventView, NodeView, PeerView, SessionView, StatusView

if TYPE_CHECKING:
    from skyops_p2p.node.job_preview import PreviewView
    from skyops_p2p.node.match_view import MatchStepView, MatchView

_ERRORS: dict[str, type[SkyopsError]] = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, SkyopsError) and value is not RemoteProtocolError
}


class ControlClient:
    """Talks to one node. Each call is one short connection; nothing is kept open.

    Args:
        data_dir: The node's data directory, for error messages.
        entry: Its run file.
        timeout_s: Seconds to wait for an answer.
    """

    def __init__(self, data_dir: Path, entry: RunFile, *, timeout_s: float = API_OPERATION_TIMEOUT_S) -> None:
        self.data_dir = data_dir
        self.entry = entry
        self.timeout_s = timeout_s

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
            return bool(self._call("GET", "/ready").get("is_ready"))
        except NetworkError:
            return False

    def status(self) -> StatusView:
        """Return the node's own screen."""
        return StatusView.model_validate(self._call("GET", "/v1/status"))

    def peers(self) -> tuple[PeerView, ...]:
        """Return its links."""
        return tuple(PeerView.model_validate(item) for item in self._call("GET", "/v1/peers")["peers"])

    def map(self, query: MapQuery | None = None) -> tuple[NodeView, ...]:
        """Return the nodes on its map that match."""
        fields = query.model_dump(exclude_defaults=True) if query is not None else {}
        path = "/v1/map" + (f"?{urlencode(fields, doseq=True)}" if fields else "")
        return tuple(NodeView.model_validate(item) for item in self._call("GET", path)["nodes"])

    def node(self, peer: str) -> NodeView:
        """Return one node of its map by peer id, unique part of one, or "self"."""
        return NodeView.model_validate(self._call("GET", f"/v1/nodes/{quote(peer, safe='')}"))

    def search(self, query: MapQuery) -> int:
        """Have it look in the DHT for nodes that match; return how many are new."""
        fields = query.model_dump(mode="json", exclude_defaults=True)
        return int(self._call("POST", "/v1/map/search", fields)["found"])

    def ping(self, peer: str) -> tuple[str, float]:
        """Have it ping a peer; return the whole peer id and the round trip in seconds."""
        answer = self._call("POST", f"/v1/peers/{quote(peer, safe='')}/ping")
        return str(answer["peer_id"]), float(answer["round_trip_ms"]) / 1000.0

    def handshake(self, peer: str) -> SessionView:
        """Have it open an authenticated session with a peer."""
        answer = self._call("POST", f"/v1/peers/{quote(peer, safe='')}/handshake")
        return SessionView.model_validate(answer)

    def join(self, addr: str) -> str:
        """Have it dial a multiaddr with /p2p; return the peer id."""
        return str(self._call("POST", "/v1/join", {"addr": addr})["peer_id"])

    def preview(self, spec: Mapping[str, object]) -> "PreviewView":
        """Have it screen the nodes of its map for a job, given as the specification's JSON."""
        from skyops_p2p.node.job_preview import PreviewView  # other questions do without the job models

        return PreviewView.model_validate(self._call("POST", "/v1/jobs/preview", dict(spec)))

    def stop(self) -> None:
        """Ask it to stop cleanly; returns before it has."""
        self._call("POST", "/v1/stop")

    def metrics(self) -> str:
        """Return its metrics as Prometheus text."""
        return self._exchange("GET", "/v1/metrics", None).decode("utf-8", "replace")

    def set_faults(self, faults: Mapping[str, object]) -> None:
        """Replace the faults of a test network's node; see skyops_p2p.testnet.faults."""
        self._call("PUT", "/v1/faults", dict(faults))

    def match(self, tree: Mapping[str, object], told: "Callable[[MatchStepView], None]") -> "MatchView":
        """Have it look for a worker for a job; `told` is called with each step while it runs.

        Args:
            tree: The job as `JobSpec.model_dump(mode="json", by_alias=True)` gives it.
            told: Called with each step.

        Raises:
            SkyopsError: The job is not valid, the node does not answer, or too many matches run.
        """
        from skyops_p2p.node.match_view import MatchStepView, MatchView

        connection = self._connect(MATCH_TIMEOUT_S + self.timeout_s)
        try:
            response = self._send(connection, "POST", "/v1/jobs/match", dict(tree))
            while line := response.readline(API_ANSWER_BYTES_MAX):
                content = json.loads(line)
                if "step" in content:
                    told(MatchStepView.model_validate(content["step"]))
                elif "match" in content:
                    return MatchView.model_validate(content["match"])
                else:
                    problem = content["problem"]
                    raise SkyopsError(problem["detail"], code=problem["code"], hint=problem["hint"])
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._broken(error) from error
        finally:
            connection.close()
        raise NetworkError("the node broke off the match", code="api_answer_invalid")

    def events(self) -> Iterator[NodeEventView]:
        """Yield events as they happen, until the node stops or the iterator is closed.

        Raises:
            NetworkError: The node does not answer, or nothing (not even a heartbeat) came for long.
        """
        connection = self._connect(API_EVENT_HEARTBEAT_S * 3)
        try:
            response = self._send(connection, "GET", "/v1/events", None)
            while line := response.readline(API_ANSWER_BYTES_MAX):
                if line.startswith(b"data: "):
                    yield NodeEventView.model_validate_json(line[6:])
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from error
        finally:
            connection.close()

    def _call(self, method: str, path: str, body: object = None) -> Any:
        payload = self._exchange(method, path, body)
        try:
            return json.loads(payload) if payload else {}
        except ValueError as error:
            raise NetworkError("the node's answer is no JSON", code="api_answer_invalid") from error

    def _exchange(self, method: str, path: str, body: object) -> bytes:
        connection = self._connect(self.timeout_s)
        try:
            return self._send(connection, method, path, body).read(API_ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from error
        finally:
            connection.close()

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        parts = urlsplit(self.entry.url)
        return http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: object
    ) -> http.client.HTTPResponse:
        """Send a request and return the answer, whose body is unread; raise if the answer is an error."""
        payload = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.entry.token}", "Accept": "application/json"}
        if payload is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, body=payload, headers=headers)
        response = connection.getresponse()
        if response.status >= 400:
            raise _error_of(response.status, response.read(API_ANSWER_BYTES_MAX))
        return response

    def _broken(self, error: Exception) -> NetworkError:
        """Return the error for a connection that failed, was cut or took too long."""
        if isinstance(error, socket.timeout):
            return NetworkError(
                f"the node (process {self.entry.pid}) did not answer within {self.timeout_s:g} s",
                code="node_not_answering",
                hint="It may be stopped (SIGSTOP) or overloaded; its log says more.",
            )
        return not_running(self.data_dir, f"the node at {self.entry.url} does not answer")


def _error_of(status: int, payload: bytes) -> SkyopsError:
    """Return the library's error for a problem+json answer (RFC 9457)."""
    try:
        problem = json.loads(payload)
        message, code = str(problem["detail"]), str(problem["code"])
    except (ValueError, KeyError, TypeError):
        return NetworkError(f"the node answered with HTTP status {status}", code="api_answer_invalid")
    hint = str(problem.get("hint", ""))
    kind = str(problem.get("kind", ""))
    if kind == "RemoteProtocolError":
        refused = RemoteProtocolError(
            message, code=code, rule=str(problem.get("rule", "")), peer=str(problem.get("peer", ""))
        )
        refused.hint = hint or refused.hint
        return refused
    return _ERRORS.get(kind, SkyopsError)(message, code=code, hint=hint or None)
