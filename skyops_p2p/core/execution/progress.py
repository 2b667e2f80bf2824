"""What a program tells of its progress, how long it may still take, and which checkpoint is the newest. Pure.

A line is `DONE/TOTAL [key=number ...]`: "120/500 loss=0.31". A program may lie; progress decides nothing about money.
Spec: protocol/05-execution.md, "What the program sees".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from skyops_p2p import limits

_LINE = re.compile(r"(\d{1,16})/(\d{1,16})((?: +[^\s=]{1,64}=[^\s=]{1,32})*)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)
_INCOMPLETE = (".tmp", ".partial")
COUNT_DIGITS_MAX = 15
"""Of a number of steps in a checkpoint's name: it stays below 2^53."""
INCOMPLETE_MARK = "checkpoint-is-incomplete.txt"
"""The Transformers library leaves this file in a checkpoint that it did not finish."""
SNAPSHOT_PREFIX = ".snapshot-"
"""Begins the label of a checkpoint that the runtime made without the program's help; no program's own begins so."""
MILLION = 1_000_000
COUNT_MAX = 2**53 - 1


@dataclass(frozen=True, slots=True)
class ProgressLine:
    """One line of progress."""

    done: int
    total: int
    metrics: tuple[tuple[str, int], ...]
    """(name, millionths), in the order of the line; at most PROGRESS_METRICS_MAX."""


def parse_progress(text: str) -> ProgressLine | None:
    """Read the last whole line of what a program wrote; None if it is no progress.

    Args:
        text: The end of the file; a last line without a line feed counts too, since the file may be overwritten.

    Rules: EXE-26.
    """
    lines = text.rstrip("\n").rsplit("\n", 1)
    found = _LINE.fullmatch(lines[-1].strip())
    if found is None:
        return None
    done, total = int(found[1]), int(found[2])
    if done > total or total > COUNT_MAX:
        return None
    pairs = (word.partition("=") for word in found[3].split())
    metrics = ((name, _millionths(number)) for name, _, number in pairs)
    known = [(name, value) for name, value in metrics if value is not None]
    return ProgressLine(done, total, tuple(known[: limits.PROGRESS_METRICS_MAX]))


def _millionths(text: str) -> int | None:
    if not _NUMBER.fullmatch(text):
        return None
    try:
        value = int(Decimal(text).scaleb(6))
    except (InvalidOperation, OverflowError):
        return None
    return value if abs(value) <= 2**53 else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """How much longer it may take."""

    remaining_s: float
    basis: str
    """On what it rests, for a person."""


def estimate(*, done: int, total: int, done_at_start: int, running_s: float) -> Estimate | None:
    """Estimate the rest from the pace of this run; None while nothing has been done in it.

    Args:
        done: Steps done, by this run and those before.
        total: Steps in all; 0 if unknown.
        done_at_start: Steps that were done when this run began: those of its checkpoint.
        running_s: How long this run has run.
    """
    steps = done - done_at_start
    if total <= 0 or steps <= 0 or running_s <= 0:
        return None
    pace_s = running_s / steps
    return Estimate((total - done) * pace_s, f"{steps} of {total} steps in {running_s:.0f} s")


def newest_checkpoint(names: Iterable[str]) -> str | None:
    """Return the entry of a checkpoint directory that counts: the last in natural order, or None. Rules: EXE-24."""
    return max(_whole(names), key=_natural, default=None)


def steps_of(name: str) -> int | None:
    """Return how many steps a checkpoint's name says: its last run of digits; None: it has none. Rules: EXE-41.

    Args:
        name: Of an entry of the checkpoint directory, as "step-120" or "epoch-0120.bin-1".
    """
    found = _DIGITS.findall(name)
    return int(found[-1]) if found and len(found[-1]) <= COUNT_DIGITS_MAX else None


def next_of_chain(names: Iterable[str], stride: int, after: int) -> str | None:
    """Return the first checkpoint after some steps that ends a stretch, or None.

    Args:
        names: Of the entries of a checkpoint directory.
        stride: Steps of a stretch, at least 1.
        after: Steps that are saved already; 0: none.

    Rules: EXE-41.
    """
    steps = {name: steps_of(name) or 0 for name in _whole(names)}
    found = [name for name, done in steps.items() if done > after and done % stride == 0]
    return min(found, key=lambda name: (steps[name], name), default=None)


def _whole(names: Iterable[str]) -> list[str]:
    """Return the names of what is complete. Rules: EXE-24."""
    return [name for name in names if not name.startswith(".") and not name.endswith(_INCOMPLETE)]


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Order "step-9" before "step-10": runs of digits compare as numbers."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((1, int(part), "") if part.isascii() and part.isdigit() else (0, 0, part) for part in parts)
