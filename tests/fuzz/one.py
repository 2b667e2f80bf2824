"""Fuzz one target in this process: `python -m tests.fuzz.one TARGET RUNS SEED CORPUS_DIRECTORY`.

With atheris installed the search is guided by coverage of skyops_p2p; without it, inputs are mutated blindly from the
corpus. A finding ends the process with an exception, after the input was printed in hexadecimal.
"""

import random
import resource
import sys
import time
from pathlib import Path

try:
    import atheris
except ImportError:
    atheris = None

MUTATED_BYTES_MAX = 8192
FRAMES_BYTES_MAX = 256
"""A stream in pieces of one byte takes a call for each."""


def guided(target: str, runs: int, seed: int, directory: str) -> None:
    """Let libFuzzer drive; it ends the process by itself and prints the count, the speed and the memory."""
    with atheris.instrument_imports(include=["skyops_p2p"]):
        from tests.fuzz import targets

    def once(data: bytes) -> None:
        _guard(targets.run_one, target, data)

    length = FRAMES_BYTES_MAX if target == "frames" else MUTATED_BYTES_MAX
    options = [f"-runs={runs}", f"-seed={seed}", f"-max_len={length}", "-rss_limit_mb=1024"]
    atheris.Setup([sys.argv[0], *options, "-verbosity=0", "-print_final_stats=1", directory], once)
    atheris.Fuzz()


def blind(target: str, runs: int, seed: int, directory: str) -> None:
    """Mutate the corpus with a seeded generator."""
    from tests.fuzz import targets

    source = random.Random(seed)
    seeds = [path.read_bytes() for path in sorted(Path(directory).iterdir())] or [b""]
    start = time.monotonic()
    for _ in range(runs):
        _guard(targets.run_one, target, mutated(source, seeds))
    print(f"stat::number_of_executed_units: {runs}")
    print(f"stat::average_exec_per_sec: {round(runs / (time.monotonic() - start))}")
    print(f"stat::peak_rss_mb: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}")


def mutated(source: random.Random, seeds: list[bytes]) -> bytes:
    """Return a seed with one to four changes: bytes set, cut, doubled, inserted, or joined with another seed."""
    data = bytearray(source.choice(seeds))
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(data) + 1)
        match source.randrange(5):
            case 0:
                data[at : at + 1] = bytes([source.randrange(256)])
            case 1:
                del data[at : at + source.randint(1, 8)]
            case 2:
                data[at:at] = data[at : at + source.randint(1, 16)]
            case 3:
                data[at:at] = source.randbytes(source.randint(1, 4))
            case 4:
                data[at:] = source.choice(seeds)[at:]
    return bytes(data[:MUTATED_BYTES_MAX])


def _guard(run: object, target: str, data: bytes) -> None:
    assert callable(run)
    try:
        run(target, data)
    except BaseException:
        print(f"finding::{target} {data.hex()}", flush=True)
        raise


if __name__ == "__main__":
    name, count, number, folder = sys.argv[1:5]
    (blind if atheris is None else guided)(name, int(count), int(number), folder)
