"""Which runtimes this machine could start jobs in. Blocking: called in threads, with a deadline, by the probe.

Present means tried: the engine answers, bubblewrap really makes a sandbox. Whether limits are hard differs:
wasm bounds memory and fuel by itself; docker's engine says what its kernel can do; native needs control groups
of our own. "hard" means that the sandbox of that runtime has CPU, memory and process count in its `enforces`.
"""

import importlib.metadata
import importlib.util
import logging
import os
import platform
import shutil
import socket
import subprocess
from pathlib import Path

from skyops_p2p import limits
from skyops_p2p.ports import Runtime

logger = logging.getLogger(__name__)
NATIVE_MACHINES = ("x86_64", "aarch64")
"""Processors for which adapters/native knows the numbers of system calls."""
DOCKER_SOCKET = Path("/var/run/docker.sock")


def find_wasm() -> Runtime | None:
    """Return the embedded runtime if its package is installed; it is not imported here (60 MiB)."""
    if importlib.util.find_spec("wasmtime") is None:
        return None
    try:
        version = importlib.metadata.version("wasmtime")
    except importlib.metadata.PackageNotFoundError:
        version = ""
    return Runtime("wasm", version, "hard")


def find_docker() -> Runtime | None:
    """Return the container engine if it answers within ENGINE_TIMEOUT_S."""
    address = os.environ.get("DOCKER_HOST") or f"unix://{DOCKER_SOCKET}"
    if address.startswith("unix://") and not _is_listening(address.removeprefix("unix://")):
        return None  # the usual case without an engine: spare the import of its library (0.2 s)
    import docker
    import docker.errors
    import requests

    try:
        # A named version keeps the constructor from asking for one: its sockets leak when that fails. Without
        # a version in the path every engine answers, whichever versions it speaks.
        client = docker.from_env(version="1.41", timeout=limits.ENGINE_TIMEOUT_S)
        try:
            answer = client.api.get(f"{client.api.base_url}/info", timeout=limits.ENGINE_TIMEOUT_S)
            answer.raise_for_status()
            facts = answer.json()
        finally:
            client.close()
    except (docker.errors.DockerException, requests.RequestException, OSError, ValueError) as error:
        logger.debug("docker_no_answer error=%s", error)
        return None
    if not isinstance(facts, dict):
        return None
    is_hard = all(facts.get(ability) for ability in ("MemoryLimit", "PidsLimit", "CpuCfsQuota"))
    return Runtime("docker", str(facts.get("ServerVersion", "")), "hard" if is_hard else "soft")


def _is_listening(path: str) -> bool:
    """Return whether somebody accepts connections on a socket of this machine."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(limits.ENGINE_TIMEOUT_S)
        try:
            trial.connect(path)
        except OSError as error:
            logger.debug("docker_not_listening path=%s error=%s", path, error)
            return False
    return True


def find_native(*, has_hard_limits: bool) -> Runtime | None:
    """Return bubblewrap (0.8 or newer) if the kernel lets it make a sandbox on a processor with a filter of ours."""
    program = shutil.which("bwrap")
    if program is None or platform.machine() not in NATIVE_MACHINES:
        return None
    # The options that need the newest bubblewrap of all that adapters/native passes.
    options = [
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--die-with-parent",
        "--ro-bind",
        "/",
        "/",
    ]
    trial = [program, *options, program, "--version"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, found on our own PATH
            trial, capture_output=True, timeout=limits.ENGINE_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        logger.debug("bwrap_failed error=%s", error)
        return None
    name, _, version = done.stdout.decode("ascii", "replace").strip().partition(" ")
    if name != "bubblewrap":
        return None
    return Runtime("native", version[:32], "hard" if has_hard_limits else "soft")
