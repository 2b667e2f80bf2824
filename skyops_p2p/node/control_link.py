"""The way to the control API of a node that runs in another process: one request, one answer or one stream of lines.

Synchronous and built on the standard library: importing an HTTP package would cost each command about 0.1 s. Errors
of the node come back as the same classes, codes and hints that the library raises.
"""

import http.client
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from skyops_p2p import errors
from skyops_p2p.errors import NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.limits import API_ANSWER_BYTES_MAX, API_EVENT_HEARTBEAT_S
from skyops_p2p.node.run_file import RunFile, not_running

_ERRORS: dict[str, type[SkyopsError]] = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, SkyopsError) and value is not RemoteProtocolError
}
STREAM_TIMEOUT_S = API_EVENT_HEARTBEAT_S * 3
"""Silence on a stream, signs of life included, after which the node counts as gone."""


class ControlLink:
    """Talks to one node. Each call is one short connection; nothing is kept open.

    Args:
        data_dir: The node's data directory, for error messages.
        entry: Its run file.
        timeout_s: Seconds to wait for an answer.
    """

    def __init__(self, data_dir: Path, entry: RunFile, *, timeout_s: float) -> None:
        self.data_dir = data_dir
        self.entry = entry
        self.timeout_s = timeout_s
        self.around: Callable[[], AbstractContextManager[None]] = nullcontext
        """What is done around the wait for an answer, such as telling a person; streams do without."""

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Send a request and return what its JSON answer holds.

        Raises:
            SkyopsError: What the node answered, or that it did not.
        """
        payload = self.exchange(method, path, body)
        try:
            return json.loads(payload) if payload else {}
        except ValueError as error:
            raise NetworkError("the node's answer is no JSON", code="api_answer_invalid") from error

    def exchange(self, method: str, path: str, body: object = None) -> bytes:
        """Send a request and return its answer; as `call`."""
        connection = self._connect(self.timeout_s)
        try:
            with self.around():
                return self._send(connection, method, path, body).read(API_ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error, self.timeout_s) from error
        finally:
            connection.close()

    def raw_lines(self, method: str, path: str, body: object = None) -> Iterator[bytes]:
        """Send a request and yield the lines of its answer, with their ends, until it ends or the iterator is closed.

        Raises:
            SkyopsError: What the node answered; or that it did not, or that nothing (not even a sign of life) came
                for STREAM_TIMEOUT_S.
        """
        connection = self._connect(STREAM_TIMEOUT_S)
        try:
            response = self._send(connection, method, path, body)
            while line := response.readline(API_ANSWER_BYTES_MAX):
                yield line
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error, STREAM_TIMEOUT_S) from error
        finally:
            connection.close()

    def objects(self, method: str, path: str, body: object = None) -> Iterator[tuple[str, Any]]:
        """Yield (kind, content) of each line of JSON; a problem is raised. As `raw_lines`."""
        for line in self.raw_lines(method, path, body):
            if line == b"\n":
                continue
            try:
                ((kind, content),) = json.loads(line).items()
            except (ValueError, AttributeError) as error:
                raise NetworkError("the node's answer is no JSON", code="api_answer_invalid") from error
            if kind == "problem":
                raise error_of(content)
            yield kind, content

    def broken_off(self, what: str) -> NetworkError:
        """Return the error for a stream that ended too early."""
        return not_running(self.data_dir, f"the node stopped in the middle of {what}; it ran")

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
            raise _error_in(response.status, response.read(API_ANSWER_BYTES_MAX))
        return response

    def _broken(self, error: Exception, timeout_s: float) -> NetworkError:
        """Return the error for a connection that failed, was cut or took too long."""
        if isinstance(error, socket.timeout):
            return NetworkError(
                f"the node (process {self.entry.pid}) did not answer within {timeout_s:g} s",
                code="node_not_answering",
                hint="It may be stopped (SIGSTOP) or overloaded; its log says more.",
            )
        return not_running(self.data_dir, f"the node at {self.entry.url} does not answer")


def _error_in(status: int, payload: bytes) -> SkyopsError:
    """Return the library's error for a problem+json answer (RFC 9457)."""
    try:
        return error_of(json.loads(payload))
    except (ValueError, KeyError, TypeError):
        return NetworkError(f"the node answered with HTTP status {status}", code="api_answer_invalid")


def error_of(problem: Mapping[str, Any]) -> SkyopsError:
    """Return the library's error for the members of a problem.

    Raises:
        KeyError, TypeError: It is none.
    """
    message, code = str(problem["detail"]), str(problem["code"])
    hint = str(problem.get("hint", ""))
    kind = str(problem.get("kind", ""))
    if kind == "RemoteProtocolError":
        refused = RemoteProtocolError(
            message, code=code, rule=str(problem.get("rule", "")), peer=str(problem.get("peer", ""))
        )
        refused.hint = hint or refused.hint
        return refused
    return _ERRORS.get(kind, SkyopsError)(message, code=code, hint=hint or None)
