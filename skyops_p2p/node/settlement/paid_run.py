"""A run that this node is paid for: it starts with its lane, is paused when no voucher comes, and is metered.

It decides nothing about the run: whoever drives that says what becomes of it, and is told if it is to end.
"""

from collections.abc import Callable
from typing import Protocol

import trio

from skyops_p2p import limits
from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.lanes import FactsPart, LaneTerms
from skyops_p2p.core.settlement.meters import Counts
from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.settlement.lane_usage import LaneUsage
from skyops_p2p.node.settlement.payee_pair import PayeePair
from skyops_p2p.node.settlement.run_clock import RunClock


class RunControl(Protocol):
    """What payment may do with a run."""

    async def set_paused(self, *, is_paused: bool) -> None:
        """Pause or resume the program.

        Raises:
            ExecutionError: The runtime cannot.
        """

    async def stop(self, code: str, *, grace_s: float) -> None:
        """End the run."""


class PaidRun:
    """One run, as its worker is paid for it.

    Args:
        pair: With its requester.
        terms: Of the lane.
        pace: Seconds that its meter counts for one.
    """

    def __init__(self, pair: PayeePair, terms: LaneTerms, *, pace: float = 1.0) -> None:
        self.clock = RunClock(trio.current_time())
        """Of the program; the run turns it."""
        self._pair = pair
        self._terms = terms
        self._pace = pace
        self._is_started = False
        self._paused = ""
        """Why the program must not run; empty: it may."""
        self._stopped = ""
        self._is_over = False
        self._changed = trio.Event()

    async def wait_started(self) -> None:
        """Wait until the program may run.

        Raises:
            ExecutionError: Code `unpaid` (the lane was not offered in time), or why it ended.

        Rules: SET-5.
        """
        with trio.move_on_after(limits.PAY_STOP_MS / 1000):
            while not self._stopped and (not self._is_started or self._paused):
                await self._changed.wait()
        if self._stopped or not self._is_started or self._paused:
            code = self._stopped or self._paused or "unpaid"
            raise ExecutionError(
                "the lease is not paid, so the program was not started",
                code=code,
                hint="`skyops billing` at the requester says why.",
            )

    async def follow(self, control: RunControl, used: Callable[[], Counts]) -> None:
        """Meter the run, and do with it what the lane wants, until cancelled.

        Args:
            control: Of the run.
            used: Returns what it has used besides time.
        """
        is_paused = False
        while True:
            with trio.move_on_after(limits.METER_READ_MS / 1000):
                await self._changed.wait()
            self.read(used())
            if self._stopped:
                await control.stop(self._stopped, grace_s=0.0)
                return
            if bool(self._paused) is is_paused:
                continue
            is_paused = bool(self._paused)
            try:
                await control.set_paused(is_paused=is_paused)
            except ExecutionError:  # what cannot be paused must not run unpaid
                await control.stop(self._paused or "unpaid", grace_s=0.0)
                return

    def read(self, used: Counts) -> None:
        """Say what was metered."""
        runtime_ms, _ = self.clock.read(trio.current_time())
        counts = Counts(
            int(runtime_ms * self._pace), used.gpu_ms, used.cpu_ms, used.memory_mib_s, used.moved_bytes
        )
        self._pair.post_nowait(ev.MeterRead(self._terms.lane, counts))

    def note_usage(self, usage: LaneUsage) -> None:
        """Remember what the run has used besides time."""
        self._pair.note_usage(self._terms.lane, usage)

    async def finish(self, facts: FactsPart | None) -> None:
        """Have the last interval paid: the result is signed."""
        if not self._is_over:
            self._is_over = True
            await self._pair.post(ev.LaneFinished(self._terms.lane, facts))
            await self._pair.forget_unoffered(self._terms.lane)

    async def lapse(self) -> None:
        """Charge nothing further: the lease is void. A lane that is finished stays so. Rules: SET-18."""
        if not self._is_over:
            self._is_over = True
            await self._pair.post(ev.LaneLapsed(self._terms.lane))
            await self._pair.forget_unoffered(self._terms.lane)

    # --- what its lane wants: see tools.LaneUser --------------------------------------------------------------------
    def lane_started(self) -> None:
        """Let the program run."""
        self._is_started = True
        self._wake()

    def lane_paused(self, code: str) -> None:
        """Have the program wait."""
        self._paused = _told(code)
        self._wake()

    def lane_resumed(self) -> None:
        """Let the program go on."""
        self._paused = ""
        self._wake()

    def lane_stopped(self, code: str, text: str) -> None:
        """Have the run end."""
        del text
        self._stopped = _told(code)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def _told(code: str) -> str:
    """Return what the requester is told: whether its deposit is too small, only its own node can say."""
    return "not_secured" if code == "deposit_too_small" else code
