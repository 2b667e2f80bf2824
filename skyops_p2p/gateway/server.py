"""Serves the control API on a socket for as long as a block runs, and keeps the run file."""

import ipaddress
import logging
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from skyops_p2p.config import NodeConfig
from skyops_p2p.errors import ConfigError, NetworkError, StoreError
from skyops_p2p.gateway.app import create_app
from skyops_p2p.gateway.guard import Guard
from skyops_p2p.gateway.subject import FaultSwitch, Stop, Subject
from skyops_p2p.node.run_file import RunFile, remove_run_file, write_run_file

_log = logging.getLogger(__name__)
_GRACE_S = 1.0
"""How long open requests may go on after the stop; then their connections are cut."""


@asynccontextmanager
async def serve_api(
    subject: Subject, config: NodeConfig, *, stop: Stop, faults: FaultSwitch | None = None
) -> AsyncIterator[RunFile]:
    """Serve the control API while the block runs; yields once it answers.

    The token is new at each start. The run file is written after the socket listens and removed at the end.

    Raises:
        NetworkError: `port_taken` or `cannot_listen`.
        StoreError: `store_unusable`: the run file cannot be written.
        ConfigError: `api_not_loopback`: a reachable address without `api.allow_remote`.
    """
    host, port = config.api.host, config.api.port
    if not config.api.allow_remote and not _is_loopback(host):
        raise ConfigError(
            f"api.host: {host} can be reached from other machines",
            code="api_not_loopback",
            hint="Use 127.0.0.1, or set api.allow_remote = true if that is what you want.",
        )
    token = secrets.token_urlsafe(32)
    with _bind(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listener.getsockname()[1]}"
        hosts = (
            frozenset() if config.api.allow_remote else frozenset({"127.0.0.1", "localhost", "[::1]", shown})
        )
        app = create_app(subject, token=token, stop=stop, hosts=hosts, faults=faults)
        async with trio.open_nursery() as nursery:
            stopping = trio.Event()
            await nursery.start(partial(_serve, app, listener, stopping))
            entry = _write_run_file(config, url, token)
            _log.info("api_ready url=%s", url)
            try:
                yield entry
            finally:
                remove_run_file(config.data_dir, entry)
                stopping.set()
                nursery.cancel_scope.deadline = trio.current_time() + _GRACE_S


async def _serve(
    app: Guard,
    listener: socket.socket,
    stopping: trio.Event,
    *,
    task_status: Any,
) -> None:
    """Run Hypercorn on a bound socket until `stopping` is set."""
    settings = Config()
    # Hypercorn closes the descriptor that it is given; ours is closed by its owner.
    settings.bind = [f"fd://{listener.dup().detach()}"]
    settings.accesslog = None
    settings.errorlog = _log.getChild("http")
    settings.errorlog.setLevel(logging.WARNING)
    settings.graceful_timeout = 0.2
    settings.h11_max_incomplete_size = 16 * 1024
    await serve(app, settings, shutdown_trigger=stopping.wait, task_status=task_status, mode="asgi")


def _write_run_file(config: NodeConfig, url: str, token: str) -> RunFile:
    try:
        return write_run_file(config, url=url, token=token)
    except OSError as error:
        raise StoreError(
            f"cannot write the run file in {config.data_dir}: {error.strerror}",
            hint="Check free disk space and who may write the directory.",
        ) from error


def _bind(host: str, port: int) -> socket.socket:
    """Return a bound TCP socket.

    Raises:
        NetworkError: `port_taken` or `cannot_listen`.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        is_taken = error.errno is not None and "in use" in str(error).lower()
        raise NetworkError(
            f"the control API cannot listen on {host} port {port}: {error.strerror}",
            code="port_taken" if is_taken else "cannot_listen",
            hint="Choose another with api.port (0 picks a free one).",
        ) from error
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
