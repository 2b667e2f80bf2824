"""The signals of a running node."""

import os
import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
import trio

from skyops_p2p.cli.running import EXIT_AT_ONCE, _watch_signals


class ProcessEndedError(Exception):
    """Stands for the end of the process."""


async def signals_of(*numbers: signal.Signals) -> AsyncGenerator[int, None]:
    for number in numbers:
        await trio.lowlevel.checkpoint()
        yield number


async def test_first_signal_stops_and_second_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise ProcessEndedError

    monkeypatch.setattr(os, "_exit", end)
    stop = trio.Event()
    await _watch_signals(signals_of(signal.SIGTERM), stop)
    assert stop.is_set()
    assert codes == []
    async with aclosing(signals_of(signal.SIGINT)) as second:
        with pytest.raises(ProcessEndedError):
            await _watch_signals(second, stop)
    assert codes == [EXIT_AT_ONCE]
