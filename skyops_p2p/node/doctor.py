"""`skyops doctor`: looks at everything that a node needs, and says of each thing how to mend it.

Nothing is changed: no file is written, no schema brought forward, no peer spoken to beyond a TCP connection.
There is no outside source of time in a peer-to-peer network, so the clock is checked against itself, the files
and the kernel's own opinion; the finding says so.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import trio

from skyops_p2p.config import NodeConfig
from skyops_p2p.node import doctor_machine, doctor_money, doctor_network, doctor_state
from skyops_p2p.node.finding import Finding, Status

__all__ = ["Finding", "Status", "examine"]

Check = Callable[[], Awaitable[list[Finding]]]


async def examine(
    config: NodeConfig, *, environment: Mapping[str, str], is_running: bool = False
) -> tuple[Finding, ...]:
    """Run all checks, side by side, and return their findings in a fixed order.

    Takes a few seconds at most: every check that could wait has a deadline of its own.

    Args:
        config: The settings that the node runs with, or would run with.
        environment: Where the wallet's passphrase is looked for; the wallet is not opened without one.
        is_running: The settings are those of a running node.
    """
    holder = doctor_state.running_process(config.data_dir)
    checks: list[Check] = [
        *(_threaded(check) for check in (doctor_machine.check_python, doctor_machine.check_libp2p)),
        _threaded(partial(doctor_state.check_settings, config, is_running=is_running)),
        _threaded(partial(doctor_state.check_data_dir, config)),
        _threaded(partial(doctor_state.check_node_key, config)),
        _threaded(partial(doctor_state.check_wallet, config, environment)),
        _threaded(partial(doctor_state.check_store, config)),
        _threaded(partial(doctor_machine.check_clock, config)),
        _threaded(partial(doctor_machine.check_disk, config)),
        _threaded(doctor_machine.check_memory),
        _threaded(partial(doctor_machine.check_open_files, config)),
        partial(doctor_machine.check_hardware, config),
        _threaded(partial(doctor_machine.check_arithmetic, config)),
        _threaded(partial(doctor_machine.check_images, config)),
        _threaded(partial(doctor_network.check_ports, config, holder)),
        _threaded(partial(doctor_network.check_addresses, config)),
        _threaded(partial(doctor_network.check_ipv6, config)),
        _threaded(partial(doctor_network.check_mdns, config)),
        partial(doctor_network.check_bootstrap_peers, config),
        partial(doctor_money.check_money, config),
    ]
    results: list[list[Finding]] = [[] for _ in checks]

    async def run(place: int, check: Check) -> None:
        results[place] = await check()

    async with trio.open_nursery() as nursery:
        for place, check in enumerate(checks):
            nursery.start_soon(run, place, check)
    return tuple(finding for result in results for finding in result)


def _threaded(check: Callable[[], list[Finding]]) -> Check:
    """Run a blocking check in a thread."""

    async def run() -> list[Finding]:
        return await trio.to_thread.run_sync(check)

    return run
