"""How long a packet takes between two places: a table of regions plus each node's own access line.

No N x N matrix: the delay of a pair is computed, so 10,000 nodes cost 10,000 numbers.
Figures: one-way delays, half of the public inter-region round trips of large clouds, rounded.
"""

from dataclasses import dataclass

from skyops_p2p.simulation.entropy import derived_random

REGIONS = ("eu", "us-east", "us-west", "asia", "brazil")
"""Region codes, as a node record carries them."""
ONE_WAY_MS: tuple[tuple[float, ...], ...] = (
    (5.0, 42.0, 70.0, 85.0, 100.0),
    (42.0, 5.0, 32.0, 100.0, 60.0),
    (70.0, 32.0, 5.0, 65.0, 90.0),
    (85.0, 100.0, 65.0, 10.0, 150.0),
    (100.0, 60.0, 90.0, 150.0, 8.0),
)
"""Milliseconds between regions, in the order of REGIONS."""
ACCESS_MS_MIN, ACCESS_MS_MAX = 0.5, 12.0
"""What a node's own line adds to each packet, either way."""
LOCAL_MS = 0.5
"""One-way delay between nodes of a local network."""


@dataclass
class Latency:
    """One-way delays between nodes, given by the seed.

    Args:
        seed: The world's seed.
        is_wide_area: Regions of the world; otherwise one local network with LOCAL_MS everywhere.
    """

    seed: int
    is_wide_area: bool = True

    def __post_init__(self) -> None:
        self._places: list[tuple[int, float]] = []

    def one_way_s(self, source: int, target: int) -> float:
        """Return the delay of a packet without faults, seconds. Nodes are numbered from 0."""
        if not self.is_wide_area:
            return LOCAL_MS / 1000
        if source >= len(self._places) or target >= len(self._places):
            self._draw_up_to(max(source, target))
        region, access_ms = self._places[source]
        other_region, other_access_ms = self._places[target]
        return (ONE_WAY_MS[region][other_region] + access_ms + other_access_ms) / 1000

    def round_trip_s(self, source: int, target: int) -> float:
        """Return twice the one-way delay, seconds."""
        return 2 * self.one_way_s(source, target)

    def region(self, node: int) -> str:
        """Return the region code of a node."""
        self._draw_up_to(node)
        return REGIONS[self._places[node][0]]

    def _draw_up_to(self, index: int) -> None:
        for node in range(len(self._places), index + 1):
            random = derived_random(self.seed, "place", node)
            access_ms = random.uniform(ACCESS_MS_MIN, ACCESS_MS_MAX)
            self._places.append((random.randrange(len(ONE_WAY_MS)), access_ms))
