"""Brings a laid-out test network up: its chain, then all nodes at once, then until all see each other.

The chain's process starts first and the contracts are put on it before the nodes look for them; the wallets are given
money while the nodes start.
"""

import signal

from skyops_p2p.errors import SkyopsError
from skyops_p2p.testnet.launcher import READY_TIMEOUT_S, Progress, Testnet
from skyops_p2p.testnet.topology import CHAIN_NAME


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
        progress(f"starting {len(names)} nodes")
        testnet.start(names)
        if chain is not None:
            progress(f"{len(names)} processes started, giving {len(names)} wallets money")
            chain.give_nodes_money()
        progress(f"{len(names)} processes started, waiting for their first answer")
        testnet.wait_ready(names, timeout_s=max(READY_TIMEOUT_S, timeout_s))
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
