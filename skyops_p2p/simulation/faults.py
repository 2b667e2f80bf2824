"""What links do to packets: loss, delay, duplication, reordering, clogging, partitions, slow and frozen nodes.

One `FaultBoard` per world holds what is broken right now and decides the fate of each packet from one seeded
stream. A fault that is off draws nothing. Statistics prove that a fault really happened.
Source of the list of options: tigerbeetle, `src/testing/packet_simulator.zig`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from random import Random


@dataclass(frozen=True, slots=True)
class LinkFaults:
    """What may happen to each packet of every link. All zero: a calm network."""

    loss: float = 0.0
    """Probability that a packet never arrives."""
    delay_min_s: float = 0.0
    """Added to every packet."""
    delay_mean_s: float = 0.0
    """Mean of the exponential jitter that is added to every packet; with it, packets overtake each other."""
    duplication: float = 0.0
    """Probability that a packet arrives twice, the second time after another delay."""
    reordering: float = 0.0
    """Probability that a packet is held back by `reordering_s`, so that later ones overtake it."""
    reordering_s: float = 0.5
    clog: float = 0.0
    """Probability that a packet finds its path clogged: it and all behind it wait until the path is free."""
    clog_mean_s: float = 1.0
    """Mean of the exponential time that a path stays clogged."""

    def __post_init__(self) -> None:
        for name in ("loss", "duplication", "reordering", "clog"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a probability, from 0 to 1")

    @property
    def is_calm(self) -> bool:
        """Whether these faults change nothing."""
        chances = self.loss + self.duplication + self.reordering + self.clog
        return chances + self.delay_min_s + self.delay_mean_s == 0.0


CALM = LinkFaults()
ROUGH = LinkFaults(loss=0.05, delay_mean_s=0.05, duplication=0.05, reordering=0.05, clog=0.001)
"""A bad day: what most fault tests use."""


@dataclass(frozen=True, slots=True)
class Partition:
    """Packets from `sources` to `targets` vanish; `is_symmetric`: and back."""

    sources: frozenset[int]
    targets: frozenset[int]
    is_symmetric: bool
    until: float
    """Not healed before this instant, seconds on the world's clock (the minimum duration)."""

    def blocks(self, source: int, target: int) -> bool:
        """Tell whether a packet from one node to another vanishes."""
        if source in self.sources and target in self.targets:
            return True
        return self.is_symmetric and source in self.targets and target in self.sources


@dataclass(slots=True)
class FaultStatistics:
    """How often each kind of fault really happened."""

    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    clogged: int = 0
    partitioned: int = 0
    slowed: int = 0
    partitions: int = 0
    crashes: int = 0
    restarts: int = 0
    clock_steps: int = 0
    freezes: int = 0
    disks_filled: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the counters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class FaultBoard:
    """Everything that is broken now, and the judge of each packet.

    Args:
        random: The stream of chance of the links.
        links: Faults of every link.
    """

    def __init__(self, random: Random, *, links: LinkFaults = CALM) -> None:
        self.links = links
        self.statistics = FaultStatistics()
        self._random = random
        self._partitions: list[Partition] = []
        self._slow_s: dict[int, float] = {}
        self._frozen: dict[int, None] = {}
        self._clogged_until: dict[tuple[int, int], float] = {}

    @property
    def is_calm(self) -> bool:
        """Whether every packet arrives once and on time."""
        return self.links.is_calm and not (self._partitions or self._slow_s or self._frozen)

    def partition(
        self, sources: Iterable[int], targets: Iterable[int], *, is_symmetric: bool = True, until: float = 0.0
    ) -> Partition:
        """Cut the paths from some nodes to others; returns what `heal` takes."""
        cut = Partition(frozenset(sources), frozenset(targets), is_symmetric, until)
        self._partitions.append(cut)
        self.statistics.partitions += 1
        return cut

    def heal(self, cut: Partition, *, now: float) -> bool:
        """Mend one cut; False if its minimum duration has not passed."""
        if now < cut.until:
            return False
        self._partitions = [other for other in self._partitions if other is not cut]
        return True

    def slow(self, node: int, delay_s: float) -> None:
        """Delay all that a node sends and receives; 0 ends it."""
        self._slow_s.pop(node, None)
        if delay_s > 0:
            self._slow_s[node] = delay_s

    def freeze(self, node: int) -> None:
        """Let nothing in or out of a node, as SIGSTOP does."""
        self._frozen[node] = None
        self.statistics.freezes += 1

    def thaw(self, node: int) -> None:
        """End a freeze."""
        self._frozen.pop(node, None)

    def calm(self) -> None:
        """End every fault of the links, minimum durations included: the liveness phase begins."""
        self.links = CALM
        self._partitions.clear()
        self._slow_s.clear()
        self._frozen.clear()
        self._clogged_until.clear()

    def is_blocked(self, source: int, target: int) -> bool:
        """Tell whether nothing gets from one node to another at present."""
        if source in self._frozen or target in self._frozen:
            return True
        return any(cut.blocks(source, target) for cut in self._partitions)

    def fate(self, source: int, target: int, *, now: float, is_stream: bool = False) -> tuple[float, ...]:
        """Judge one packet.

        Args:
            source: Number of the sending node.
            target: Number of the receiving node.
            now: Seconds on the world's clock.
            is_stream: Part of a byte stream: may break or wait, but is neither doubled nor overtaken.

        Returns:
            The extra delay in seconds of each copy that arrives; empty if the packet is lost.
        """
        if (self._partitions or self._frozen) and self.is_blocked(source, target):
            self.statistics.partitioned += 1
            return ()
        extra_s = self._slowness_s(source, target)
        if self.links.is_calm:
            return (extra_s,)
        if self._hits(self.links.loss):
            self.statistics.lost += 1
            return ()
        extra_s += self._jitter_s() + self._clog_s((source, target), now)
        if is_stream:
            return (extra_s,)
        if self._hits(self.links.duplication):
            self.statistics.duplicated += 1
            return (extra_s, extra_s + self._jitter_s())
        if self._hits(self.links.reordering):
            self.statistics.reordered += 1
            return (extra_s + self.links.reordering_s,)
        return (extra_s,)

    def _hits(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability

    def _jitter_s(self) -> float:
        mean_s = self.links.delay_mean_s
        return self.links.delay_min_s + (self._random.expovariate(1 / mean_s) if mean_s > 0 else 0.0)

    def _slowness_s(self, source: int, target: int) -> float:
        if not self._slow_s:
            return 0.0
        extra_s = self._slow_s.get(source, 0.0) + self._slow_s.get(target, 0.0)
        self.statistics.slowed += extra_s > 0
        return extra_s

    def _clog_s(self, path: tuple[int, int], now: float) -> float:
        if self._hits(self.links.clog):
            self._clogged_until[path] = now + self._random.expovariate(1 / self.links.clog_mean_s)
        free_at = self._clogged_until.get(path, now)
        if free_at <= now:
            self._clogged_until.pop(path, None)
            return 0.0
        self.statistics.clogged += 1
        return free_at - now
