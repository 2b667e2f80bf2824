"""One seed decides the order of tasks too: makes trio's scheduler deterministic.

A seeded world is not enough: trio shuffles each batch of runnable tasks on purpose, so two runs of one seed
differ. trio's own tests and Hypothesis's plugin turn the shuffle into a seeded one through two private names;
this is the only module that touches them, and `require_private_names` fails loudly if trio renames them.
Source: trio, `_core/_run.py` (`_ALLOW_DETERMINISTIC_SCHEDULING`, `_r`), and `_tests/test_scheduler_determinism.py`.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from random import Random
from typing import Any, TypeVar

import trio
from trio.testing import MockClock

Result = TypeVar("Result")

FLAG_NAME = "_ALLOW_DETERMINISTIC_SCHEDULING"
RANDOM_NAME = "_r"


def require_private_names(module: Any) -> None:
    """Check that trio still has the two private names, with the types that we rely on.

    Raises:
        RuntimeError: trio has renamed one; simulations would silently stop being repeatable.
    """
    flag_is_there = isinstance(getattr(module, FLAG_NAME, None), bool)
    random_is_there = isinstance(getattr(module, RANDOM_NAME, None), Random)
    if not (flag_is_there and random_is_there):
        raise RuntimeError(
            f"trio {version('trio')} has no {FLAG_NAME} or {RANDOM_NAME} in trio._core._run: "
            "simulation/determinism.py must learn the new names before a seed means anything"
        )


@contextmanager
def deterministic_scheduling(seed: int) -> Iterator[None]:
    """Order tasks by creation and a seeded shuffle, within the block; restores what it found.

    Enter it before trio.run: the order of a run that has begun cannot be made repeatable.

    Raises:
        RuntimeError: As `require_private_names`.
    """
    module = _scheduler_module()
    require_private_names(module)
    flag_before, state_before = getattr(module, FLAG_NAME), getattr(module, RANDOM_NAME).getstate()
    setattr(module, FLAG_NAME, True)
    getattr(module, RANDOM_NAME).seed(seed)
    try:
        yield
    finally:
        setattr(module, FLAG_NAME, flag_before)
        getattr(module, RANDOM_NAME).setstate(state_before)


def run_simulated(main: Callable[[], Awaitable[Result]], *, seed: int) -> Result:
    """Run an async function in virtual time: the clock jumps whenever every task waits.

    Not for programs that use threads, sockets or subprocesses: the clock would jump past them.

    Args:
        main: The program.
        seed: Decides the order of runnable tasks.
    """
    with deterministic_scheduling(seed):
        return trio.run(main, clock=MockClock(autojump_threshold=0))


def _scheduler_module() -> Any:
    from trio._core import _run

    return _run
