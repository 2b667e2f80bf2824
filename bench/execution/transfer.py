"""Encrypted transfer between two node processes, against raw TCP, an ssh pipe and js-libp2p's stream."""

import argparse
import hashlib
import os
import resource
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from bench.network._worlds import Starter, find_starters
from bench.tables import number, print_place, print_table, say
from skyops_p2p.crypto.chunks import Place, Purpose, chunk_keys, open_chunk, seal_chunk
from skyops_p2p.limits import CONTENT_CHUNK_BYTES
from tests.interop.line_peer import LinePeer, start_peer

MIB = 1 << 20
TIMEOUT_S = 600.0
PIECE = MIB
LIMIT_ROUNDS = 400


# --- what bounds it ---------------------------------------------------------------------------------------------
def limits_of_one_core() -> list[list[object]]:
    """Measure the parts of one chunk's way on one core."""
    plaintext, keys = os.urandom(CONTENT_CHUNK_BYTES), chunk_keys(bytes(32))
    place = Place(Purpose.FILE, 0, 1)
    block = seal_chunk(keys, plaintext, place)
    parts: dict[str, Callable[[], object]] = {
        "SHA-256": lambda: hashlib.sha256(plaintext).digest(),
        "seal a chunk (SHA-256 of the text, BLAKE2b, XChaCha20-Poly1305)": lambda: seal_chunk(
            keys, plaintext, place
        ),
        "open a chunk (XChaCha20-Poly1305)": lambda: open_chunk(keys, block, place),
    }
    return [[name, number(_rate(work, len(plaintext)))] for name, work in parts.items()]


def _rate(work: Callable[[], object], size: int) -> float:
    """Return MB per second of CPU time."""
    started = _cpu_s()
    for _ in range(LIMIT_ROUNDS):
        work()
    return LIMIT_ROUNDS * size / 1e6 / (_cpu_s() - started)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# --- what it is compared with -----------------------------------------------------------------------------------
def raw_tcp(size_mib: int) -> float:
    """Send zeros over loopback from one thread to a process of its own; MB/s."""
    program = (
        "import socket,sys\ns=socket.socket();s.bind(('127.0.0.1',0));s.listen(1)\n"
        "print(s.getsockname()[1],flush=True)\nc,_=s.accept();b=bytearray(1<<20);n=0\n"
        "while (k:=c.recv_into(b)): n+=k\nc.sendall(n.to_bytes(8,'big'))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as sink:
        assert sink.stdout is not None
        with socket.create_connection(("127.0.0.1", int(sink.stdout.readline()))) as sender:
            piece, started = bytes(PIECE), time.perf_counter()
            for _ in range(size_mib):
                sender.sendall(piece)
            sender.shutdown(socket.SHUT_WR)
            assert int.from_bytes(sender.recv(8), "big") == size_mib * MIB
            return size_mib * MIB / 1e6 / (time.perf_counter() - started)


@contextmanager
def ssh_server(directory: Path) -> Iterator[list[str] | None]:
    """Run sshd on loopback with keys of its own; yield the ssh command, or None where there is no sshd."""
    program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None or shutil.which("ssh") is None:
        say("ssh is left out: no sshd here (apt-get install openssh-server)")
        yield None
        return
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    shutil.copy(directory / "user.pub", directory / "authorized")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": directory / "host",
        "AuthorizedKeysFile": directory / "authorized",
        "StrictModes": "no",
        "UsePAM": "no",
        "PidFile": "none",
    }
    config = directory / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    server = subprocess.Popen([program, "-D", "-e", "-f", config], stderr=subprocess.DEVNULL)
    try:
        if not _listens(port):
            say("ssh is left out: sshd does not listen (does /run/sshd exist?)")
            yield None
            return
        yield [
            "ssh", "-p", str(port), "-i", str(directory / "user"), "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "127.0.0.1",
        ]  # fmt: skip
    finally:
        server.terminate()
        server.wait()


def _listens(port: int) -> bool:
    for _ in range(50):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.1)
    return False


def ssh_pipe(command: list[str], source: Path) -> float | None:
    """Pipe a file through ssh into nothing; MB/s, or None if it fails here."""
    started = time.perf_counter()
    with source.open("rb") as file:
        done = subprocess.run([*command, "cat > /dev/null"], stdin=file, check=False)
    if done.returncode != 0:
        say("ssh is left out: it could not log in here")
        return None
    return source.stat().st_size / 1e6 / (time.perf_counter() - started)


async def js_stream(starter: Starter, size_mib: int) -> float:
    """Send bytes over one stream between two js-libp2p processes (Noise, yamux), into nothing; MB/s."""
    size = size_mib * MIB
    async with starter() as alice, starter() as bob:
        await alice.call("dial", addr=bob.addrs[0])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(bob.call, "sink", size=size, timeout_s=TIMEOUT_S))
            await trio.sleep(0.2)  # until it is sent: one line at a time
            await bob.call("mesh")  # commands are begun in their order
            started = time.perf_counter()
            await alice.call("push", peer=bob.peer_id, size=size, timeout_s=TIMEOUT_S)
        return size / 1e6 / (time.perf_counter() - started)


# --- the transfer ------------------------------------------------------------------------------------------------
async def transfer(size_mib: int, source: Path, directory: Path, *, channel: bool) -> dict[str, float]:
    """Seal on one node, fetch and open on another; return the figures."""
    command = [sys.executable, "-m", "bench.execution._shelf_peer", str(directory)]
    async with start_peer(command) as alice, start_peer(command) as bob:
        await bob.call("dial", addr=alice.addrs[0])
        key, into = secrets.token_bytes(32).hex(), directory / f"out-{secrets.token_hex(4)}"
        sealed = await alice.call("seal", path=str(source), key=key, owner="bench", timeout_s=TIMEOUT_S)
        ref = sealed["ref"]
        await alice.call("memory")
        fetched = await _fetch(bob, ref, alice.peer_id, channel=channel)
        served = await alice.call("memory")
        opened = await bob.call("open", ref=ref, into=str(into), key=key, timeout_s=TIMEOUT_S)
        synced = await bob.call("sync", timeout_s=TIMEOUT_S)
        is_same = await trio.to_thread.run_sync(_are_same, source, into / source.name)
        assert is_same, "what was opened is not what was sealed"
        shutil.rmtree(into)
    megabytes = size_mib * MIB / 1e6
    whole_s = sealed["s"] + fetched["s"] + opened["s"]
    return {
        "seal": megabytes / sealed["s"],
        "fetch": megabytes / fetched["s"],
        "open": megabytes / opened["s"],
        "whole": megabytes / whole_s,
        "sync_s": synced["s"],
        "cpu": 1000 * (sealed["cpu_s"] + opened["cpu_s"]) / megabytes,
        "grown_alice": max(sealed["most_mib"], served["most_mib"]) - sealed["before_mib"],
        "grown_bob": max(fetched["most_mib"], opened["most_mib"]) - fetched["before_mib"],
    }


async def _fetch(bob: LinePeer, ref: dict[str, Any], holder: str, *, channel: bool) -> dict[str, Any]:
    return await bob.call(
        "fetch", ref=ref, holder=holder, owner="bench", channel=channel, timeout_s=TIMEOUT_S
    )


def _are_same(first: Path, second: Path) -> bool:
    with first.open("rb") as one, second.open("rb") as other:
        while True:
            piece = one.read(PIECE)
            if piece != other.read(PIECE):
                return False
            if not piece:
                return True


def make_input(directory: Path, size_mib: int) -> Path:
    """Write a file of random bytes."""
    path = directory / f"input-{size_mib}.bin"
    with path.open("wb") as file:
        for _ in range(size_mib):
            file.write(os.urandom(PIECE))
    return path


def run_size(
    size_mib: int, rounds: int, directory: Path, *, ssh: list[str] | None, js: Starter | None
) -> list[list[object]]:
    """Measure everything at one size; the best of the rounds counts, since others use the machine too."""
    source = make_input(directory, size_mib)
    rows: list[list[object]] = []
    try:
        for channel in (True, False):
            name = "data channel" if channel else "libp2p stream"
            once = partial(transfer, size_mib, source, directory, channel=channel)
            runs = [trio.run(once) for _ in range(rounds)]
            best = {key: max(run[key] for run in runs) for key in ("seal", "fetch", "open", "whole")}
            grown = [max(run[key] for run in runs) for key in ("grown_alice", "grown_bob")]
            rows.append(
                [
                    f"skyops, {name}",
                    f"{size_mib} MiB",
                    *(number(best[key]) for key in ("fetch", "whole", "seal", "open")),
                    " / ".join(number(value) for value in grown),
                ]
            )
            say(" ".join(map(str, rows[-1])))
        rates = {"raw TCP": max(raw_tcp(size_mib) for _ in range(rounds))}
        if js is not None:
            rates["js-libp2p stream into nothing"] = max(
                trio.run(js_stream, js, size_mib) for _ in range(rounds)
            )
        piped = [rate for _ in range(rounds) if ssh and (rate := ssh_pipe(ssh, source))]
        if piped:
            rates["ssh pipe into nothing"] = max(piped)
        rows += [[name, f"{size_mib} MiB", number(rate), *["-"] * 4] for name, rate in rates.items()]
    finally:
        source.unlink()
    return rows


def main(argv: Sequence[str]) -> None:
    """Run and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench execution.transfer", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 1024], help="MiB")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the best counts")
    parser.add_argument("--directory", type=Path, default=None, help="where the files lie; a disk, not tmpfs")
    options = parser.parse_args(argv)
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as place,
        tempfile.TemporaryDirectory() as keys,
        ssh_server(Path(keys)) as ssh,
    ):
        js = find_starters(["js"]).get("js")
        rows = [
            row
            for size in options.sizes
            for row in run_size(size, options.rounds, Path(place), ssh=ssh, js=js)
        ]
    columns = (
        "way",
        "size",
        "transfer",
        "seal to open",
        "seal",
        "open",
        "MiB more memory, sender / receiver",
    )
    print_table(columns, rows)
    print_table(("one core", "MB/s"), limits_of_one_core())
    print(
        "MB/s, the best run. Two processes on loopback. Transfer: stored ciphertext, checked block by block when it is "
        "read and when it comes, and stored on the other side. Seal to open: the input read and sealed, transferred, "
        "opened and written as files, one after the other. Memory: the most that the process had more than before.\n"
    )
    print_place()
