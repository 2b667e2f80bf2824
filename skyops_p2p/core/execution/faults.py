"""What is done when an attempt at a job has failed: again, where, when, or not at all. Pure.

Spec: protocol/05-execution.md, "Faults". Source of the doubling pause: truncated binary exponential back-off.
"""

from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core.execution.outcomes import AWARD_OVER, EXCUSED, GANG_BROKEN, Cause, outcome_of

PREEMPTIONS_MAX = 16
"""Ends of one shard's leases that are not counted as attempts (see `is_uncounted`); past them they are."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What the job says about trying again; see jobs.parts.Retry."""

    attempts_max: int
    is_after_loss: bool
    pause_s: float


@dataclass(frozen=True, slots=True)
class Record:
    """What a shard has been through."""

    attempts: int = 0
    """Leases that count against attempts_max."""
    preemptions: int = 0
    """Leases whose end was not counted; see `is_uncounted`."""
    failures_in_row: int = 0
    """Failed attempts since the last checkpoint; sets the pause."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What comes next."""

    is_again: bool
    after_s: float = 0.0
    excludes_worker: bool = False
    """The worker is not asked again for this job; one that only could not is when nobody else takes it."""
    reason: str = ""
    """One sentence for a person."""


def is_uncounted(code: str, record: Record) -> bool:
    """Tell whether an end says nothing against job or worker: a preemption, this node's own absence, a broken gang.

    A broken gang never counts here: whoever broke it is counted, which bounds how often that happens.

    Args:
        code: Outcome code.
        record: Before this end is noted.
    """
    is_harmless = outcome_of(code).cause is Cause.PREEMPTION or code in EXCUSED
    return is_harmless and (code == GANG_BROKEN or record.preemptions < PREEMPTIONS_MAX)


def decide(code: str, record: Record, policy: RetryPolicy) -> Decision:
    """Judge a failed attempt.

    Args:
        code: Outcome code, not `succeeded`.
        record: With this attempt counted, unless it `is_uncounted`.
        policy: The job's.
    """
    outcome = outcome_of(code)
    if outcome.cause is Cause.REQUESTER and code not in EXCUSED:
        return Decision(is_again=False, reason=outcome.meaning)
    if outcome.cause is Cause.JOB and code != "requeue_asked":
        return Decision(
            is_again=False, reason=f"{outcome.meaning} Another worker would see the same, so it stays."
        )
    if record.attempts >= policy.attempts_max:
        return Decision(
            is_again=False,
            reason=f"{outcome.meaning} That was attempt {record.attempts} of {policy.attempts_max}.",
        )
    is_loss = outcome.cause in (Cause.WORKER, Cause.NETWORK)
    if is_loss and not policy.is_after_loss:
        return Decision(is_again=False, reason=f"{outcome.meaning} retry.is_after_loss is false.")
    is_blameless = outcome.cause is Cause.PREEMPTION or code in (GANG_BROKEN, AWARD_OVER)
    is_at_once = is_blameless or (is_loss and record.failures_in_row <= 1)
    return Decision(
        is_again=True,
        after_s=0.0 if is_at_once else pause_s(record, policy),
        excludes_worker=is_loss or outcome.cause is Cause.PREEMPTION or code == "stale_epoch",
        reason=outcome.meaning,
    )


def longest_lease_s(execution_s: float) -> float:
    """Return how long a worker may take over one lease, from LeaseReady to its result, in seconds.

    Args:
        execution_s: The job's timeouts.execution.

    Rules: EXE-36.
    """
    around_s = limits.RUN_FETCH_TIMEOUT_S + limits.SANDBOX_PREPARE_TIMEOUT_S + limits.RUN_COLLECT_TIMEOUT_S
    return execution_s + around_s + limits.CHECKPOINT_GRACE_S


def pause_s(record: Record, policy: RetryPolicy) -> float:
    """Return the pause before the next attempt: the job's, doubled with each failure in a row, bounded."""
    doubled = policy.pause_s * 2.0 ** max(0, min(record.failures_in_row, 16) - 1)
    return float(min(doubled, max(limits.JOB_BACKOFF_S_MAX, policy.pause_s)))
