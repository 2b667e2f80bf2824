"""The screening preview: which known nodes could run a job, what it may cost, and why the others could not.

It reads the local map and asks nobody; a match may find others.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from math import ceil, floor
from types import MappingProxyType

from skyops_p2p.core.auction.codes import explain
from skyops_p2p.core.auction.screening import mismatch_text, round_trip_ms, screen_candidate
from skyops_p2p.core.jobs.encoding import spec_digest
from skyops_p2p.core.jobs.needs import cost_of, needs_of
from skyops_p2p.core.jobs.sizes import millionths_text
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.node_map import NodeEntry
from skyops_p2p.core.verification.canaries import chance_to_be_caught
from skyops_p2p.core.verification.commit import compared_class
from skyops_p2p.limits import PREVIEW_NODES_MAX
from skyops_p2p.node.views import View
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.auction import Needs


class MismatchView(View):
    """One reason why one node does not qualify."""

    code: str
    detail: str
    """What is needed and what the node has; may be empty."""


class CandidateView(View):
    """One worker of the map."""

    peer_id: str
    price_microcredits_per_hour: int
    """As it announces; its bid may differ."""
    round_trip_ms: int | None
    mismatches: tuple[MismatchView, ...]
    """Empty: it qualifies."""


class ReasonView(View):
    """One reason over all workers."""

    code: str
    nodes: int
    """Workers that it holds for."""
    meaning: str
    change: str
    """What to do about it."""


class PreviewView(View):
    """What the local map says of a job before it is tendered."""

    spec_digest: str
    """Hex."""
    workers: int
    """Known nodes that offer compute, without ourselves."""
    qualified: int
    price_min: int | None
    """Microcredits an hour, as announced by those that qualify; None: nobody does."""
    price_median: int | None
    price_max: int | None
    cost_min: int | None
    """Microcredits for the whole job at these prices, if each shard needs its whole execution time-out."""
    cost_max: int | None
    computing: int = 1
    """Workers that compute each shard to compare their results; others decide if these differ."""
    is_by_lot: bool = False
    """Spot checks: the first of them alone, unless a lot falls on its result."""
    canaries: int = 0
    """Shards that this node computes, too, one after the other, to compare their results."""
    canary_permille: int = 0
    """How likely, in thousandths, whoever makes up a tenth of all shards is caught at one of them."""
    reasons: tuple[ReasonView, ...]
    """The most frequent first."""
    candidates: tuple[CandidateView, ...]
    """Those that qualify first, cheapest first; at most PREVIEW_NODES_MAX."""


def preview_job(
    spec: JobSpec,
    entries: Iterable[NodeEntry],
    *,
    own: PeerId,
    held: Mapping[PeerId, tuple[str, str]] = MappingProxyType({}),
) -> PreviewView:
    """Screen all workers of the map but ourselves for a job.

    Args:
        spec: The job.
        entries: The node map.
        own: This node, which does not work for itself.
        held: {peer: (code, detail)}: what is held against a node besides what its record says.
    """
    needs, placement = needs_of(spec), spec.placement
    allow, deny = (frozenset(PeerId(peer) for peer in peers) for peers in (placement.allow, placement.deny))
    screened = []
    for entry in entries:
        if entry.peer == own or (entry.record is not None and not entry.record.is_worker):
            continue
        codes = screen_candidate(needs, entry, allow=allow, deny=deny, price_max=spec.price.per_hour_max)
        if entry.peer in held:
            codes = (*codes, held[entry.peer][0])
        screened.append((entry, codes))
    screened.sort(key=lambda pair: (len(pair[1]), pair[0].price, pair[0].peer))
    prices = [entry.price for entry, codes in screened if not codes]
    counts = Counter(code for _, codes in screened for code in codes)
    computing = 1 if compared_class(spec) is None else spec.verification.redundancy
    canaries = spec.verification.canaries or 0
    return PreviewView(
        spec_digest=spec_digest(spec).hex(),
        workers=len(screened),
        qualified=len(prices),
        price_min=min(prices, default=None),
        price_median=statistics.median_low(prices) if prices else None,
        price_max=max(prices, default=None),
        cost_min=cost_of(spec, min(prices), computing=computing) if prices else None,
        cost_max=(
            cost_of(spec, min(max(prices), spec.price.per_hour_max), computing=computing) if prices else None
        ),
        computing=computing,
        is_by_lot=spec.verification.check == "adaptive",
        canaries=canaries,
        canary_permille=floor(1000 * chance_to_be_caught(canaries, spec.shards, ceil(spec.shards / 10))),
        reasons=tuple(_reason(code, nodes) for code, nodes in counts.most_common()),
        candidates=tuple(
            _candidate(needs, entry, codes, price_max=spec.price.per_hour_max, held=held.get(entry.peer))
            for entry, codes in screened[:PREVIEW_NODES_MAX]
        ),
    )


def _candidate(
    needs: Needs, entry: NodeEntry, codes: tuple[str, ...], *, price_max: int, held: tuple[str, str] | None
) -> CandidateView:
    trip = round_trip_ms(entry)

    def detail(code: str) -> str:
        if held is not None and code == held[0]:
            return held[1]
        if code == "price_hint":
            return f"announces {millionths_text(entry.price)} credits, ceiling {millionths_text(price_max)}"
        if entry.record is None:
            return ""
        return mismatch_text(code, needs, entry.record, round_trip_ms=trip, slots_free=entry.slots_free)

    return CandidateView(
        peer_id=entry.peer,
        price_microcredits_per_hour=entry.price,
        round_trip_ms=trip,
        mismatches=tuple(MismatchView(code=code, detail=detail(code)) for code in codes),
    )


def _reason(code: str, nodes: int) -> ReasonView:
    text = explain(code)
    return ReasonView(code=code, nodes=nodes, meaning=text.meaning, change=text.change)
