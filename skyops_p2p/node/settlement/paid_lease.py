"""A lease that this node pays for: from its lane's offer to the last interval, metered by this node's own clock.

It decides nothing about the lease: whoever holds that says what becomes of it, and is told if it is to end.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import trio

from skyops_p2p import limits
from skyops_p2p.core.machine import Event
from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement.amounts import SKYOPS, format_about, format_amount
from skyops_p2p.core.settlement.lanes import EXPOSED_MS, FactsPart, LaneTerms
from skyops_p2p.core.settlement.meters import Counts
from skyops_p2p.core.settlement.prices import exposure
from skyops_p2p.errors import StoreError
from skyops_p2p.node.settlement.lane_usage import LaneUsage
from skyops_p2p.node.settlement.payer_pair import PayerPair
from skyops_p2p.node.settlement.records import LaneRecord
from skyops_p2p.node.settlement.run_clock import RunClock

Stopped = Callable[[str, str], None]
"""(code, a sentence): the lease is to end."""
Told = Callable[[str], None]
"""Takes sentences for whoever watches the job."""


class Budget(Protocol):
    """What all lanes of a job and of its replicas may cost together."""

    def is_spent(self, bound_id: bytes) -> bool:
        """Tell whether nothing more may run for the job."""

    def stop_job(self, bound_id: bytes) -> None:
        """End all that runs for it."""

    async def note_lane(self, lane: LaneRecord) -> None:
        """Write down that a lane begins."""

    def note_usage(self, lane: bytes, usage: LaneUsage) -> None:
        """Remember what a lane's run has used."""

    def now_ms(self) -> int:
        """Return the wall clock's time."""


class PaidLease:
    """One lease, as its requester pays it.

    Args:
        pair: With its worker.
        terms: Of the lane.
        record: For the bill.
        budget: Of its job.
        stopped: Called once if the lease is to end.
        told: Takes sentences for whoever watches the job.
    """

    def __init__(
        self,
        pair: PayerPair,
        terms: LaneTerms,
        record: LaneRecord,
        budget: Budget,
        *,
        stopped: Stopped,
        told: Told,
    ) -> None:
        self.clock = RunClock(trio.current_time(), is_heard=True)
        """Of the program; whoever reads the worker's beats turns it."""
        self.record = record
        self.terms = terms
        self.is_computed = False
        """The run is over, and its result waits to be compared: nothing more is metered."""
        self._pair = pair
        self._budget = budget
        self._stopped = stopped
        self._told = told
        self._end: Event | None = None
        self._over = trio.Event()
        self._is_unsecured = False
        """The worker wants more set aside for it before it takes the lane."""
        self._secured_by: float | None = None
        """Monotonic; until then the worker is offered the lane again; None: it has not asked for more."""

    @property
    def is_over(self) -> bool:
        """Whether it has an end."""
        return self._end is not None

    def bound_wei(self, ahead_ms: int) -> int:
        """Return what the lane costs at most if it ends in `ahead_ms`."""
        return self._pair.machine.bound_wei(self.terms.lane, ahead_ms)

    def note_usage(self, usage: LaneUsage) -> None:
        """Remember what the worker says that the run has used: the bill shows it, nothing is charged for it."""
        self._budget.note_usage(self.terms.lane, usage)

    def finish(self, facts: FactsPart | None) -> None:
        """Pay what was metered: the result is here, or the run was ended by this node's own wish."""
        self._finish_with(ev.LaneFinished(self.terms.lane, facts))

    def lapse(self) -> None:
        """Pay nothing further: the lease is given up. A lane that has an end keeps it. Rules: SET-18."""
        self._finish_with(ev.LaneLapsed(self.terms.lane))

    def stop(self, code: str, text: str) -> None:
        """Have the lease end, and pay what was metered."""
        if not self.is_over:
            self.finish(None)
            self._stopped(code, text)

    async def run(self) -> None:
        """Offer the lane, and meter it until it has an end."""
        pair, lane = self._pair, self.terms.lane
        with trio.move_on_after(limits.FUNDS_WAIT_S):
            await self._wait_for_money()
        is_new = not self.is_over and lane not in pair.account.lanes
        if is_new and not await self._may_begin():
            return
        if not self.is_over:
            await pair.begin(self.terms, self)
        while not self.is_over:
            with trio.move_on_after(limits.METER_READ_MS / 1000):
                await self._over.wait()
            self._read()
            if self._budget.is_spent(self.record.bound_id):
                self._budget.stop_job(self.record.bound_id)
            if self._is_unsecured:
                await self._offer_again()
        assert self._end is not None
        await pair.post(self._end)

    async def _may_begin(self) -> bool:
        """Tell whether the lane can be offered; if not, the lease is to end."""
        if self._pair.funds is None:
            self.stop("chain_unavailable", "the chain was not reached, so nobody knows what is deposited")
            return False
        if self._budget.is_spent(self.record.bound_id):
            self.stop("over_budget", "the job has cost what it may (price.total_max)")
            return False
        try:
            await self._budget.note_lane(self.record)
        except StoreError as error:
            self.stop(error.code, f"the payment could not be written down: {error.message}")
            return False
        rate_wei = self.terms.rate_wei
        worker, own = exposure(rate_wei, self.terms.interval_ms_max, EXPOSED_MS, self.terms.prepaid_ms)
        ahead = f"{format_about(own, SKYOPS)} are paid ahead" if own else "nothing is paid ahead"
        self._told(
            f"paid at {format_amount(rate_wei, SKYOPS)} an hour: {ahead}, and work for {format_about(worker, SKYOPS)} "
            "at most is unpaid at a time"
        )
        return True

    async def _offer_again(self) -> None:
        """Offer the lane again once what is set aside covers it, or give the lease up after a while."""
        pair, lane = self._pair, self.terms.lane
        pair.asked_for[lane] = self.terms
        try:
            await trio.sleep(limits.PAY_RESEND_MS / 1000)  # the worker looks at the chain meanwhile
            with trio.move_on_at(self._secured_by or trio.current_time()):
                while not pair.is_secured and not self.is_over:
                    await pair.wait_step()
        finally:
            is_secured = pair.is_secured
            del pair.asked_for[lane]
        self._is_unsecured = False
        if self.is_over:
            return
        if not is_secured:
            self.lapse()
            self._stopped("not_secured", "the worker wants more money set aside for it than there is")
            return
        try:
            await self._budget.note_lane(replace(self.record, began_unix_ms=self._budget.now_ms()))
        except StoreError as error:
            self.stop(error.code, f"the payment could not be written down: {error.message}")
            return
        await pair.begin(self.terms, self)

    async def _wait_for_money(self) -> None:
        """Wait until the chain was asked, or a restart has brought what was seen before."""
        if self._pair.funds is not None:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_first, self._over, nursery.cancel_scope)
            await self._pair.funds_seen.wait()
            nursery.cancel_scope.cancel()

    def _read(self) -> None:
        seen_ms, unseen_ms = self.clock.read(trio.current_time())
        counts = Counts(runtime_ms=seen_ms)
        self._pair.post_nowait(ev.MeterRead(self.terms.lane, counts, unseen_ms))

    def _finish_with(self, end: Event) -> None:
        if self._end is None:
            self._end = end
            self._over.set()

    # --- what its lane wants: see tools.LaneUser --------------------------------------------------------------------
    def lane_started(self) -> None:
        """Nothing: the worker starts."""

    def lane_paused(self, code: str) -> None:
        """Nothing: the worker's beats say so."""

    def lane_resumed(self) -> None:
        """Nothing: the worker's beats say so."""

    def lane_stopped(self, code: str, text: str) -> None:
        """Have the lease end; the lane is over already. One that wants an allotment first is offered again."""
        now = trio.current_time()
        if self._secured_by is None and code == "not_secured":
            self._secured_by = now + limits.ALLOTMENT_WAIT_S
        may_wait = self._secured_by is not None and now < self._secured_by
        if code == "not_secured" and may_wait and not self.is_over:
            self._is_unsecured = True
        elif not self.is_over:
            self.lapse()
            self._stopped(code, text)


async def _first(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
