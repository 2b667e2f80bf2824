"""Installs anvil from npm into build/, once, and starts it; also used by bench/chain."""

import fcntl
import hashlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION = "1.7.1"
BUILD = Path(__file__).resolve().parents[3] / "build"
INSTALL_TIMEOUT_S = 300
START_TIMEOUT_S = 20.0


class AnvilMissingError(Exception):
    """There is neither anvil nor npm here, or the package cannot be had."""


def find_anvil() -> Path:
    """Return the program: that of PATH, else npm's."""
    there = shutil.which("anvil")
    if there is not None:
        return Path(there)
    directory = BUILD / f"anvil-{hashlib.sha256(VERSION.encode()).hexdigest()[:12]}"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = list(directory.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))
        return found[0] if found else _install(directory)


def _install(directory: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise AnvilMissingError("there is no npm to install anvil with")
    (directory / "package.json").write_text("{}")
    command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", f"@foundry-rs/anvil@{VERSION}"]
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
    )
    found = list(directory.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))
    if not found:
        raise AnvilMissingError(f"npm: {done.stderr.strip()[-500:]}")
    return found[0]


@contextmanager
def run_anvil(program: Path, log: Path, *arguments: str, port: int = 0) -> Iterator[str]:
    """Run anvil and give its URL."""
    command = [str(program), "--host", "127.0.0.1", "--port", str(port), "--chain-id", "31337", *arguments]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield _url(process, log)
    finally:
        process.kill()
        process.wait()


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        said = re.search(r"Listening on (127\.0\.0\.1:\d+)", log.read_text())
        if said:
            return f"http://{said[1]}"
        time.sleep(0.02)
    raise AnvilMissingError(f"anvil did not start: {log.read_text()[-500:]}")
