"""A spinner beside what is waited for: on a terminal only, on standard error, gone when it is over.

Nothing is shown, and nothing loaded, for what takes less than DELAY_S. One line at a time is written over: inside
another spinner, a progress line or a live screen there is no spinner.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

import click

DELAY_S = 0.4
"""Before anything is shown."""
_FRAME_S = 0.1
_FRAMES, _PLAIN_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"
_TELLS_TIME_S = 5.0
"""From then on the spinner tells how long it has been."""
_CLEAR = "\r\x1b[2K"


class _Line:
    """The line on standard error that is written over."""

    is_taken = False


@contextlib.contextmanager
def taken_line() -> Iterator[None]:
    """Keep spinners away while the block writes over the line, or over the screen, itself."""
    before, _Line.is_taken = _Line.is_taken, True
    try:
        yield
    finally:
        _Line.is_taken = before


@contextlib.contextmanager
def waiting(text: str, *, is_color: bool | None = None) -> Iterator[None]:
    """Turn a spinner while the block runs.

    Args:
        text: What is waited for, e.g. "asking bob".
        is_color: Whether colours are wanted; None: as the command was called.
    """
    terminal = sys.stderr
    if _Line.is_taken or not terminal.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        yield
        return
    over = threading.Event()
    is_green = (_is_color_wanted() if is_color is None else is_color) and not os.environ.get("NO_COLOR")
    turning = threading.Thread(target=_turn, args=(terminal, text, over, is_green), daemon=True)
    with taken_line():
        turning.start()
        try:
            yield
        finally:
            over.set()
            turning.join()


def _turn(terminal: TextIO, text: str, over: threading.Event, is_green: bool) -> None:
    """Draw until it is over, and clear the line if anything was drawn."""
    import shutil

    began = time.monotonic()
    if over.wait(DELAY_S):
        return
    frames = _FRAMES if _can_write(terminal, _FRAMES) else _PLAIN_FRAMES
    number = 0
    while True:
        waited_s = time.monotonic() - began
        told = f"{text}, {waited_s:.0f} s" if waited_s >= _TELLS_TIME_S else text
        frame = click.style(frames[number % len(frames)], fg="green" if is_green else None)
        terminal.write(f"{_CLEAR}{frame} {told[: shutil.get_terminal_size().columns - 3]}")
        terminal.flush()
        number += 1
        if over.wait(_FRAME_S):
            break
    terminal.write(_CLEAR)
    terminal.flush()


def _can_write(terminal: TextIO, text: str) -> bool:
    try:
        text.encode(terminal.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_color_wanted() -> bool:
    from skyops_p2p.cli.invocation import Invocation

    context = click.get_current_context(silent=True)
    invocation = context.find_object(Invocation) if context is not None else None
    return invocation is None or invocation.is_color
