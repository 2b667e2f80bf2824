"""Whom a tender is sent to: the nodes of the map that pass the screening, the best first, and why others do not."""

from collections.abc import Collection, Iterable

from skyops_p2p.core.auction.events import Bidder, Outcome
from skyops_p2p.core.auction.invitation import candidate_key, tier_of
from skyops_p2p.core.auction.screening import round_trip_ms, screen_candidate
from skyops_p2p.core.jobs.needs import needs_of
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.jobs.terms import offered_vram_mib
from skyops_p2p.core.node_map import NodeEntry
from skyops_p2p.core.presence import NodeState
from skyops_p2p.node.standing import StandingSource
from skyops_p2p.types import PeerId

UNMEASURED_MS = 60_000
BYTES_PER_S = 12_500_000
"""Assumed until a transfer was measured: 100 Mbit/s."""


def bidder_of(entry: NodeEntry, standing: StandingSource) -> Bidder:
    """Return a node as a requester sees it: measured, or from its signed record."""
    stands = standing.of(entry.peer)
    return Bidder(
        peer=entry.peer,
        record=entry.verified if entry.is_record_live else None,
        round_trip_ms=_round_trip_ms(entry),
        bytes_per_s=BYTES_PER_S,
        reputation=stands.reputation,
        stake_weight=stands.stake_weight,
        recent_awards=stands.recent_awards,
        throughput=stands.throughput,
        is_trusted=entry.presence.state not in (NodeState.SLASHED, NodeState.INACTIVE),
    )


def screen_map(
    spec: JobSpec,
    entries: Iterable[NodeEntry],
    *,
    own: PeerId,
    standing: StandingSource,
    lot: bytes,
    excluded: Collection[PeerId] = (),
    computing: Collection[PeerId] = (),
) -> tuple[tuple[Bidder, ...], tuple[Outcome, ...]]:
    """Split the workers of the map into those to ask, best first, and those that do not qualify, with reasons.

    What nodes announce decides only who is asked; the order is `invitation.candidate_key`.

    Args:
        spec: The job.
        entries: The map.
        own: Ourselves: never asked.
        standing: Tells how workers stand.
        lot: Of this job, so that jobs differ in whom they ask among equals.
        excluded: They failed at this job before.
        computing: They, or other nodes of their wallets, compute the same already.
    """
    needs, placement = needs_of(spec), spec.placement
    allow, deny = (frozenset(PeerId(peer) for peer in peers) for peers in (placement.allow, placement.deny))
    fit: list[tuple[NodeEntry, int]] = []
    unfit: list[Outcome] = []
    region = ""
    for entry in entries:
        if entry.peer == own and entry.record is not None:
            region = entry.record.region
        if entry.peer == own or (entry.record is not None and not entry.record.is_worker):
            continue
        if entry.peer in excluded:
            unfit.append(Outcome(entry.peer, "denied", "it failed at this job before"))
            continue
        if entry.peer in computing:
            text = "it, or another node of its wallet, computes the same already"
            unfit.append(Outcome(entry.peer, "denied", text))
            continue
        codes = screen_candidate(needs, entry, allow=allow, deny=deny, price_max=spec.price.per_hour_max)
        if codes or entry.record is None:
            unfit.append(Outcome(entry.peer, codes[0], ", ".join(codes[1:])))
        else:
            fit.append((entry, offered_vram_mib(needs, entry.record)))
    tier_mib = tier_of(vram_mib for _, vram_mib in fit)

    def key(item: tuple[NodeEntry, int]) -> tuple[bool, int, int, bytes]:
        entry, vram_mib = item
        return candidate_key(
            entry.peer.encode(),
            vram_mib=vram_mib,
            tier_mib=tier_mib,
            price=entry.price,
            round_trip_ms=_nearness_ms(entry, region),
            lot=lot,
        )

    return tuple(bidder_of(entry, standing) for entry, _ in sorted(fit, key=key)), tuple(unfit)


def _nearness_ms(entry: NodeEntry, region: str) -> int:
    """Return the round trip as measured, which it is to whom we are connected; then come those of our own region.

    To dial somebody near takes a fraction of the time. Who says wrongly that it is near is asked sooner, and no more.
    """
    is_near = bool(region) and entry.record is not None and entry.record.region == region
    return min(_round_trip_ms(entry), UNMEASURED_MS - is_near)


def _round_trip_ms(entry: NodeEntry) -> int:
    trip = round_trip_ms(entry)
    return UNMEASURED_MS if trip is None else min(trip, UNMEASURED_MS)
