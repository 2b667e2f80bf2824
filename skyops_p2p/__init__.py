"""Skyops: a peer-to-peer market for GPU compute.

Importing the package is cheap and has no side effects; the names below load their modules on first use::

    async with Node(config, identity) as node:
        ...
"""

from typing import TYPE_CHECKING, Any

from skyops_p2p._version import __version__

if TYPE_CHECKING:
    from skyops_p2p.config import NodeConfig
    from skyops_p2p.core.jobs.spec import JobSpec
    from skyops_p2p.errors import SkyopsError
    from skyops_p2p.node.runtime import Node
    from skyops_p2p.node.sync_client import SyncClient

__all__ = ["JobSpec", "Node", "NodeConfig", "SkyopsError", "SyncClient", "__version__"]

_LAZY = {
    "JobSpec": "skyops_p2p.core.jobs.spec",
    "Node": "skyops_p2p.node.runtime",
    "NodeConfig": "skyops_p2p.config",
    "SkyopsError": "skyops_p2p.errors",
    "SyncClient": "skyops_p2p.node.sync_client",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
