"""The award rule: hard filter, memory tier, score and ranking, in integers only. Spec: protocol/04-auction.md, "Award".

A score is in millionths and depends on the tender and on the bidder's own bid and observation, never on another bid.
Nor does the tier: it is fixed in the tender. So a bid that loses, more or less of them, never changes the winner.
Divisions round down.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from skyops_p2p.core.auction.class_index import class_index_milli
from skyops_p2p.core.auction.devices import device_names
from skyops_p2p.core.auction.policies import POLICIES, Candidate
from skyops_p2p.core.auction.screening import has_memory, is_capable, is_model, screen, wanted_gpus
from skyops_p2p.wire.messages.auction import Bid, Exclusion, Needs, Observation, Score, Tender
from skyops_p2p.wire.messages.peering import GpuPart, NodeRecord

SCALE = 1_000_000
"""One, in millionths."""
REPUTATION_FULL = 700_000
"""Reputation that gets the full score."""
HOARDING_RATE = 150_000
"""Subtracted for each multiple of the fair share above the first."""
HOARDING_STEPS = 3
"""At most so many multiples are subtracted."""
ROUND_TRIP_REFERENCE_MS = 1000
"""Round trip that gets no score, where the tender asks for no latency."""
TRANSFER_REFERENCE_MS = 60_000
"""Transfer of the inputs that gets no score."""
VRAM_REFERENCE_MIB = 8192
"""GPU memory that a job is taken to need that says none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A bidder that revealed, with all that the rule looks at."""

    bidder: bytes
    bid: Bid
    seen: Observation
    record: NodeRecord
    record_sequence: int
    """What the commitment says."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the rule says; the fields of a bid book."""

    exclusions: tuple[Exclusion, ...]
    """Ascending by bidder."""
    scores: tuple[Score, ...]
    """In the order of the ranking."""
    ranking: tuple[bytes, ...]
    """The winner first."""


def rank(
    tender: Tender,
    entries: Iterable[Entry],
    *,
    seed: bytes,
    closed_unix_ms: int,
    dropped: Mapping[bytes, tuple[str, ...]] | None = None,
) -> Ranking:
    """Apply the whole rule. The order of the entries does not matter.

    Args:
        tender: Weights, limits and policy.
        entries: One for each bidder that revealed.
        seed: What lots are drawn from, 32 bytes.
        closed_unix_ms: When the book was closed.
        dropped: Bidders that are out already, with their exclusion codes (no reveal, equivocation).

    Rules: AUC-16 to AUC-22.
    """
    out = dict(dropped or {})
    fit: list[Entry] = []
    for entry in entries:
        codes = exclusion_codes(tender, entry, closed_unix_ms=closed_unix_ms)
        if codes:
            out[entry.bidder] = codes
        else:
            fit.append(entry)
    tier = chosen_tier((entry.bid.vram_mib for entry in fit), tender.tier_mib)
    candidates = []
    for entry in fit:
        if entry.bid.vram_mib > tier:  # AUC-17
            out[entry.bidder] = ("tier_larger",)
        else:
            candidates.append(Candidate(entry.bidder, entry.bid, entry.seen, score(tender, entry)))
    order = POLICIES[tender.policy]
    candidates.sort(key=lambda candidate: order(tender, candidate, seed))
    ranked = _each_device_once(candidates, out)
    return Ranking(
        exclusions=tuple(Exclusion(bidder=bidder, codes=out[bidder]) for bidder in sorted(out)),
        scores=tuple(candidate.score for candidate in ranked),
        ranking=tuple(candidate.bidder for candidate in ranked),
    )


def exclusion_codes(tender: Tender, entry: Entry, *, closed_unix_ms: int) -> tuple[str, ...]:
    """Return why the hard filter drops a bidder, in the order of the checks; empty if it passes. Rules: AUC-16."""
    bid, seen = entry.bid, entry.seen
    faults = (
        ("denied", entry.bidder in tender.deny),
        ("not_allowed", bool(tender.allow) and entry.bidder not in tender.allow),
        ("reputation", seen.reputation < tender.reputation_min),
        ("record_missing", entry.record.sequence < entry.record_sequence),
        ("price_above_max", bid.price > tender.price_max),
        ("bid_expired", bid.valid_until_unix_ms < closed_unix_ms),
        ("hardware_mismatch", not _is_own_hardware(tender, entry)),
        ("proof_stale", tender.policy == "poc" and seen.throughput == 0),
    )
    codes = [code for code, is_fault in faults if is_fault]
    return (*codes, *screen(tender.needs, entry.record, round_trip_ms=seen.round_trip_ms, slots_free=None))


def chosen_tier(vram_mib: Iterable[int], tier_mib: int) -> int:
    """Return the largest GPU memory that still competes: the tender's tier, or the smallest bid above it.

    Rules: AUC-17.
    """
    return max(tier_mib, min(vram_mib, default=0))


def score(tender: Tender, entry: Entry) -> Score:
    """Return the score of one bid, millionths. Rules: AUC-18, AUC-19."""
    bid, seen, weights = entry.bid, entry.seen, tender.weights
    price = _price_part(tender, bid.price)
    reputation = min(SCALE, seen.reputation * SCALE // REPUTATION_FULL)
    fit = _fit_part(tender, bid)
    latency = _latency_part(tender, seen)
    hoarding = _hoarding(tender, seen)
    weighted = (
        weights.price * price
        + weights.reputation * reputation
        + weights.fit * fit
        + weights.latency * latency
    )
    return Score(
        bidder=entry.bidder,
        price=price,
        reputation=reputation,
        fit=fit,
        latency=latency,
        hoarding=hoarding,
        total=weighted // SCALE - hoarding,
    )


def _price_part(tender: Tender, price: int) -> int:
    span = tender.price_max - tender.price_floor
    return max(0, min(SCALE, (tender.price_max - price) * SCALE // span))


def _fit_part(tender: Tender, bid: Bid) -> int:
    """Best where the GPU is no larger than needed, fast enough, and the inputs are there already."""
    size = SCALE
    if bid.vram_mib:
        needed = min(tender.needs.vram_mib or VRAM_REFERENCE_MIB, bid.vram_mib)
        size = math.isqrt(needed * SCALE * SCALE // bid.vram_mib)
    speed = min(SCALE, bid.speed_milli * SCALE // tender.speed_milli_min) if tender.speed_milli_min else SCALE
    cached = SCALE // 2 + bid.cached_permille * 500 if tender.input_bytes else SCALE
    return size * speed * cached // SCALE**2


def _latency_part(tender: Tender, seen: Observation) -> int:
    longest = tender.needs.latency_ms_max or ROUND_TRIP_REFERENCE_MS
    round_trip = SCALE // 2 * min(seen.round_trip_ms, longest) // longest
    transfer = SCALE // 2 * min(seen.transfer_ms, TRANSFER_REFERENCE_MS) // TRANSFER_REFERENCE_MS
    return SCALE - round_trip - transfer


def _hoarding(tender: Tender, seen: Observation) -> int:
    """Awards of the window against the share that the stake gives: nothing up to it, then linear. Rules: AUC-19."""
    if not tender.window_awards:
        return 0
    fair = tender.window_awards * max(1, seen.stake_weight)
    multiple = seen.recent_awards * max(1, tender.window_stake) * SCALE // fair
    return min(HOARDING_STEPS * SCALE, max(0, multiple - SCALE)) * HOARDING_RATE // SCALE


def _is_own_hardware(tender: Tender, entry: Entry) -> bool:
    """Tell whether a bid's devices are in the bidder's record, fit the job, and are as the bid says. Rules: AUC-41."""
    bid = entry.bid
    if len(bid.devices) != wanted_gpus(tender.needs) or len(set(bid.devices)) != len(bid.devices):
        return False
    names = device_names(entry.record)
    gpus = [names[device] for device in bid.devices if device in names]
    if len(gpus) < len(bid.devices) or bid.speed_milli != sum(map(class_index_milli, gpus)):
        return False
    if not gpus:
        return bid.vram_mib == 0 and not bid.gpu_model
    return all(_is_as_bid(tender.needs, gpu, bid) for gpu in gpus)


def _is_as_bid(needs: Needs, gpu: GpuPart, bid: Bid) -> bool:
    return (
        gpu.model == bid.gpu_model
        and gpu.vram_mib == bid.vram_mib
        and is_model(needs, gpu)
        and has_memory(needs, gpu)
        and is_capable(needs, gpu)
    )


def _each_device_once(candidates: Sequence[Candidate], out: dict[bytes, tuple[str, ...]]) -> list[Candidate]:
    """Keep of several bids with one device the one that stands first, so that a worse one cannot push it out.

    Rules: AUC-22.
    """
    taken: set[str] = set()
    kept = []
    for candidate in candidates:
        if taken.isdisjoint(candidate.bid.devices):
            taken.update(candidate.bid.devices)
            kept.append(candidate)
        else:
            out[candidate.bidder] = ("device_twice",)
    return kept
