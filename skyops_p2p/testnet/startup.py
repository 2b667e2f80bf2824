"""Brings a laid-out test network up: the first node, then all others at once, then until all see each other."""

import signal

from skyops_p2p.errors import SkyopsError
from skyops_p2p.testnet.launcher import READY_TIMEOUT_S, Progress, Testnet


def bring_up(testnet: Testnet, *, timeout_s: float, progress: Progress) -> None:
    """Start every node and wait until each sees all others ACTIVE.

    If it fails or is interrupted, what was started is stopped; the files stay, so that the logs can be read.

    Raises:
        TestnetError: `node_died`, `timed_out` or `not_converged`.
    """
    names = [entry.name for entry in testnet.record.nodes]
    try:
        progress(f"starting {len(names)} nodes")
        testnet.start(names)
        progress(f"{len(names)} processes started, waiting for their first answer")
        testnet.wait_ready(names, timeout_s=max(READY_TIMEOUT_S, timeout_s))
        testnet.wait_converged(timeout_s=timeout_s, progress=progress)
    except (SkyopsError, KeyboardInterrupt):
        for name in names:
            testnet.signal(name, signal.SIGKILL)
        raise
