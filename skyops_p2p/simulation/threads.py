"""No threads in virtual time: the clock would run on while one works, and the next run would be another."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import trio

Result = TypeVar("Result")


@contextmanager
def threads_in_place() -> Iterator[None]:
    """Have everything that would run in a thread run in the loop itself, for the length of the block.

    trio.to_thread.run_sync is replaced for the whole process: use it around one whole simulation.
    """
    kept = trio.to_thread.run_sync

    async def run_in_place(function: Callable[..., Result], *args: Any, **options: Any) -> Result:
        del options
        await trio.lowlevel.checkpoint()
        return function(*args)

    trio.to_thread.run_sync = run_in_place  # type: ignore[assignment]  # takes all that the real one takes
    try:
        yield
    finally:
        trio.to_thread.run_sync = kept
