"""How a run can end, and whose doing it was: decides what is tried again, who is paid, and what a person reads. Pure.

Spec: protocol/05-execution.md, "Outcomes".
"""

from dataclasses import dataclass
from enum import Enum


class Cause(Enum):
    """Whose doing an end was."""

    NONE = "none"
    """It succeeded."""
    JOB = "job"
    """The job's own: another worker would see the same."""
    WORKER = "worker"
    """The worker's, or its machine's."""
    NETWORK = "network"
    """Nobody's: the way between the two."""
    PREEMPTION = "preemption"
    """The worker was needed otherwise, and said so."""
    REQUESTER = "requester"
    """The requester's own wish or neglect."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way to end."""

    cause: Cause
    meaning: str
    change: str
    """What the person with the job can do."""


SUCCEEDED = "succeeded"
_MORE = "Ask for more in the job's resources, or use less."

OUTCOMES: dict[str, Outcome] = {
    SUCCEEDED: Outcome(Cause.NONE, "The program ended well and its outputs are there.", ""),
    # --- the job's own
    "program_failed": Outcome(
        Cause.JOB, "The program ended with an exit code other than 0.", "Read the end of its log."
    ),
    "requeue_asked": Outcome(
        Cause.JOB, "The program asked for another attempt with its exit code.", "Nothing, if that is meant."
    ),
    "program_killed": Outcome(
        Cause.JOB, "The program ended by a signal of its own making.", "Read the end of its log."
    ),
    "program_trapped": Outcome(
        Cause.JOB, "The WebAssembly module trapped.", "Read the end of its log; the text names the trap."
    ),
    "out_of_memory": Outcome(Cause.JOB, "The program wanted more memory than the job asked for.", _MORE),
    "out_of_disk": Outcome(Cause.JOB, "The program wrote more than the job asked for.", _MORE),
    "out_of_fuel": Outcome(
        Cause.JOB, "The module used up its instructions.", "Raise timeouts.execution: the fuel follows it."
    ),
    "execution_timeout": Outcome(
        Cause.JOB, "The program did not end in timeouts.execution.", "Raise it, or checkpoint and go on."
    ),
    "not_started": Outcome(
        Cause.JOB, "There is no such program, or it is not for this machine.", "Check command and image."
    ),
    "module_invalid": Outcome(
        Cause.JOB, "The module is no WebAssembly that the runtime takes.", "Try it with `wasmtime` at home."
    ),
    "image_missing": Outcome(
        Cause.JOB, "The image cannot be had under its name.", "Check its name, or send it as an archive."
    ),
    "image_invalid": Outcome(
        Cause.JOB, "The image that came with the job cannot be read.", "Write it as `docker save` does."
    ),
    "image_digest_wrong": Outcome(
        Cause.JOB, "The image has another digest than the job pins.", "Pin the digest that is meant."
    ),
    "wrong_architecture": Outcome(
        Cause.JOB, "The image or program is for another processor.", "Build it for the worker's."
    ),
    "output_missing": Outcome(
        Cause.JOB, "A required output is not there.", "Check its path, or set is_required = false."
    ),
    "output_unsafe": Outcome(
        Cause.JOB, "An output holds a link, a device or a name that cannot be kept.", "Write plain files."
    ),
    "output_changed": Outcome(
        Cause.JOB,
        "An output changed while it was read.",
        "End all of the program's processes before it ends.",
    ),
    "output_too_large": Outcome(Cause.JOB, "The outputs are larger than the job's disk.", _MORE),
    "output_too_many": Outcome(Cause.JOB, "There are too many output files.", "Pack them into one."),
    "results_differ": Outcome(
        Cause.JOB,
        "Those who computed it came to different results, and no majority to one.",
        "Make the program come to the same bytes each time, or choose the class numeric; then retry.",
    ),
    "task_protocol": Outcome(
        Cause.JOB,
        "The program of a pool answered something that is no answer.",
        "Have it write one JSON object a line to SKYOPS_TASKS_OUT.",
    ),
    # --- the worker's
    "spec_refused": Outcome(
        Cause.WORKER, "The worker does not run such a job.", "Run `skyops job check` with its text in mind."
    ),
    "limit_not_enforced": Outcome(
        Cause.WORKER, "The worker's runtime cannot enforce what the job asks for.", "Another one is tried."
    ),
    "runtime_unavailable": Outcome(Cause.WORKER, "The worker's runtime is not there.", "Another is tried."),
    "not_supported": Outcome(
        Cause.WORKER, "The worker's runtime cannot do what the job asks for.", "Another one is tried."
    ),
    "sandbox_failed": Outcome(Cause.WORKER, "The worker's runtime failed.", "Another one is tried."),
    "sandbox_lost": Outcome(
        Cause.WORKER, "The worker's runtime vanished under the job.", "Another one is tried."
    ),
    "prepare_timeout": Outcome(
        Cause.WORKER, "Getting the image took the worker too long.", "Another one is tried."
    ),
    "collect_timeout": Outcome(
        Cause.WORKER, "The worker took too long over sealing the outputs.", "Another one is tried."
    ),
    "workspace_failed": Outcome(Cause.WORKER, "The worker has no room for the job.", "Another is tried."),
    "workspace_full": Outcome(
        Cause.WORKER, "The worker has too little room for the job just now.", "Another one is tried."
    ),
    "gpu_unavailable": Outcome(
        Cause.WORKER, "The worker cannot hand the GPU to the job.", "Another one is tried."
    ),
    "store_full": Outcome(Cause.WORKER, "The worker's disk is full.", "Another one is tried."),
    "run_lost": Outcome(Cause.WORKER, "The worker was restarted under the job.", "It goes on elsewhere."),
    "worker_lost": Outcome(Cause.WORKER, "Nobody reaches the worker.", "It goes on elsewhere."),
    "worker_silent": Outcome(Cause.WORKER, "The worker did not answer in time.", "It goes on elsewhere."),
    "worker_overdue": Outcome(
        Cause.WORKER,
        "The worker came to no end, long after the program's time was over.",
        "It goes on elsewhere.",
    ),
    "result_wrong": Outcome(
        Cause.WORKER,
        "The worker's result is not that of the majority of those who computed it, or not what this node came to.",
        "Nothing: the right result is taken, or computed anew by another; the worker is paid no further.",
    ),
    "worker_doubted": Outcome(
        Cause.WORKER,
        "Nobody has checked the worker's result, and it was wrong at another shard of the job.",
        "Nothing: another worker computes the shard anew. What was paid for it is lost.",
    ),
    "no_reveal": Outcome(
        Cause.WORKER,
        "The worker committed to a result and did not show it.",
        "Another one is tried; a result of the others is taken where there is one.",
    ),
    "worker_lied": Outcome(
        Cause.WORKER, "What the worker delivered does not fit what it signed.", "Another one is tried."
    ),
    "unknown_lease": Outcome(Cause.WORKER, "The worker knows nothing of the lease.", "Another is tried."),
    "busy": Outcome(Cause.WORKER, "The worker serves too many leases.", "Another one is tried."),
    "payment_needed": Outcome(
        Cause.WORKER,
        "The worker wants to be paid, and this node pays nothing.",
        "Set payment.directory and deposit; another one is tried.",
    ),
    "unpayable": Outcome(
        Cause.WORKER, "The worker has never reached its contracts.", "Another one is tried."
    ),
    "no_answer": Outcome(
        Cause.WORKER, "The worker did not answer the offer to be paid.", "Another one is tried."
    ),
    "meters_apart": Outcome(
        Cause.WORKER, "The worker and this node count different times.", "Another one is tried."
    ),
    "voucher_refused": Outcome(Cause.WORKER, "The worker refuses a right voucher.", "Another one is tried."),
    "unpaid": Outcome(
        Cause.WORKER, "The worker says that it was not paid.", "Keep this node running; another one is tried."
    ),
    "not_secured": Outcome(
        Cause.WORKER,
        "The worker wants more set aside for it than there is.",
        "Raise payment.allotment_h, or deposit more; another one is tried.",
    ),
    # --- nobody's
    "no_worker": Outcome(
        Cause.NETWORK,
        "No worker took the job in its queue time-out.",
        "Run `skyops job check` for the reasons, and raise price.per_hour_max or timeouts.queue.",
    ),
    "checkpoint_unavailable": Outcome(
        Cause.NETWORK,
        "The checkpoint to go on from could not be fetched or opened.",
        "It goes on from the one before.",
    ),
    "input_unavailable": Outcome(
        Cause.NETWORK, "The worker could not fetch the inputs.", "Keep this node running while it fetches."
    ),
    "result_unavailable": Outcome(
        Cause.NETWORK, "The outputs could not be fetched from the worker.", "The job runs again."
    ),
    "session_failed": Outcome(
        Cause.NETWORK, "No session with the worker could be opened.", "Another one is tried."
    ),
    # --- wanted
    "preempted": Outcome(
        Cause.PREEMPTION, "The worker needed its machine for something else.", "It goes on elsewhere."
    ),
    "worker_leaving": Outcome(
        Cause.PREEMPTION, "The worker was shut down in order.", "It goes on elsewhere."
    ),
    "cancelled": Outcome(Cause.REQUESTER, "The job was cancelled.", ""),
    "superseded": Outcome(Cause.REQUESTER, "The job went on under a newer epoch.", ""),
    "over_budget": Outcome(Cause.REQUESTER, "The job has cost what it may.", "Raise price.total_max."),
    "deposit_too_small": Outcome(
        Cause.REQUESTER,
        "The deposit does not cover the job.",
        "Add to it with `skyops wallet deposit`, then retry.",
    ),
    "ledger_behind": Outcome(
        Cause.REQUESTER,
        "The worker holds a newer voucher than this node knows of.",
        "Find out whether another node uses the wallet, or an old copy of the database was put back.",
    ),
    "too_many_pairs": Outcome(
        Cause.REQUESTER, "This node pays as many workers as it can.", "Use another wallet for new ones."
    ),
    "deadline_passed": Outcome(
        Cause.REQUESTER, "The job's time was over before it ended.", "Raise timeouts.total, or the deadline."
    ),
    "dependency_failed": Outcome(
        Cause.REQUESTER, "A job that it depends on did not succeed.", "Mend that one, then retry."
    ),
    "restarted": Outcome(
        Cause.REQUESTER, "This node was restarted while the lease was being opened.", "It goes on by itself."
    ),
    "chain_unavailable": Outcome(
        Cause.REQUESTER,
        "The chain was not reached, so nobody knows what is deposited.",
        "See `skyops chain status`; it is tried again, up to 16 times that count as no attempt.",
    ),
    "stale_epoch": Outcome(Cause.REQUESTER, "A newer lease of the job is known.", ""),
    "requester_silent": Outcome(
        Cause.REQUESTER, "The requester was not heard for the lease's time.", "Keep this node running."
    ),
    "gang_broken": Outcome(
        Cause.REQUESTER,
        "Another member of the gang was lost, so all were stopped.",
        "Nothing: the gang comes together again and goes on from its checkpoints.",
    ),
    "gang_failed": Outcome(
        Cause.REQUESTER,
        "Another member of the gang failed for good.",
        "Look at the member that failed first.",
    ),
    "award_over": Outcome(
        Cause.REQUESTER,
        "The worker of another shard was free again, and did not take this one.",
        "Nothing: a worker is looked for in the market.",
    ),
    "not_taken": Outcome(Cause.REQUESTER, "Nobody fetched the result in time.", "Fetch results sooner."),
}
"""Code -> what it means. Spec: protocol/05-execution.md, "Outcomes"."""

GANG_BROKEN, GANG_FAILED = "gang_broken", "gang_failed"
FOUND_WRONG = frozenset({"result_wrong", "worker_lied"})
"""Ends of a lease whose worker has committed to a result, after which nothing of the worker's is believed."""
RESULTS_DIFFER = "results_differ"
AWARD_OVER = "award_over"
STOP_CODES = frozenset({"cancelled", "superseded", "over_budget", GANG_BROKEN})
"""What a requester's LeaseStop may say. Rules: EXE-19."""
EXCUSED = frozenset(
    {
        "requester_silent",
        "not_taken",
        "stale_epoch",
        "restarted",
        "chain_unavailable",
        GANG_BROKEN,
        AWARD_OVER,
    }
)
"""Ends of this side's own making that nobody wanted: the job goes on."""

PASSING = frozenset({"worker_lost", "worker_silent", "run_lost", "busy", "workspace_full"})
"""What befalls a worker, and passes: it may well do the job when it is asked again."""

_OF_EXIT = {
    "signalled": "program_killed",
    "out_of_memory": "out_of_memory",
    "out_of_disk": "out_of_disk",
    "timed_out": "execution_timeout",
    "out_of_fuel": "out_of_fuel",
    "trapped": "program_trapped",
    "not_started": "not_started",
    "lost": "sandbox_lost",
}


def outcome_of(code: str) -> Outcome:
    """Return what a code means; one that is not known counts as the worker's."""
    return OUTCOMES.get(code) or Outcome(Cause.WORKER, f"The worker said {code}.", "Another one is tried.")


def is_passing(code: str) -> bool:
    """Tell whether an end says that its worker could not, and not that it does wrong or never can."""
    return outcome_of(code).cause in (Cause.PREEMPTION, Cause.NETWORK) or code in PASSING


def stop_code(code: str) -> str:
    """Return what a requester's LeaseStop says; a code that it may not use counts as `cancelled`. Rules: EXE-19."""
    return code if code in STOP_CODES else "cancelled"


def told_code(code: str) -> str:
    """Return what a worker's word for a failure counts as, while this side has wished for no end.

    A worker that speaks of a success that it did not sign, or of a wish that its requester did not have, would else
    end the job. Rules: EXE-20.
    """
    is_wish = outcome_of(code).cause is Cause.REQUESTER and code not in EXCUSED
    return "worker_lied" if is_wish or code == SUCCEEDED else code


def code_of_exit(kind: str, exit_code: int | None, *, stopped_for: str, retry_codes: tuple[int, ...]) -> str:
    """Return the outcome of a program's end.

    Args:
        kind: As in ResultReceipt.
        exit_code: 0 to 255 where it ended by itself.
        stopped_for: Why this node stopped it; empty if it did not.
        retry_codes: Exit codes that ask for another attempt.
    """
    if kind == "exited" and exit_code == 0:
        return SUCCEEDED
    if stopped_for:
        return stopped_for
    if kind == "exited":
        return "requeue_asked" if exit_code in retry_codes else "program_failed"
    return _OF_EXIT.get(kind, "sandbox_lost")
