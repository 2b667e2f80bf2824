"""What must hold at the end of a campaign, whatever has happened. Pure.

Each check returns what does not hold. Sources: protocol/05-execution.md ("Outcomes"), 07-settlement.md (SET-7, SET-8,
SET-13, SET-18, SET-22).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from skyops_p2p.core.execution.outcomes import OUTCOMES, Cause
from skyops_p2p.core.settlement.lanes import EXPOSED_MS
from skyops_p2p.core.settlement.prices import charge, exposure
from skyops_p2p.limits import PAY_INTERVAL_MS_MAX
from skyops_p2p.testnet.chaos.seen import JobSeen, LaneSeen, Observation

PAIR_UNIT_WEI = 10**9
"""The contract counts pairs in it; a redemption leaves less than one behind, and a receipt costs one at least."""

_FAILED_BY_ITSELF = frozenset(
    {"input_unavailable", "checkpoint_unavailable"}
    | {code for code, outcome in OUTCOMES.items() if outcome.cause is Cause.JOB}
)
"""A worker signs for such an end too: what came after was paid for its own work."""


@dataclass(frozen=True, slots=True)
class Breach:
    """Something that does not hold."""

    code: str
    text: str


def breaches_of(seen: Observation) -> tuple[Breach, ...]:
    """Return everything that does not hold, in the order of CHECKS."""
    return tuple(Breach(name, text) for name, check in CHECKS.items() for text in check(seen))


def exposed_wei(lane: LaneSeen) -> int:
    """Return the most of a lane's work that may be unpaid. Rules: SET-8."""
    return exposure(lane.rate_wei, PAY_INTERVAL_MS_MAX, EXPOSED_MS, 0)[0]


def _troubles(seen: Observation) -> Iterator[str]:
    for code, text in seen.troubles:
        yield f"{code}: {text}"


def _lost(seen: Observation) -> Iterator[str]:
    for job in seen.jobs:
        if not job.job_id:
            yield f"{job.name}: {job.by} knows nothing of it ({job.code or 'it was never taken'})"
        elif not job.is_over:
            yield f"{job.name} ({job.job_id[:12]}) has not ended"


def _outcomes(seen: Observation) -> Iterator[str]:
    for job in seen.jobs:
        if job.job_id and job.is_over and job.code not in job.allowed:
            yield f"{job.name}: ended {job.code or 'without a code'}, allowed is {', '.join(sorted(job.allowed))}"


def _uncoded(seen: Observation) -> Iterator[str]:
    for job in seen.jobs:
        codes = [job.code] if job.is_over else []
        unknown = {code for code in codes + [code for _, _, code in job.attempts] if code not in OUTCOMES}
        if unknown:
            yield f"{job.name}: {', '.join(repr(code) for code in sorted(unknown))} is in no list of outcomes"


def _paid_twice(seen: Observation) -> Iterator[str]:
    for job in seen.jobs:
        leases = Counter((lane.shard, lane.epoch) for lane in job.lanes)
        for (shard, epoch), count in leases.items():
            if count > 1:
                yield f"{job.name}: shard {shard} has {count} lanes for epoch {epoch}"
        yield from _receipts_of_one_shard(job)
        ended = Counter(shard for shard, _, code in job.attempts if code == "succeeded")
        for shard, count in ended.items():
            if count > 1:
                yield f"{job.name}: shard {shard} has succeeded {count} times"


def _receipts_of_one_shard(job: JobSeen) -> Iterator[str]:
    codes = {(shard, epoch): code for shard, epoch, code in job.attempts}
    ends: dict[int, list[str]] = defaultdict(list)
    for lane in job.lanes:
        code = codes.get((lane.shard, lane.epoch), "")
        if lane.has_receipt and code not in _FAILED_BY_ITSELF:
            ends[lane.shard].append(f"epoch {lane.epoch} {code or 'without a code'}")
    for shard, found in ends.items():
        if len(found) > 1:
            yield f"{job.name}: shard {shard} was run to its receipt {len(found)} times ({', '.join(found)})"


def _exposure(seen: Observation) -> Iterator[str]:
    for job in seen.jobs:
        for lane in job.lanes:
            metered_wei = charge(lane.rate_wei, lane.metered_ms)
            if lane.paid_wei > metered_wei + PAIR_UNIT_WEI:
                yield f"{_named(job, lane)}: {lane.paid_wei} wei paid, {metered_wei} metered"
            if metered_wei - lane.paid_wei > exposed_wei(lane):
                yield f"{_named(job, lane)}: of {metered_wei} wei metered only {lane.paid_wei} are paid"


def _budgets(seen: Observation) -> Iterator[str]:
    for job in seen.jobs:
        paid_wei = sum(lane.paid_wei for lane in job.lanes)
        if job.budget_wei is not None and paid_wei > job.budget_wei:
            yield f"{job.name}: {paid_wei} wei paid, its bound is {job.budget_wei}"


def _open_lanes(seen: Observation) -> Iterator[str]:
    for job in seen.jobs:
        for lane in job.lanes:
            if lane.is_open and job.is_over:
                yield f"{_named(job, lane)} is still open"


def _sides(seen: Observation) -> Iterator[str]:
    """Compare both sides' sums of each job and worker."""
    paid: dict[tuple[str, str], int] = defaultdict(int)
    receipts: dict[tuple[str, str], int] = defaultdict(int)
    for job in seen.jobs:
        for lane in job.lanes:
            paid[lane.worker, job.job_id] += lane.paid_wei
            receipts[lane.worker, job.job_id] += lane.has_receipt
    earned = {(row.worker, row.job_id): row for row in seen.earned}
    for worker, job_id in sorted(paid.keys() | earned.keys()):
        row = earned.get((worker, job_id))
        theirs = (row.paid_wei, row.receipts) if row is not None else (0, 0)
        ours = (paid[worker, job_id], receipts[worker, job_id])
        if ours != theirs:
            told = f"paid {ours[0]} wei with {ours[1]} receipts, {worker} has {theirs[0]} with {theirs[1]}"
            yield f"job {job_id[:12]}: {told}"


def _pairs(seen: Observation) -> Iterator[str]:
    """Compare both sides of each pair, and what was redeemed of it."""
    payers = {(pair.by, pair.peer): pair for pair in seen.pairs if pair.is_payer}
    payees = {(pair.peer, pair.by): pair for pair in seen.pairs if not pair.is_payer}
    for key in sorted(payers.keys() | payees.keys()):
        ours, theirs = payers.get(key), payees.get(key)
        promised = (0 if ours is None else ours.promised_wei, 0 if theirs is None else theirs.promised_wei)
        if promised[0] != promised[1]:
            yield f"{key[0]} has promised {promised[0]} wei to {key[1]}, which has vouchers for {promised[1]}"
        elif theirs is not None and not 0 <= theirs.promised_wei - theirs.redeemed_wei < PAIR_UNIT_WEI:
            yield f"{key[1]} has redeemed {theirs.redeemed_wei} of {theirs.promised_wei} wei of {key[0]}"


def _promises(seen: Observation) -> Iterator[str]:
    """Compare what the lanes of each pair have cost with its newest voucher."""
    paid: dict[tuple[str, str], int] = defaultdict(int)
    for job in seen.jobs:
        for lane in job.lanes:
            paid[job.by, lane.worker] += lane.paid_wei
    promised = {(pair.by, pair.peer): pair.promised_wei for pair in seen.pairs if pair.is_payer}
    for key in sorted(paid.keys() | promised.keys()):
        if paid[key] != promised.get(key, 0):
            yield f"{key[0]} has promised {promised.get(key, 0)} wei to {key[1]}, its lanes have cost {paid[key]}"


def _receipts(seen: Observation) -> Iterator[str]:
    """Compare both sides' receipts of each lease."""
    held: dict[str, list[tuple[str, str, int, bool]]] = defaultdict(list)
    for one in seen.receipts:
        if one.trouble:
            yield f"{one.by} has no receipt of lease {one.lane[:12]}: {one.trouble}"
            continue
        held[one.lane].append((one.by, one.leaf, one.amount_wei, one.is_signed_by_both))
    paid = {lane.lane: lane.paid_wei for job in seen.jobs for lane in job.lanes}
    for lane, sides in held.items():
        if len({(leaf, amount) for _, leaf, amount, _ in sides}) > 1:
            yield f"lease {lane[:12]}: both sides have other receipts"
        for by, _, amount, is_signed in sides:
            if not is_signed:
                yield f"lease {lane[:12]}: the receipt that {by} has is signed by one side only"
            if amount != paid.get(lane, 0):
                yield f"lease {lane[:12]}: {by} has a receipt for {amount} wei, paid are {paid.get(lane, 0)}"


def _money(seen: Observation) -> Iterator[str]:
    before, after = seen.before, seen.after
    for when, chain in (("before", before), ("after", after)):
        if chain.settlement != chain.owed:
            yield f"{when}: Settlement owns {chain.settlement} wei and owes {chain.owed}"
    burned = before.supply - after.supply
    if before.wallets + before.owed != after.wallets + after.owed + burned:
        yield f"there were {before.wallets + before.owed} wei, there are {after.wallets + after.owed}, {burned} burned"
    taken = before.deposits + before.allotments - after.deposits - after.allotments
    redeemed = sum(pair.redeemed_wei for pair in seen.pairs if not pair.is_payer)
    if taken != redeemed:
        yield f"{taken} wei have left the deposits, {redeemed} were redeemed"


def _named(job: JobSeen, lane: LaneSeen) -> str:
    return f"{job.name}: lane {lane.lane[:12]} (shard {lane.shard}, epoch {lane.epoch}, {lane.worker})"


CHECKS: dict[str, Callable[[Observation], Iterator[str]]] = {
    "not_looked_at": _troubles,
    "job_lost": _lost,
    "outcome_not_allowed": _outcomes,
    "failure_uncoded": _uncoded,
    "paid_twice": _paid_twice,
    "above_exposure": _exposure,
    "over_budget_paid": _budgets,
    "lane_open": _open_lanes,
    "sides_apart": _sides,
    "pair_apart": _pairs,
    "promise_apart": _promises,
    "receipt_apart": _receipts,
    "money_not_conserved": _money,
}
"""Code of a breach -> the check that finds it."""
