"""Brings a laid-out test network up: its chain, then the nodes, some at a time, then until all see each other.

The chain's process starts first and the contracts are put on it before the nodes look for them; the wallets are given
money while the nodes start.
"""

import signal

from skyops_p2p.errors import SkyopsError
from skyops_p2p.testnet.launcher import READY_TIMEOUT_S, Progress, Testnet
from skyops_p2p.testnet.topology import CHAIN_NAME

STARTED_AT_ONCE = 12
"""Nodes that start at the same time. Starting and joining is work; with fifty at once on two cores every node was late
with everything, and after five minutes they did not all see each other."""


def bring_up(testnet: Testnet, *, timeout_s: float, progress: Progress) -> None:
    """Start every node and wait until each sees all others ACTIVE.

    If it fails or is interrupted, what was started is stopped; the files stay, so that the logs can be read.

    Raises:
        TestnetError: `node_died`, `timed_out` or `not_converged`.
        ChainError: The chain did not start, or the contracts could not be deployed.
    """
    names = [entry.name for entry in testnet.record.nodes]
    chain = testnet.chain
    try:
        if chain is not None:
            progress("starting the chain, deploying the contracts")
            chain.finish_start(chain.launch())
        for first in range(0, len(names), STARTED_AT_ONCE):
            wave = names[first : first + STARTED_AT_ONCE]
            progress(f"starting {len(names)} nodes, {first + len(wave)} so far")
            testnet.start(wave)
            if chain is not None and first == 0:
                progress(f"giving {len(names)} wallets money")
                chain.give_nodes_money()
            progress(f"{first + len(wave)} of {len(names)} processes started, waiting for their first answer")
            testnet.wait_ready(wave, timeout_s=max(READY_TIMEOUT_S, timeout_s))
        testnet.wait_converged(timeout_s=timeout_s, progress=progress)
    except (SkyopsError, KeyboardInterrupt):
        for name in names:
            testnet.signal(name, signal.SIGKILL)
        if chain is not None:
            chain.signal(signal.SIGKILL)
        raise


def bring_back(testnet: Testnet, *, progress: Progress) -> list[str]:
    """Start again what is dead of a network, the chain first, and wait until it answers.

    Returns:
        The names of what was started; the chain's is CHAIN_NAME.

    Raises:
        ChainError: `chain_start_failed`.
        TestnetError: `node_died`, `timed_out`.
    """
    started = []
    if testnet.chain is not None and testnet.chain.start():
        started.append(CHAIN_NAME)
    dead = [entry.name for entry in testnet.record.nodes if testnet.state(entry) == "dead"]
    if dead:
        progress(f"starting {len(dead)} nodes again")
        testnet.start(dead)
        testnet.wait_ready(dead)
    return [*started, *dead]
