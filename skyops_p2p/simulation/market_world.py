"""A market of up to 10,000 nodes in virtual time: real tenders, bids and awards over simulated links.

Between a world of whole nodes, which carries some hundreds, and bare links: everybody's map is complete and stands
still, and a node runs the real `node.market.Market` (both machines, its messages, signatures and shell) once a tender
reaches it; see stall.py. What is simulated is presence, which has its own worlds, and the links.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import trio

from skyops_p2p import limits
from skyops_p2p.core.auction.codes import ACCEPTED
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.simulation.determinism import run_simulated
from skyops_p2p.simulation.entropy import derived_random
from skyops_p2p.simulation.fabric import SimFabric
from skyops_p2p.simulation.faults import LinkFaults
from skyops_p2p.simulation.latency import Latency
from skyops_p2p.simulation.market_people import full_map
from skyops_p2p.simulation.memo import shared_checks
from skyops_p2p.simulation.stall import IDLE, Stall
from skyops_p2p.simulation.transport import LIBP2P, Transport
from skyops_p2p.simulation.world import rare_collections
from skyops_p2p.types import PeerId

Result = TypeVar("Result")

WAN = LinkFaults(loss=0.01, delay_mean_s=0.005)
"""1 % of packets are lost, and jitter of 5 ms in the mean; with the regions' delays a packet travels for 82 ms in the
mean."""
CONNECTIONS_EACH = limits.PEERS_TARGET // 2
"""Each node dials so many, and as many dial it: PEERS_TARGET in the mean."""


@dataclass(frozen=True, slots=True)
class MarketOptions:
    """How a market differs from the usual."""

    links: LinkFaults = WAN
    transport: Transport = LIBP2P
    is_wide_area: bool = True
    tick_s: float = 0.001


@dataclass(frozen=True)
class Traffic:
    """What was sent so far, by all nodes together."""

    messages: Counter[str]
    """Direct requests by kind; each had one answer, refusals included."""
    answers: Counter[str]
    """Answers by kind, without refusals."""
    direct_bytes: Counter[str]
    """Payloads of these requests and of their answers, by kind of request."""
    gossip_copies: int
    """Copies of gossiped messages over single links."""
    gossip_bytes: int
    dials: int
    lost: int
    """Packets that were lost, and sent again if the transport does so."""

    def since(self, before: "Traffic") -> "Traffic":
        """Return what was sent since an earlier count."""
        return Traffic(
            self.messages - before.messages,
            self.answers - before.answers,
            self.direct_bytes - before.direct_bytes,
            self.gossip_copies - before.gossip_copies,
            self.gossip_bytes - before.gossip_bytes,
            self.dials - before.dials,
            self.lost - before.lost,
        )


_PHASES = {"asked": "commit", "closed": "reveal", "revealed": "award", "waiting": "wait"}
"""Step of a match -> the part of it that begins there."""


@dataclass(frozen=True, slots=True)
class Timed:
    """How a match ended, and when its steps came."""

    view: MatchView
    began_s: float
    ended_s: float
    steps: tuple[tuple[float, MatchStepView], ...]
    """(virtual second, step), in order."""

    @property
    def took_s(self) -> float:
        """From the call to the confirmed award, or the failure."""
        return self.ended_s - self.began_s

    @property
    def bids(self) -> int:
        """Sealed bids that were taken, over all rounds."""
        return sum(step.step == "answered" and step.code == ACCEPTED for _, step in self.steps)

    def phases_s(self) -> dict[str, float]:
        """Return how long "commit", "reveal", "award" and "wait" (between rounds) took, over all rounds."""
        spent = dict.fromkeys(("wait", "commit", "reveal", "award"), 0.0)
        phase, since_s = "wait", self.began_s
        for at_s, step in self.steps:
            if step.step in _PHASES:
                spent[phase] += at_s - since_s
                phase, since_s = _PHASES[step.step], at_s
        spent[phase] += self.ended_s - since_s
        return spent


@dataclass
class MarketWorld:
    """The nodes and their links. Made by `run_market`.

    Args:
        seed: Decides keys, machines, prices, places, faults and chances.
        count: How many nodes; each may seek a worker, and each is one.
        options: What differs from the usual.
    """

    seed: int
    count: int
    options: MarketOptions = field(default_factory=MarketOptions)

    def __post_init__(self) -> None:
        latency = Latency(self.seed, is_wide_area=self.options.is_wide_area)
        self.fabric = SimFabric(
            self.seed,
            latency=latency,
            links=self.options.links,
            transport=self.options.transport,
            tick_s=self.options.tick_s,
        )
        self.random = derived_random(self.seed, "market")
        """For scenarios that draw."""
        regions = tuple(latency.region(number) for number in range(self.count))
        self.nodes = full_map(self.seed, self.count, region=regions)
        self.stalls = tuple(Stall(self.fabric, number, self.nodes) for number in range(self.count))

    @asynccontextmanager
    async def open(self) -> AsyncIterator["MarketWorld"]:
        """Put everybody on the network, connected at random."""
        async with trio.open_nursery() as links:
            links.start_soon(self.fabric.run)
            async with trio.open_nursery() as nursery:
                for stall in self.stalls:
                    await nursery.start(stall.stand)
                self._connect()
                yield self
                nursery.cancel_scope.cancel()
            links.cancel_scope.cancel()

    def _connect(self) -> None:
        for stall in self.stalls:
            for other in self.random.sample(self.stalls, min(CONNECTIONS_EACH, self.count)):
                if other is not stall and other.number not in stall.connections:
                    self.fabric.connect(stall, other)

    async def match(
        self, number: int, spec: JobSpec, *, progress: Callable[[MatchStepView], None] = lambda _step: None
    ) -> Timed:
        """Let a node look for a worker.

        Args:
            number: Which node.
            spec: The job.
            progress: Called with each step.
        """
        market = await self.stalls[number].open()
        steps: list[tuple[float, MatchStepView]] = []

        def note(step: MatchStepView) -> None:
            steps.append((trio.current_time(), step))
            progress(step)

        began_s = trio.current_time()
        view = await market.match(spec, note)
        return Timed(view, began_s, trio.current_time(), tuple(steps))

    async def run_job(self, match: Timed, *, duration_s: float) -> bool:
        """Let a job run on the worker that it was matched with; False if the lease is gone."""
        number = self.fabric.number_of(PeerId(match.view.winner))
        assert number is not None, "a match without a winner"
        market = await self.stalls[number].open()
        lease = await market.bidding.take_lease(bytes.fromhex(match.view.award_digest))
        if lease is None:
            return False
        await trio.sleep(duration_s)
        await market.bidding.end_lease(lease.tender.digest)
        return True

    def busy(self) -> int:
        """Return how many workers hold anything for anybody."""
        return sum(stall.load != IDLE for stall in self.opened())

    def opened(self) -> tuple[Stall, ...]:
        """Return the nodes whose market is open."""
        return tuple(stall for stall in self.stalls if stall.market is not None)

    def traffic(self) -> Traffic:
        """Count what was sent so far."""
        gossip, opened = self.fabric.gossip, self.opened()
        return Traffic(
            messages=sum((stall.messages for stall in opened), Counter[str]()),
            answers=sum((stall.answers for stall in opened), Counter[str]()),
            direct_bytes=sum((stall.bytes_by_kind for stall in opened), Counter[str]()),
            gossip_copies=gossip.copies,
            gossip_bytes=gossip.bytes_sent.total(),
            dials=sum(stall.dials for stall in self.stalls),
            lost=self.fabric.faults.statistics.lost,
        )

    def check(self) -> None:
        """Raise AssertionError if a promise is broken: a device sold twice, a failed server, an honest node accused."""
        assert not self.fabric.contained, self.fabric.contained
        for stall in self.opened():
            assert stall.market is not None, "an open stall without a market"
            stall.market.bidding.desk.check_invariants()
            assert not stall.told, stall.told


def run_market(
    scenario: Callable[[MarketWorld], Awaitable[Result]],
    *,
    seed: int,
    nodes: int,
    options: MarketOptions | None = None,
) -> Result:
    """Run a scenario over a new market in virtual time.

    Args:
        scenario: Called with the open world.
        seed: Decides everything.
        nodes: How many.
        options: What differs from the usual.

    Raises:
        AssertionError: See MarketWorld.check.
    """

    async def run() -> Result:
        world = MarketWorld(seed, nodes, options or MarketOptions())
        async with world.open():
            result = await scenario(world)
            world.check()
            return result

    with shared_checks(), rare_collections():
        return run_simulated(run, seed=seed)
