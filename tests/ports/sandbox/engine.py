"""A container engine of our own for the tests: private socket, private data, no bridge, no packet filter rules."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STARTED_WITHIN_S = 180
STOPPED_WITHIN_S = 30
GVISOR = "runsc"
_WRAPPER = '#!/bin/sh\nexec "{program}" --network=none --platform=ptrace "$@"\n'


@dataclass(frozen=True)
class Engine:
    address: str
    """As DOCKER_HOST."""
    has_gvisor: bool


def missing() -> str:
    """Say what must be installed for an engine to start, "" if nothing."""
    if os.geteuid() != 0:
        return "a private container engine needs root"
    lacking = [name for name in ("dockerd", "containerd", "runc") if shutil.which(name) is None]
    return f"{', '.join(lacking)} not installed (Debian: apt-get install docker.io)" if lacking else ""


@contextlib.contextmanager
def private_engine(*, gvisor: bool = True) -> Iterator[Engine]:
    """Start an engine, with gVisor where it is installed, and stop it with everything that it started."""
    home = Path(tempfile.mkdtemp(prefix="skyops-engine-"))
    runsc = shutil.which(GVISOR) if gvisor else None
    log = home / "dockerd.log"
    with log.open("wb") as told:
        # Not our environment: the home and run directories of the test that came first vanish with it.
        env = {"PATH": os.environ.get("PATH", os.defpath), "TMPDIR": str(home)}
        process = subprocess.Popen(_command(home, runsc), stdout=told, stderr=subprocess.STDOUT, env=env)
    try:
        address = home / "docker.sock"
        _wait_until_it_answers(process, address, log)
        yield Engine(f"unix://{address}", has_gvisor=runsc is not None)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _command(home: Path, runsc: str | None) -> list[str]:
    command = [
        "dockerd",
        *("-H", f"unix://{home}/docker.sock"),
        *("--data-root", f"{home}/root", "--exec-root", f"{home}/run", "-p", f"{home}/dockerd.pid"),
        *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
        *("--storage-driver", "overlay2"),
    ]
    if runsc is not None:
        wrapper = home / "runsc-wrapper"
        wrapper.write_text(_WRAPPER.format(program=runsc))
        wrapper.chmod(0o755)
        command += ["--experimental", "--add-runtime", f"{GVISOR}={wrapper}"]
    return command


def _wait_until_it_answers(process: subprocess.Popen[bytes], address: Path, log: Path) -> None:
    never = threading.Event()
    for _ in range(STARTED_WITHIN_S * 20):
        if process.poll() is not None:
            break
        with socket.socket(socket.AF_UNIX) as trial:
            try:
                trial.connect(str(address))
                trial.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                if b"200 OK" in trial.recv(64):
                    return
            except OSError:
                never.wait(0.05)
    raise RuntimeError(f"the engine did not start:\n{log.read_text(errors='replace')[-2000:]}")
