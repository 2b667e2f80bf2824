"""Installs anvil from npm, unless it is on PATH, and starts it."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.interop.npm_packages import PackagesMissingError, install_packages

PACKAGES = Path(__file__).parent / "anvil_packages"
NODE_MAJOR_MIN = 18
START_TIMEOUT_S = 90.0


class AnvilMissingError(Exception):
    """There is neither anvil nor npm here, or the package cannot be had."""


def find_anvil() -> Path:
    """Return the program: that of PATH, else npm's."""
    there = shutil.which("anvil")
    if there is not None:
        return Path(there)
    try:
        _, directory = install_packages(PACKAGES, "anvil", node_major_min=NODE_MAJOR_MIN)
    except PackagesMissingError as missing:
        raise AnvilMissingError(str(missing)) from missing
    found = list(directory.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))
    if not found:
        raise AnvilMissingError(f"npm has no anvil for this machine in {directory}")
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
        said = re.search(r"Listening on (127\.0\.0\.1:\d+)\s", log.read_text())
        if said:
            return f"http://{said[1]}"
        time.sleep(0.02)
    raise AnvilMissingError(f"anvil did not start: {log.read_text()[-500:]}")
