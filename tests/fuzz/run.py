"""Fuzz every decoder, one process each, and print a table: `make fuzz ARGS="--runs 100000 --target canonical"`.

Findings are stored in tests/fuzz/findings, from where tests/fuzz/test_targets.py runs them for ever after.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.targets import TARGETS, corpus

FINDINGS = Path(__file__).parent / "findings"
STATISTIC = re.compile(r"stat::(\w+):\s+(\d+)")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs for each target")
    parser.add_argument("--seed", type=int, default=1, help="of the search")
    parser.add_argument(
        "--target", action="append", choices=sorted(TARGETS), help="only this one; may be repeated"
    )
    options = parser.parse_args(arguments)
    print(f"{'target':<28} {'inputs':>9} {'per s':>8} {'s':>6} {'peak MiB':>9}  result")
    failed = [name for name in options.target or TARGETS if not fuzz(name, options.runs, options.seed)]
    print("all held" if not failed else f"findings in: {', '.join(failed)}")
    return 1 if failed else 0


def fuzz(target: str, runs: int, seed: int) -> bool:
    """Run one target; return whether it held."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        for data in corpus(target):
            Path(directory, hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        process = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.one", target, str(runs), str(seed), directory],
            capture_output=True,
            text=True,
            check=False,
        )
    output = process.stdout + process.stderr
    numbers = {name: int(value) for name, value in STATISTIC.findall(output)}
    held = process.returncode == 0
    print(
        f"{target:<28} {numbers.get('number_of_executed_units', 0):>9} {numbers.get('average_exec_per_sec', 0):>8} "
        f"{time.monotonic() - start:>6.0f} {numbers.get('peak_rss_mb', 0):>9}  {'held' if held else 'FINDING'}",
        flush=True,
    )
    if not held:
        _keep(target, output)
    return held


def _keep(target: str, output: str) -> None:
    """Store the input of a finding, and show the end of what was printed."""
    for name, data in re.findall(r"finding::(\S+) ([0-9a-f]*)", output):
        FINDINGS.mkdir(exist_ok=True)
        (FINDINGS / f"{name}-{hashlib.sha256(data.encode()).hexdigest()[:12]}.hex").write_text(data + "\n")
    print("\n".join(output.splitlines()[-25:]))
    print(f"(target {target})")


if __name__ == "__main__":
    sys.exit(main())
