"""A world: N real Nodes in one process under a virtual clock, everything decided by one seed.

    async def scenario(world: World) -> None:
        await world.start_all()
        await world.converge(within_s=120)
        await world.crash(3)
        ...

    simulate(scenario, seed=7, nodes=20)

The nodes run the same core, dispatcher and performer as in production; only the ports differ. A broken promise
raises BrokenPromiseError, whose text has the seed, the commit and the command that replays it.
"""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.runtime import Node
from skyops_p2p.node.views import MapQuery
from skyops_p2p.simulation.determinism import run_simulated
from skyops_p2p.simulation.entropy import derived_random
from skyops_p2p.simulation.fabric import SimFabric
from skyops_p2p.simulation.faults import CALM, LinkFaults, Partition
from skyops_p2p.simulation.latency import Latency
from skyops_p2p.simulation.member import Member, MemberOptions
from skyops_p2p.simulation.memo import shared_checks
from skyops_p2p.simulation.report import BrokenPromiseError
from skyops_p2p.simulation.transport import SHORT, Transport
from skyops_p2p.types import PeerId

Result = TypeVar("Result")

POLL_S = 0.25
"""Virtual seconds between two looks at a condition in a small world."""
NODES_PER_BOOTSTRAP = 25
"""One bootstrap node for so many nodes; each joins through up to three of them."""
BOOTSTRAPS_ASKED = 3
COLLECTION_THRESHOLDS = (200_000, 50, 200)
"""gc.set_threshold within a simulation: a fifth faster at 200 nodes."""
NAMES = {"alice": 0, "bob": 1, "carol": 2, "dave": 3}


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """How a world differs from the usual."""

    links: LinkFaults = CALM
    """Faults of every link from the start."""
    transport: Transport = SHORT
    """What connections cost, and what becomes of lost packets."""
    members: MemberOptions = field(default_factory=MemberOptions)
    is_wide_area: bool = True
    """Nodes all over the planet; otherwise one local network."""
    tick_s: float = 0.001
    """Resolution of arrivals; 0.01 makes large worlds cheaper."""
    start_spread_s: float = 2.0
    """Nodes start within so many seconds of each other."""
    replay: str = ""
    """The command that replays this world; `skyops sim world …` if empty."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result]):
    """What a simulation came to."""

    result: Result
    seed: int
    trace: str
    """Fingerprint of everything that was delivered or broken: equal for equal seeds."""
    trace_entries: int
    virtual_s: float
    """How long the world lived, on its own clock."""


class World:
    """The nodes and what is between them. Made by `simulate`, or by `World.open` inside a running trio program.

    Args:
        seed: Decides keys, machines, places, faults and chances.
        nodes: How many; they are numbered from 0, and the first four are alice, bob, carol and dave.
        options: What differs from the usual.
    """

    def __init__(self, *, seed: int, nodes: int, options: WorldOptions | None = None) -> None:
        self.seed = seed
        self.options = options or WorldOptions()
        latency = Latency(seed, is_wide_area=self.options.is_wide_area)
        self.fabric = SimFabric(
            seed,
            latency=latency,
            links=self.options.links,
            transport=self.options.transport,
            tick_s=self.options.tick_s,
        )
        self.random = derived_random(seed, "world")
        """For scenarios that draw."""
        bootstraps = 1 + nodes // NODES_PER_BOOTSTRAP
        self.members = tuple(
            Member(self.fabric, number, self.options.members, bootstrap=self._bootstrap(number, bootstraps))
            for number in range(nodes)
        )
        self._nursery: trio.Nursery | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator["World"]:
        """Run the links, and at the end stop all nodes at once."""
        async with trio.open_nursery() as links:
            links.start_soon(self.fabric.run)
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                yield self
                nursery.cancel_scope.cancel()
            links.cancel_scope.cancel()

    def _bootstrap(self, number: int, bootstraps: int) -> tuple[int, ...]:
        random = derived_random(self.seed, "bootstrap", number)
        others = [other for other in range(bootstraps) if other < number or number >= bootstraps]
        return tuple(random.sample(others, min(BOOTSTRAPS_ASKED, len(others))))

    # --- nodes --------------------------------------------------------------------------------------------
    def __getitem__(self, name: int | str) -> Member:
        return self.members[NAMES[name] if isinstance(name, str) else name]

    def running(self) -> tuple[Member, ...]:
        """Return the members that are up."""
        return tuple(member for member in self.members if member.is_up)

    async def start(self, number: int) -> Node:
        """Start a node, or start it again with the disk that it left."""
        assert self._nursery is not None, "the world is not open"
        member = self.members[number]
        if member.starts:
            self.fabric.faults.statistics.restarts += 1
        await self._nursery.start(member.live)
        return member.node

    async def start_all(self) -> None:
        """Start every node that is down, spread over `start_spread_s`; the bootstrap nodes first."""
        async with trio.open_nursery() as nursery:
            for member in self.members:
                if not member.is_up:
                    is_first = member.number <= len(self.members) // NODES_PER_BOOTSTRAP
                    delay_s = 0.0 if is_first else self.options.start_spread_s * self.random.random()
                    nursery.start_soon(self._start_later, member.number, delay_s)

    async def _start_later(self, number: int, delay_s: float) -> None:
        await trio.sleep(delay_s)
        await self.start(number)

    async def stop(self, number: int) -> None:
        """Stop a node in order."""
        self.fabric.note("stop", number)
        await self.members[number].stop()

    async def crash(self, number: int, *, is_silent: bool = False) -> None:
        """Crash a node; see Member.crash."""
        self.fabric.note("crash", number)
        self.fabric.faults.statistics.crashes += 1
        await self.members[number].crash(is_silent=is_silent)

    def partition(
        self, one: Sequence[int], other: Sequence[int], *, is_symmetric: bool = True, minimum_s: float = 0.0
    ) -> Partition:
        """Cut the paths from some nodes to others, and back if symmetric."""
        return self.fabric.partition(one, other, is_symmetric=is_symmetric, minimum_s=minimum_s)

    def step_clock(self, number: int, delta_ms: int) -> None:
        """Let a node's wall clock jump."""
        self.fabric.note("clock", number, detail=abs(delta_ms))
        self.fabric.faults.statistics.clock_steps += 1
        self.members[number].clock.step(delta_ms)

    def fill_disk(self, number: int) -> None:
        """Let a node's disk be full until `SimDisk.empty`."""
        self.fabric.note("disk", number)
        self.fabric.faults.statistics.disks_filled += 1
        self.members[number].disk.fill()

    async def calm(self) -> None:
        """Begin the liveness phase: end all faults, empty the disks, start who is down. Clocks stay wrong."""
        self.fabric.note("calm")
        self.fabric.faults.calm()
        for member in self.members:
            member.disk.empty()
        await self.start_all()

    # --- what they believe --------------------------------------------------------------------------------
    def state(self, observer: int, target: int) -> str:
        """Return the state in which one node has another on its map: "active", …, or "unknown"."""
        peer = self.members[target].peer_id
        views = self.members[observer].node.map(_everybody())
        return next((view.state for view in views if view.peer_id == peer), "unknown")

    def states(self, target: int) -> set[str]:
        """Return the states in which all other running nodes have one."""
        return {self.state(member.number, target) for member in self.running() if member.number != target}

    def completeness(self) -> float:
        """Return the smallest part of the running nodes that any running node has as ACTIVE, 0 to 1."""
        running = self.running()
        return min(member.node.status().map_counts["active"] for member in running) / len(running)

    def is_converged(self) -> bool:
        """Tell whether every running node has exactly the running nodes as ACTIVE."""
        running: set[PeerId | str] = {member.peer_id for member in self.running()}
        if any(member.node.status().map_counts["active"] != len(running) for member in self.running()):
            return False  # counting is cheap; building every view is not
        return all(
            {view.peer_id for view in member.node.map(_everybody()) if view.state == "active"} == running
            for member in self.running()
        )

    # --- time ---------------------------------------------------------------------------------------------
    async def live(self, duration_s: float) -> None:
        """Let virtual time pass."""
        await trio.sleep(duration_s)

    async def converge(self, *, within_s: float) -> float:
        """Wait until every running node has exactly the running nodes as ACTIVE; return how long it took.

        Raises:
            BrokenPromiseError: Not within the time.
        """
        return await self.wait_until(self.is_converged, within_s=within_s, what="the maps converge")

    async def wait_until(
        self, condition: Callable[[], bool], *, within_s: float, what: str, poll_s: float = POLL_S
    ) -> float:
        """Wait for a condition; return how long it took in virtual seconds.

        Raises:
            BrokenPromiseError: It does not hold within the time, or a contained exception came to light.
        """
        started = trio.current_time()
        while not condition():
            self.check()
            if trio.current_time() - started > within_s:
                raise self.failure(f"not within {within_s:g} s: {what}")
            await trio.sleep(poll_s)
        return trio.current_time() - started

    def check(self) -> None:
        """Raise BrokenPromiseError if a server or validator of a node raised something unexpected."""
        if self.fabric.contained:
            error = self.fabric.contained[0]
            raise self.failure(f"contained {type(error).__name__}: {error}") from error

    def failure(self, what: str) -> BrokenPromiseError:
        """Make the report of a broken promise."""
        replay = self.options.replay or f"skyops sim world --nodes {len(self.members)} --seed {self.seed}"
        lines = self.fabric.trace.lines()
        return BrokenPromiseError(
            f"t={trio.current_time():.3f} {what}", seed=self.seed, replay=replay, lines=lines
        )


def simulate(
    scenario: Callable[[World], Awaitable[Result]],
    *,
    seed: int,
    nodes: int,
    options: WorldOptions | None = None,
) -> Outcome[Result]:
    """Run a scenario over a new world in virtual time.

    Args:
        scenario: Called with the open world; no node has started yet.
        seed: Decides everything.
        nodes: How many.
        options: What differs from the usual.

    Raises:
        BrokenPromiseError: A promise was broken: by the scenario's assertions, or by an error inside a node.
    """

    async def run() -> Outcome[Result]:
        world = World(seed=seed, nodes=nodes, options=options)
        try:
            async with world.open():
                result = await scenario(world)
                world.check()
                trace = world.fabric.trace
                return Outcome(result, seed, trace.digest(), trace.count, trio.current_time())
        except BaseExceptionGroup as group:
            error = _first_leaf(group)
            if isinstance(error, BrokenPromiseError) or not isinstance(error, AssertionError | SkyopsError):
                raise error from group
            raise world.failure(str(error) or type(error).__name__) from group

    with shared_checks(), rare_collections():
        return run_simulated(run, seed=seed)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let the garbage collector run more rarely: a large world is millions of objects that stay."""
    before = gc.get_threshold()
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _everybody() -> MapQuery:
    return MapQuery.model_validate({"limit": 20_000})


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
