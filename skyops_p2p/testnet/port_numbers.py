"""Hands out TCP ports that nobody takes in between.

A free port that the kernel names is free only for that moment: another process may get it before the node binds
it. So ports are taken from below the kernel's ephemeral range, where nothing is given out by itself; each is
tried by binding, and is then reserved by a file that names the test network's directory. A reservation lasts
until the network goes down; one whose directory has no record any more is stale. Source: the same problem and
idea in Core Lightning's contrib/pyln-testing (reserve_unused_port).
"""

import os
import socket
from pathlib import Path

from skyops_p2p.errors import TestnetError
from skyops_p2p.testnet.places import state_root

PORT_FIRST = 20_000
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_EPHEMERAL_FIRST_DEFAULT = 32_768


def reserve_ports(count: int, owner: Path) -> list[int]:
    """Reserve ports for a test network.

    Args:
        count: How many.
        owner: The directory of the network.

    Raises:
        TestnetError: `ports_exhausted`.
    """
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    reserved: list[int] = []
    # Start at a place of our own, so that networks that start at once seldom meet.
    span = _ephemeral_first() - PORT_FIRST
    offset = os.getpid() * 64 % span
    for step in range(span):
        if len(reserved) == count:
            break
        port = PORT_FIRST + (offset + step) % span
        if _take(folder / str(port), owner) and not _is_bindable(port):
            (folder / str(port)).unlink()
        elif _owner(folder / str(port)) == owner:
            reserved.append(port)
    if len(reserved) < count:
        release_ports(owner)
        raise TestnetError(
            f"fewer than {count} free ports from {PORT_FIRST} to {_ephemeral_first() - 1}",
            code="ports_exhausted",
        )
    return reserved


def release_ports(owner: Path) -> None:
    """Give back all ports of a test network."""
    if not _folder().exists():
        return
    for path in _folder().iterdir():
        if _owner(path) == owner:
            path.unlink(missing_ok=True)


def _folder() -> Path:
    return state_root() / "ports"


def _take(path: Path, owner: Path) -> bool:
    """Create the reservation file; False if another network holds the port or it was ours already."""
    holder = _owner(path)
    if holder is not None:
        if holder.exists():
            return False
        path.unlink(missing_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(str(owner))
    except FileExistsError:
        return False
    return True


def _owner(path: Path) -> Path | None:
    try:
        return Path(path.read_text(encoding="utf-8"))
    except OSError:
        return None


def _is_bindable(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _ephemeral_first() -> int:
    try:
        first = int(_RANGE_FILE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return _EPHEMERAL_FIRST_DEFAULT
    return first if first > PORT_FIRST + 1000 else _EPHEMERAL_FIRST_DEFAULT
