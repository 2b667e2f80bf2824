"""The running node's outermost loop: signals, node, control API, screen or log lines, clean stop."""

import gc
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Any

import click
import trio

from skyops_p2p.cli.faults import testnet_faults
from skyops_p2p.cli.logs import RecentLines, set_up_logs
from skyops_p2p.config import NodeConfig
from skyops_p2p.node.factory import default_ports
from skyops_p2p.node.identity import Identity
from skyops_p2p.node.runtime import Node

_log = logging.getLogger(__name__)
EXIT_AT_ONCE = 130


def run_node(config: NodeConfig, identity: Identity, *, is_screen: bool, is_color: bool) -> None:
    """Run a node until a signal or the control API stops it.

    Raises:
        SkyopsError: The node could not start.
    """
    gc.disable()  # until the node is ready: the imports make no garbage, and much to look through
    recent = RecentLines() if is_screen else None
    set_up_logs(level=config.log.level, style=config.log.format, recent=recent)
    trio.run(partial(_run, config, identity, recent=recent, is_color=is_color))


async def _run(config: NodeConfig, identity: Identity, *, recent: RecentLines | None, is_color: bool) -> None:
    stop = trio.Event()
    ports, faults = testnet_faults(config, default_ports(config, identity))
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as watchers:
            watchers.start_soon(_watch_signals, signals, stop)
            async with Node(config, identity, ports=ports) as node, _api(node, config, stop, faults):
                _tell_ready(node, config)
                _settle_memory()
                if recent is None:
                    await stop.wait()
                else:
                    from skyops_p2p.cli.screen import show_screen

                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(partial(show_screen, node, recent, is_color=is_color))
                        await stop.wait()
                        nursery.cancel_scope.cancel()
            watchers.cancel_scope.cancel()
    _log.info("node_stopped peer=%s", identity.node_key.peer_id[-8:])
    if recent is not None:
        click.echo("Stopped cleanly.")


async def _watch_signals(signals: AsyncIterator[int], stop: trio.Event) -> None:
    """Stop cleanly at the first signal, and at once at the second."""
    async for number in signals:
        if stop.is_set():
            os._exit(EXIT_AT_ONCE)
        _log.info("stopping signal=%s", signal.Signals(number).name)
        stop.set()


def _api(
    node: Node, config: NodeConfig, stop: trio.Event, faults: Any
) -> AbstractAsyncContextManager[object | None]:
    """Return the control API as a context, or nothing if the settings switch it off."""
    if not config.api.enabled:
        return nullcontext()
    return _serve_api(node, config, stop, faults)


@asynccontextmanager
async def _serve_api(node: Node, config: NodeConfig, stop: trio.Event, faults: Any) -> AsyncIterator[None]:
    from skyops_p2p.gateway.server import serve_api

    async with serve_api(node, config, stop=stop.set, faults=faults):
        yield


def _settle_memory() -> None:
    """Take what the imports made out of the garbage collector's sight: a full collection of it takes 0.1 s."""
    gc.enable()
    gc.collect()
    gc.freeze()


def _tell_ready(node: Node, config: NodeConfig) -> None:
    status = node.status()
    _log.info(
        "node_ready peer=%s wallet=%s network=%s worker=%s data_dir=%s",
        status.peer_id,
        status.wallet,
        status.network,
        status.is_worker,
        config.data_dir,
    )
    for addr in status.listen:
        _log.info("listening addr=%s", addr)
