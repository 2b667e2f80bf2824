"""Give libp2p's log lines back to the program, at the severity that they deserve.

Importing libp2p sets its logger to WARNING with propagate off, and several modules log ordinary disconnects
as errors or through the root logger. Here the logger is handed back to the program's own handlers and the
noisy modules are lowered: a peer's misbehaviour is never more than INFO for a person (style guide, Logs).
"""

import logging
import os

QUIET_MODULES = (
    "libp2p.host",
    "libp2p.identity",
    "libp2p.kad_dht",
    "libp2p.network",
    "libp2p.peer",
    "libp2p.protocol_muxer",
    "libp2p.pubsub",
    "libp2p.relay",
    "libp2p.security",
    "libp2p.stream_muxer",
    "libp2p.tools",
    "libp2p.transport",
)
"""Modules that log what a peer did, or what we did on purpose, as WARNING or ERROR."""


def restore_logging() -> None:
    """Undo the import's effects on logging and quiet the noisy modules; may be called again.

    With LIBP2P_DEBUG set, libp2p's own switch, nothing is touched: whoever sets it wants every line.
    """
    if os.environ.get("LIBP2P_DEBUG"):
        return
    logging.getLogger("libp2p").propagate = True
    for name in QUIET_MODULES:
        logging.getLogger(name).setLevel(logging.CRITICAL)


class RootLogShim:
    """Stands in for the module `logging` inside a foreign module that logs through the root logger.

    `logging.debug(...)` on the root logger calls basicConfig, which installs a handler on standard error
    behind the program's back. The shim sends such lines to the module's own logger.
    """

    def __init__(self, name: str) -> None:
        logger = logging.getLogger(name)
        self.debug = logger.debug
        self.info = logger.info
        self.warning = logger.warning
        self.error = logger.error
        self.exception = logger.exception

    def getLogger(self, name: str | None = None) -> logging.Logger:  # noqa: N802 - the name of what it replaces
        """Return a named logger, as the module that it stands in for does."""
        return logging.getLogger(name)
