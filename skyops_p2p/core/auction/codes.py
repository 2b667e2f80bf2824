"""Why a tender did not become a match: every code, what it means and what to change. Spec: protocol/04-auction.md.

A worker's Decline carries a decline code, a bid book's Exclusion exclusion codes, a failed match one failure code, a
Release a release code. Peers choose the text of a code, so what they send is counted under `known_code` only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class CodeText:
    """One code in words."""

    meaning: str
    """One sentence for the person who submitted the job."""
    change: str
    """What that person can do about it; one sentence."""


UNKNOWN_CODE = "other"
"""Stands for a code that this software does not know."""
ACCEPTED = "accepted"
"""The code of a Confirm that accepts; it is no decline."""

SCREENING_CODES: Mapping[str, CodeText] = MappingProxyType(
    {
        "not_a_worker": CodeText(
            "The node offers no compute.",
            "Nothing: it is no candidate; wait for more workers or join others.",
        ),
        "runtime_missing": CodeText(
            "The node cannot start the job's runtime.",
            "Use another `runtime`, or wait for nodes that have it.",
        ),
        "limits_soft": CodeText(
            "The node's runtime does not enforce its limits hard.",
            "Set `placement.hard_limits = false` if soft limits are enough for the job.",
        ),
        "gpu_count": CodeText(
            "The node has too few GPUs.", "Lower the count in `resources.gpu`, or use shards."
        ),
        "gpu_model": CodeText(
            "The node has too few GPUs of the wanted models.", "Name more models in `resources.gpu.models`."
        ),
        "vram": CodeText("The node's GPUs have too little memory.", "Lower `resources.gpu.vram`."),
        "compute_capability": CodeText(
            "The node's GPUs have a lower CUDA compute capability.",
            "Lower `resources.gpu.compute_capability`.",
        ),
        "gpu_mix": CodeText(
            "No set of equal GPUs of the node has the model, the memory and the capability together.",
            "Loosen one of the GPU conditions in `resources`.",
        ),
        "cpu": CodeText("The node has too few CPU cores.", "Lower `resources.cpu`."),
        "memory": CodeText("The node has too little memory.", "Lower `resources.memory`."),
        "disk": CodeText("The node has too little free disk.", "Lower `resources.disk`."),
        "region": CodeText("The node is in another region.", "Name more `placement.regions`, or none."),
        "label": CodeText("The node lacks a wanted label.", "Ask for fewer `placement.labels`."),
        "latency": CodeText(
            "The measured round trip to the node is too long.", "Raise `placement.latency_ms_max`."
        ),
        "slots_busy": CodeText(
            "All slots of the node are taken.", "Try again later, or raise `timeouts.queue`."
        ),
    }
)
"""What `screening.screen` can say of a node, in the order in which it says it."""

OFFENCE_PROVEN = "offence_proven"
POLICY_CODES: Mapping[str, CodeText] = MappingProxyType(
    {
        "denied": CodeText("The node is on the job's deny list.", "Take it off `placement.deny`."),
        "not_allowed": CodeText("The node is not on the job's allow list.", "Add it to `placement.allow`."),
        "reputation": CodeText(
            "The node's reputation is below the gate.",
            "Lower `placement.reputation_min` if the risk is yours.",
        ),
        OFFENCE_PROVEN: CodeText(
            "The node has signed what convicts it of cheating in an auction, and this node keeps the proof.",
            "Nothing: take other workers.",
        ),
        "exposure": CodeText(
            "The node's stake does not cover what it computes for this requester already, and this job.",
            "Wait for its other jobs, lower `price.total_max`, or take other workers.",
        ),
        "kept_for_newcomers": CodeText(
            "The tender was one of those that are kept for workers whose results few have checked.",
            "Nothing: the next attempt is most likely not; a `placement.reputation_min` of its own keeps a job out.",
        ),
        "node_inactive": CodeText(
            "The node gives no sign of life, or was slashed.",
            "Nothing: it is no candidate until it comes back.",
        ),
        "record_missing": CodeText(
            "No valid node record of the node is known.", "Wait a few seconds: records follow heartbeats."
        ),
        "stake": CodeText(
            "The node's wallet has less at stake than is asked for.",
            "Lower `placement.stake_min` or `payment.worker_stake_min` if the risk is yours.",
        ),
        "stake_unknown": CodeText(
            "The chain did not say what the node has at stake.",
            "Nothing where it is away for a moment; else `skyops chain status` shows why.",
        ),
        "price_hint": CodeText(
            "The price that the node announces is above the ceiling.", "Raise `price.per_hour_max`."
        ),
    }
)
"""What the requester holds against a node before it asks it, besides SCREENING_CODES."""

_WORKER_CODES: Mapping[str, CodeText] = MappingProxyType(
    {
        "capacity_reserved": CodeText(
            "The capacity that fits is reserved for other tenders.", "Try again in some seconds."
        ),
        "price_too_low": CodeText(
            "The price ceiling is below what the worker takes.", "Raise `price.per_hour_max`."
        ),
        "unpayable": CodeText(
            "The worker has never reached its contracts, so it cannot be paid.",
            "Nothing: ask other workers; it bids once its chain answers.",
        ),
        "token_refused": CodeText("The worker is not paid in that token.", "Use another `price.token`."),
        "mode_refused": CodeText("The worker does not offer that mode.", "Use another `mode`."),
        "duration_too_long": CodeText(
            "The execution time-out is longer than the worker commits itself for.",
            "Lower `timeouts.execution`, or use checkpoints and retries.",
        ),
        "requester_refused": CodeText(
            "The worker does not work for this requester.", "Nothing: ask other workers."
        ),
        "not_invited": CodeText(
            "The tender's invitation does not reach this worker.", "Nothing: a later round may invite it."
        ),
        "busy": CodeText("The worker has too many open tenders.", "Try again in some seconds."),
        "leaving": CodeText("The worker is shutting down.", "Nothing: ask other workers."),
        "past_deadline": CodeText("The tender had expired when it came.", "Check both clocks; tender again."),
        "wrong_network": CodeText("The tender is of another network.", "Submit it on the worker's network."),
        "tender_conflict": CodeText(
            "The requester signed two tenders with one id.", "Use a new job id for a changed job."
        ),
        "policy_refused": CodeText(
            "The worker does not bid under that award policy.", "Use another `award.policy`."
        ),
        "unprovable_device": CodeText(
            "The worker's hardware is declared, not proven, and the network wants proof.",
            "Nothing: ask other workers.",
        ),
        "reservation_expired": CodeText(
            "The worker's reservation ran out before the award came.", "Tender again; award sooner."
        ),
        "award_mismatch": CodeText(
            "The award names another price, tender or worker than the bid.", "This is a bug: report it."
        ),
        "not_the_winner": CodeText(
            "By the bid book another worker should have won.", "Award by the rule: `skyops audit` tells."
        ),
    }
)

DECLINE_CODES: Mapping[str, CodeText] = MappingProxyType(
    {**SCREENING_CODES, **{code: POLICY_CODES[code] for code in ("denied", "not_allowed")}, **_WORKER_CODES}
)
"""Why a worker does not bid, or does not confirm an award."""

EXCLUSION_CODES: Mapping[str, CodeText] = MappingProxyType(
    {
        **SCREENING_CODES,
        **POLICY_CODES,
        "price_above_max": CodeText("The bid is above the ceiling.", "Raise `price.per_hour_max`."),
        "reveal_missing": CodeText("The bidder committed and never revealed.", "Tender again."),
        "reveal_mismatch": CodeText(
            "The opened bid is not the one committed to.", "Nothing: the bidder lied."
        ),
        "reveal_late": CodeText("The bid was opened after the window.", "Allow a longer reveal window."),
        "commit_late": CodeText("The commitment came after the window.", "Allow a longer commit window."),
        "commit_invalid": CodeText("The commitment breaks the protocol.", "Nothing: the bidder is at fault."),
        "equivocation": CodeText(
            "The bidder signed two different commitments.", "Nothing: the proof is kept in the bid book."
        ),
        "unknown_node": CodeText("The node map does not know the bidder.", "Tender again in some seconds."),
        "unbound": CodeText("The bidder has no valid wallet binding.", "Nothing: it could not be paid."),
        "hardware_mismatch": CodeText(
            "The bid offers hardware that the bidder's node record does not show.",
            "Nothing: the bidder lied.",
        ),
        "device_twice": CodeText(
            "A device of the bid stands in another bid too.", "Nothing: the bidder lied."
        ),
        "tier_larger": CodeText(
            "Bidders with less GPU memory fit as well, and stand before this one.",
            "Nothing: large GPUs are kept for jobs that need them.",
        ),
        "bid_expired": CodeText("The bid was not valid long enough for the award.", "Tender again."),
        "stake": CodeText(
            "The bidder's free stake is too small for the job.", "Split the job, or tender again."
        ),
        "proof_stale": CodeText(
            "The worker has no proof of compute of the last day; why stands beside it.",
            "Ask it with `skyops node prove PEER`, or use another `award.policy`.",
        ),
        "proof_wrong": CodeText("The bidder's proof of compute is wrong.", "Nothing: the bidder lied."),
    }
)
"""Why the hard filter drops a bidder. SCREENING_CODES are checked again, against the record in the book."""

ANSWER_CODES: Mapping[str, CodeText] = MappingProxyType(
    {
        "no_answer": CodeText(
            "The worker could not be reached, or did not answer in time.",
            "Check the connections: `skyops peers`.",
        ),
        "answer_invalid": CodeText(
            "The worker's answer breaks the protocol.", "Nothing: the worker is at fault."
        ),
        "book_full": CodeText("Enough workers had bid already.", "Nothing: there were bids enough."),
        "reveal_unasked": CodeText(
            "The node opened a bid that it had not committed to.", "Nothing: the node is at fault."
        ),
        "confirm_missing": CodeText("The worker did not confirm the award in time.", "Tender again."),
        "confirm_invalid": CodeText(
            "The worker's confirmation breaks the protocol.", "Nothing: the worker is at fault."
        ),
    }
)
"""What else can become of a node in a match."""

PROOF_CODES: Mapping[str, CodeText] = MappingProxyType(
    {
        "asker_unbound": CodeText(
            "The worker's map does not have this node, or not its stake.", "Wait until the worker lists it."
        ),
        "challenge_refused": CodeText(
            "The worker takes no challenge of that size.", "Nothing: a smaller one is asked for by itself."
        ),
        "proof_busy": CodeText(
            "The worker proves itself to another, or its jobs need the machine.", "Try again later."
        ),
        "proof_spent": CodeText(
            "The worker has proven itself as often as it does in an hour.", "Try again in half an hour."
        ),
        "proof_not_ready": CodeText(
            "The worker is loading what it computes with.", "Try again in some seconds."
        ),
        "prover_failed": CodeText("The worker could not compute its proof.", "Nothing: ask other workers."),
        "unknown_challenge": CodeText(
            "The worker has no such answer open: it was opened too late, or twice.", "Try again later."
        ),
        "proof_late": CodeText("The proof came too late, or not at all.", "Nothing: ask other workers."),
        "proof_fails": CodeText("The proof is wrong.", "Nothing: the worker lied."),
        "not_drawn": CodeText("The node was not drawn to attest the worker.", "Nothing: another one was."),
        "attestation_missing": CodeText(
            "The worker has no attestation to show.", "Nothing: it is asked for a proof instead."
        ),
        "device_shared": CodeText(
            "Two nodes proved themselves at once and named one device.", "Take its UUID out of one record."
        ),
        "proof_missing": CodeText("The worker was not asked for a proof yet.", "Try again in some seconds."),
    }
)
"""Why a worker has proven nothing: it refused, or its answer did not come or was wrong."""

FAILURE_CODES: Mapping[str, CodeText] = MappingProxyType(
    {
        "no_candidates": CodeText(
            "No known node fits, and nobody answered the announcement.",
            "`skyops job check FILE` shows why each known node does not fit.",
        ),
        "all_declined": CodeText(
            "Every worker that answered declined.", "The table of reasons shows what to change."
        ),
        "no_answers": CodeText(
            "No invited worker answered in time.", "Check the connections: `skyops peers`."
        ),
        "all_excluded": CodeText(
            "There were bids, and none passed the hard filter.", "The table of reasons shows what to change."
        ),
        "no_reveals": CodeText("Nobody opened the committed bid.", "Tender again."),
        "no_confirm": CodeText("Neither the winner nor a reserve confirmed.", "Tender again."),
        "match_timeout": CodeText("The match took longer than its hard limit.", "Tender again."),
        "gossip_failed": CodeText(
            "The tender could not be announced, and nobody could be asked directly.",
            "Check the connections: `skyops peers`.",
        ),
        "withdrawn": CodeText("The requester withdrew the tender.", "Nothing."),
        "deadline_past": CodeText("The job's deadline is past.", "Set a later `deadline`."),
        "book_not_stored": CodeText(
            "The bid book could not be stored, so nobody was awarded.", "Check the disk: `skyops doctor`."
        ),
        "delay_not_proven": CodeText(
            "The delay function of the policy `vdf` could not be evaluated.",
            "Install the extra `vdf`, or use another `award.policy`.",
        ),
        "gang_incomplete": CodeText(
            "A worker was not found for every shard of the gang at the same time, so all were let go.",
            "It is tried again by itself; ask for fewer shards, or raise `timeouts.queue`.",
        ),
        "too_many_tenders": CodeText(
            "This node runs as many tenders as it may.", "Wait for one of them to end."
        ),
    }
)
"""How a whole match can fail; the counts by decline and exclusion code stand beside it."""

RELEASE_CODES: Mapping[str, CodeText] = MappingProxyType(
    {
        "not_chosen": CodeText("Another bid won.", "Nothing."),
        "withdrawn": CodeText("The requester withdrew the tender.", "Nothing."),
        "no_match": CodeText("No bid qualified.", "Nothing."),
        "failed": CodeText("The tender failed on the requester's side.", "Nothing."),
    }
)
"""Why a bidder is let go."""

_ALL: Mapping[str, CodeText] = {
    **RELEASE_CODES,
    **FAILURE_CODES,
    **ANSWER_CODES,
    **PROOF_CODES,
    **EXCLUSION_CODES,
    **DECLINE_CODES,
}
_UNKNOWN = CodeText("The peer gave a reason that this software does not know.", "Update skyops.")


def known_code(code: str) -> str:
    """Return the code, or UNKNOWN_CODE for one that no table has."""
    return code if code in _ALL else UNKNOWN_CODE


def explain(code: str) -> CodeText:
    """Return what a code means and what to change; for an unknown one, that it is unknown."""
    return _ALL.get(code, _UNKNOWN)
