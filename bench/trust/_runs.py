"""Runs worlds on some cores, and keeps what came of each in a file, so that a run that was broken off goes on."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.tables import say
from bench.trust._attacks import Attack
from bench.trust._rules import Average, Beta, EigenTrust, NoRule, Ours
from bench.trust._world import Report, Setting, World

RULES: dict[str, Callable[[], NoRule]] = {
    "none": NoRule,
    "average": Average,
    "Beta": Beta,
    "EigenTrust": lambda: EigenTrust(b"honest%04d" % n for n in range(10)),
    "score only": lambda: Ours(has_stake=False),
    "full": lambda: Ours(has_stake=True),
    "score only, fast window": lambda: Ours(has_stake=False, is_fast=True),
    "full, fast window": lambda: Ours(has_stake=True, is_fast=True),
}
SOURCES = ("bench/trust", "skyops_p2p/core/reputation")
"""What a report depends on, from the repository's root."""


@dataclass(frozen=True, slots=True)
class Task:
    """One world."""

    rule: str
    attack: Attack
    seed: int
    setting: Setting

    def key(self, code: str) -> str:
        """Return what a kept report is found under.

        Args:
            code: Digest of the sources.
        """
        return hashlib.sha256(f"{code} {self}".encode()).hexdigest()


def run(task: Task) -> Report:
    """Let one world pass."""
    rule = RULES[task.rule]()
    return World(rule, task.attack, task.seed, task.setting).run()


def run_all(tasks: Sequence[Task], *, processes: int, kept: Path | None) -> list[Report]:
    """Run worlds, and return a report for each.

    Args:
        tasks: Which.
        processes: At a time.
        kept: File with reports of before, from the same sources; new ones are added. None: nothing is kept.
    """
    code = sources_digest()
    found = dict(_read(kept)) if kept is not None else {}
    left = [task for task in tasks if task.key(code) not in found]
    say(f"{len(tasks) - len(left)} of {len(tasks)} worlds were run before")
    with ProcessPoolExecutor(processes) as pool:
        running = {pool.submit(run, task): task for task in left}
        for future in as_completed(running):
            task, report = running[future], future.result()
            found[task.key(code)] = report
            if kept is not None:
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": task.key(code), "report": asdict(report)}) + "\n")
            say(f"{task.attack.name}, {task.rule}, seed {task.seed}")
    return [found[task.key(code)] for task in tasks]


def sources_digest() -> str:
    """Return a digest of everything that decides what a report says."""
    root = Path(__file__).parents[2]
    files = sorted(path for folder in SOURCES for path in (root / folder).glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files if not _is_telling(path))).hexdigest()


def _is_telling(path: Path) -> bool:
    """Leave out what only prints: a better table needs no new run."""
    return path.parent.name == "trust" and path.stem not in ("_attacks", "_rules", "_world")


def _read(path: Path) -> Iterator[tuple[str, Report]]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        yield entry["key"], Report(**entry["report"])
