"""What one lease costs its requester: a lane of the worker's pair, or nothing, and why.

Spec: protocol/07-settlement.md.
"""

import trio

from skyops_p2p.core.execution.receipts import LeaseFacts, check_result
from skyops_p2p.core.execution.shard_record import Attempt
from skyops_p2p.core.settlement.amounts import wei_of_credits
from skyops_p2p.errors import ChainError, ExecutionError
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.session import LiveSession
from skyops_p2p.node.settlement.desk import deals_in_skyops, lane_terms
from skyops_p2p.node.settlement.facts import facts_of
from skyops_p2p.node.settlement.lane_usage import signed_usage, told_usage
from skyops_p2p.node.settlement.paid_lease import PaidLease, Stopped, Told
from skyops_p2p.types import MicroCredits
from skyops_p2p.wire.messages.execution import UsagePart

_WISHES = frozenset({"cancelled", "over_budget", "gang_broken", "gang_failed", "deadline_passed"})
"""Ends that this node wants: what was metered until then is paid."""


class LeasePayment:
    """The payment of one lease.

    Args:
        facts: Of the lease.
        job: Whose.
        attempt: Its price.
        stopped: Called once with (code, a sentence) if the lease is to end, since it is not paid any more.
        told: Takes sentences for whoever watches the job.
    """

    def __init__(
        self, facts: LeaseFacts, job: OpenJob, attempt: Attempt, *, stopped: Stopped, told: Told
    ) -> None:
        self._facts = facts
        self._job = job
        self._attempt = attempt
        self._stopped = stopped
        self._told = told
        self._lease: PaidLease | None = None
        self._is_begun = False

    @property
    def price(self) -> int:
        """Of the award, microcredits an hour."""
        return self._attempt.price

    def begin(self, session: LiveSession, phase: str) -> None:
        """Offer a lane to a worker that has granted the lease, once; a free one, or one that takes nothing, gets none.

        Args:
            session: Of the lease.
            phase: What the worker says that the run does.

        Rules: SET-4, SET-27.
        """
        office, facts, spec = self._job.tools.payments, self._facts, self._job.spec
        if not self._is_begun and office is not None and self._attempt.price > 0:
            self._is_begun = True
            if not deals_in_skyops(session.manifest):
                self._told("the worker takes nothing for it: it runs free")
                return
            total = spec.price.total_max
            try:
                self._lease = office.needed_desk().pay(
                    session,
                    lane_terms(facts, self._attempt.price),
                    name=spec.name,
                    mode=spec.mode.kind,
                    budget_wei=None if total is None else wei_of_credits(MicroCredits(total)),
                    bound_job=self._job.replica_of,
                    stopped=self._stopped,
                    told=self._told,
                )
            except (ExecutionError, ChainError) as error:
                self._stopped(error.code, error.message)
                return
            self._lease.is_computed = self._attempt.commit is not None
        self.hear(phase)

    def rest(self) -> None:
        """Note that the run is over, and its result waits to be compared: it costs no more, whatever beats say."""
        if self._lease is not None:
            self._lease.is_computed = True
            self._lease.clock.turn(trio.current_time(), is_running=False)

    def hear(self, phase: str, usage: UsagePart | None = None) -> None:
        """Note what the worker says that the run does, and has used; only what runs is paid. Rules: SET-6, SET-29."""
        if self._lease is not None:
            is_running = phase == "running" and not self._lease.is_computed
            self._lease.clock.turn(trio.current_time(), is_running=is_running)
            if usage is not None:
                self._lease.note_usage(told_usage(usage, self._job.inputs))

    def lose_sight(self) -> None:
        """Note that the worker cannot be heard for now."""
        if self._lease is not None:
            self._lease.clock.lose_sight(trio.current_time())

    def finish(self, receipt: bytes) -> None:
        """Pay for a run whose result is taken.

        Args:
            receipt: Enveloped, and checked when it came.
        """
        if self._lease is not None:
            message = check_result(receipt, self._facts).message
            speed_milli = self._attempt.speed_milli
            self._lease.note_usage(signed_usage(message, self._job.inputs))
            self._lease.finish(facts_of(receipt, message, self._job.spec, speed_milli=speed_milli))

    def end(self, code: str) -> None:
        """Pay what was metered of a run that this node has ended by its own wish, and nothing further of others."""
        if self._lease is not None:
            if code in _WISHES:
                self._lease.finish(None)
            else:
                self._lease.lapse()

    def lapse(self) -> None:
        """Pay nothing further; a payment that has an end keeps it. Rules: SET-18."""
        if self._lease is not None:
            self._lease.lapse()
