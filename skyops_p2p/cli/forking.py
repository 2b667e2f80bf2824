"""Starts several nodes out of one process that has imported everything once: `python -m skyops_p2p.cli.forking`.

Importing the program takes about a second of CPU. A test network of 20 nodes on 2 cores would spend 10 s on that;
forked after the imports, the nodes start at once and share the memory of the code. Only the testnet launcher uses
this. Forking is safe here because nothing runs yet: no thread, no event loop, no open socket or store (asserted
below), and Python, OpenSSL and libsodium take their randomness anew from the kernel.

Standard input: one JSON object a line, {"arguments": [...], "log": "path"}. Standard output: one pid a line.
"""

import contextlib
import gc
import json
import os
import sys
import threading
from importlib import import_module
from pathlib import Path

PRELOADED = (
    "skyops_p2p.cli.running",
    "skyops_p2p.gateway.server",
    "skyops_p2p.adapters.hardware",
    "skyops_p2p.adapters.libp2p.network",
    "skyops_p2p.adapters.sqlite",
    "skyops_p2p.adapters.system",
    "skyops_p2p.testnet.faults",
)
"""What every node needs."""


def main() -> None:
    """Read the orders, import, fork, and end; the nodes go on by themselves."""
    orders = [json.loads(line) for line in sys.stdin]
    for name in PRELOADED:
        import_module(name)
    assert threading.active_count() == 1, "a library starts a thread on import: forking is not safe any more"
    gc.collect()
    gc.freeze()  # what is shared stays shared: the collector does not write to it any more
    for order in orders:
        pid = _fork_node(order["arguments"], order["log"])
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()  # whoever has waited too long ends those that are there


def _fork_node(arguments: list[str], log: str) -> int:
    """Fork one node; returns its pid here, and never returns in the child."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        _redirect(log)
        _name_process(Path(log).parent.name)
        from skyops_p2p.cli.main import run_main

        code = run_main(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _name_process(name: str) -> None:
    """Show the node's name in `ps -e` and `top`, where the kernel lets us."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(f"skyops {name}"[:15], encoding="utf-8")


def _redirect(log: str) -> None:
    """Read from nothing and write to the log."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(nothing)
    os.close(output)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
