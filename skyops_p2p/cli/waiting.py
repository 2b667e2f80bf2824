"""A spinner beside what is waited for: on a terminal only, on standard error, gone when it is over."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def waiting(text: str, *, is_color: bool = True) -> Iterator[None]:
    """Turn a spinner while the block runs. Without a terminal nothing is printed and nothing is loaded.

    Args:
        text: What is waited for, e.g. "asking bob".
        is_color: False: no colours.
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True, no_color=not is_color, highlight=False).status(text):
        yield
