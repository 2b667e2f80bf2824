"""Turn the core's state into views. Reads, never changes."""

from skyops_p2p.core.auction.class_index import class_index_milli
from skyops_p2p.core.machine import HistoryEntry
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.node_filter import NodeFilter, select_nodes
from skyops_p2p.core.node_map import NodeEntry
from skyops_p2p.core.peering import Link
from skyops_p2p.core.presence import NodeState
from skyops_p2p.node.session import LiveSession
from skyops_p2p.node.views import GpuView, MapQuery, NodeView, PeerView, SessionView
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.messages.peering import HardwarePart


def node_views(core: NodeCore, query: MapQuery, now: MonotonicS) -> tuple[NodeView, ...]:
    """Return the nodes of the map that match a query."""
    return tuple(node_view(core, entry, now) for entry in select_nodes(core.nodes, filter_of(query)))


def filter_of(query: MapQuery) -> NodeFilter:
    """Return the core's form of a query."""
    return NodeFilter(
        gpu=query.gpu,
        vram_mib=round(query.vram_gib * 1000),  # a "24 GB" card reports a little less than 24 GiB
        region=query.region,
        runtime=query.runtime,
        label=query.label,
        price_max=query.price_max,
        states=frozenset(NodeState(state) for state in query.states),
        workers_only=query.workers_only,
        sort=query.sort,
        limit=query.limit,
    )


def node_view(core: NodeCore, entry: NodeEntry, now: MonotonicS) -> NodeView:
    """Return one node of the map."""
    record, seen_at = entry.record, entry.presence.seen_at
    link = core.book.link(entry.peer)
    hardware = record.hardware if record else None
    return NodeView.model_validate(
        {
            "peer_id": entry.peer,
            "wallet": entry.wallet or "",
            "state": entry.presence.state.value,
            "reason": entry.presence.reason,
            "is_self": entry.peer == core.peer_id,
            "is_worker": bool(record and record.is_worker),
            "agent": record.agent if record else "",
            "region": record.region if record else "",
            "labels": record.labels if record else (),
            "addrs": record.addrs if record else (link.addrs if link else ()),
            "gpus": gpu_views(hardware),
            "hardware_source": hardware.source if hardware else "none",
            "cpu_model": hardware.cpu_model if hardware else "",
            "cpu_cores": hardware.cpu_cores if hardware else 0,
            "memory_mib": hardware.memory_mib if hardware else 0,
            "disk_mib": hardware.disk_mib if hardware else 0,
            "runtimes": tuple(runtime.name for runtime in record.runtimes) if record else (),
            "slots": record.slots if record else 0,
            "slots_free": entry.slots_free,
            "load_permille": entry.beat.message.load_permille if entry.beat else 0,
            "price_microcredits_per_hour": entry.price,
            "sequence": record.sequence if record else 0,
            "seen_s_ago": None if seen_at is None else max(0.0, now - seen_at),
            "round_trip_ms": None if entry.round_trip_s is None else entry.round_trip_s * 1000,
            "history": tuple(_step(step, now) for step in entry.presence.history),
        }
    )


def _step(step: HistoryEntry, now: MonotonicS) -> str:
    """Return one state change as a person reads it: "12 s ago: active -> suspect (ContactLost)"."""
    return (
        f"{max(0.0, now - step.at):.0f} s ago: {step.before.lower()} -> {step.after.lower()} ({step.event})"
    )


def gpu_views(hardware: HardwarePart | None) -> tuple[GpuView, ...]:
    """Return a machine's GPUs."""
    gpus = hardware.gpus if hardware else ()
    return tuple(
        GpuView(
            model=gpu.model,
            vram_mib=gpu.vram_mib,
            compute_capability=gpu.compute_capability,
            index_milli=class_index_milli(gpu),
            is_measured=gpu.benchmark is not None,
        )
        for gpu in gpus
    )


def peer_view(link: Link) -> PeerView:
    """Return one link."""
    return PeerView.model_validate(
        {
            "peer_id": link.peer,
            "state": link.state.value,
            "is_outbound": link.is_outbound,
            "addrs": link.addrs,
            "failures": link.failures,
            "reason": link.reason,
        }
    )


def session_view(session: LiveSession, now: MonotonicS) -> SessionView:
    """Return one session."""
    manifest = session.manifest
    return SessionView(
        session_id=session.session_id.hex(),
        peer_id=session.peer,
        wallet=session.wallet,
        is_initiator=session.is_initiator,
        version=session.version,
        expires_in_s=max(0.0, session.expires_at - now),
        agent=manifest.agent,
        is_worker=manifest.is_worker,
        gpus=gpu_views(manifest.hardware),
        runtimes=tuple(runtime.name for runtime in manifest.runtimes),
        modes=manifest.modes,
        tokens=manifest.tokens,
        took_ms=session.took_s * 1000,
    )
