"""What a node counts, in Prometheus's text format. One registry a node: nothing global.

Names follow Prometheus's conventions: base units, `_total` for counters. The list is in docs/operations.md.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from skyops_p2p.node.dispatcher import Dispatcher
from skyops_p2p.node.session_hub import SessionHub
from skyops_p2p.ports import Network


class NodeCollector(Collector):
    """Reads a node's counters when asked; keeps none of its own."""

    def __init__(self, dispatcher: Dispatcher, hub: SessionHub, network: Network) -> None:
        self._dispatcher = dispatcher
        self._hub = hub
        self._network = network

    def collect(self) -> Iterable[Metric]:
        """Yield all metrics."""
        core, performer = self._dispatcher.core, self._dispatcher.performer
        network = self._network.statistics()
        yield _gauge("skyops_connections", "Peers connected.", network.connections)
        yield _gauge("skyops_known_peers", "Peers in the address book.", len(core.book))
        yield _gauge("skyops_sessions", "Open sessions.", len(self._hub.sessions))
        yield _labelled_gauge("skyops_map_nodes", "Nodes on the map.", "state", core.nodes.counts())
        yield _labelled_gauge("skyops_mesh_peers", "Gossip mesh peers.", "topic", network.mesh_peers)
        yield _counter("skyops_network_sent_bytes", "Bytes sent.", network.bytes_sent)
        yield _counter("skyops_network_received_bytes", "Bytes received.", network.bytes_received)
        gossip = {
            "published": network.gossip_published,
            "delivered": network.gossip_delivered,
            "rejected": network.gossip_rejected,
            "dropped": network.gossip_dropped,
        }
        yield _labelled_counter("skyops_gossip_messages", "Gossip messages.", "outcome", gossip)
        requests = {
            "sent": network.requests_sent,
            "served": network.requests_served,
            "refused": network.requests_refused,
        }
        yield _labelled_counter("skyops_requests", "Requests between nodes.", "outcome", requests)
        yield _counter("skyops_contained_errors", "Foreign exceptions stopped.", network.contained_errors)
        yield _counter(
            "skyops_events_dropped", "Events lost to a full queue.", self._dispatcher.events_dropped
        )
        yield _labelled_counter(
            "skyops_gossip_refusals", "Gossip refused, by code.", "code", core.intake.refusals
        )
        yield _labelled_counter(
            "skyops_effect_failures", "Actions that failed, by code.", "code", performer.failures
        )
        handshakes = CounterMetricFamily(
            "skyops_handshakes", "Handshakes by role and outcome.", labels=["role", "code"]
        )
        for (role, code), count in sorted(self._hub.outcomes.items()):
            handshakes.add_metric([role, code], count)
        yield handshakes


def render(collector: NodeCollector) -> str:
    """Return all metrics as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry).decode()


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value=value)


def _labelled_gauge(name: str, text: str, label: str, values: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def _labelled_counter(name: str, text: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
