"""Who breaks what in a world of real nodes: a seeded stream of misfortunes, then calm.

`run_phases` is the standard scenario. Safety: faults on; no node may fail inside, no honest node is slashed.
Liveness: faults off; all maps must converge. Source of the split: tigerbeetle, `docs/internals/vopr.md`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from skyops_p2p.simulation.entropy import derived_random
from skyops_p2p.simulation.faults import ROUGH, LinkFaults, Partition

if TYPE_CHECKING:
    from skyops_p2p.simulation.world import World

CLOCK_ERROR_MS_MAX = 30_000
"""Clocks are wrong by up to this; two of them then differ by less than the skew that the protocol admits."""
PARTITION_MIN_S = 10.0
SLOWNESS_S = 0.5


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """What `run_phases` saw."""

    formed_after_s: float
    """Virtual seconds until all maps were complete at first."""
    converged_after_s: float
    """Virtual seconds from the end of the faults until all maps were right again."""
    faults: dict[str, int]
    """How often each kind of fault happened."""


class Chaos:
    """A seeded stream of misfortunes.

    Args:
        world: What to break.
        pause_mean_s: Mean of the exponential time between two of them.
    """

    def __init__(self, world: "World", *, pause_mean_s: float = 4.0) -> None:
        self._world = world
        self._random = derived_random(world.seed, "chaos")
        self._pause_mean_s = pause_mean_s
        self._cuts: list[Partition] = []

    async def run(self, duration_s: float) -> None:
        """Break things for so many virtual seconds."""
        ends = trio.current_time() + duration_s
        while trio.current_time() < ends:
            await self.strike()
            self._world.check()
            await trio.sleep(self._random.expovariate(1 / self._pause_mean_s))

    async def strike(self) -> None:
        """Do one thing to the world."""
        world, random = self._world, self._random
        number = random.randrange(len(world.members))
        match random.choice(("crash", "restart", "cut", "heal", "clock", "disk", "slow", "freeze", "thaw")):
            case "crash" if world.members[number].is_up:
                await world.crash(number, is_silent=random.random() < 0.5)
            case "restart" if not world.members[number].is_up:
                await world.start(number)
            case "cut":
                self._cut()
            case "heal":
                self._cuts = [cut for cut in self._cuts if not world.fabric.heal(cut)]
            case "clock":
                wanted_ms = random.randint(-CLOCK_ERROR_MS_MAX, CLOCK_ERROR_MS_MAX)
                world.step_clock(number, wanted_ms - world.members[number].clock.error_ms())
            case "disk":
                world.fill_disk(number)
            case "slow":
                world.fabric.faults.slow(number, SLOWNESS_S)
            case "freeze":
                world.fabric.freeze(number)
            case "thaw":
                world.fabric.faults.thaw(number)
            case _:  # nothing to crash or to restart there
                world.fabric.note("pause")

    def _cut(self) -> None:
        numbers = list(range(len(self._world.members)))
        self._random.shuffle(numbers)
        size = self._random.randint(1, max(1, len(numbers) // 2))
        is_symmetric = self._random.random() < 0.7
        cut = self._world.partition(
            numbers[:size], numbers[size:], is_symmetric=is_symmetric, minimum_s=PARTITION_MIN_S
        )
        self._cuts.append(cut)


async def run_phases(
    world: "World", *, safety_s: float = 120.0, within_s: float = 600.0, links: LinkFaults = ROUGH
) -> PhaseReport:
    """Let a world form, break it for `safety_s`, and require that it converges `within_s` after the faults end.

    Raises:
        BrokenPromiseError: A promise was broken.
    """
    await world.start_all()
    formed_after_s = await world.converge(within_s=within_s)
    world.fabric.faults.links = links
    await Chaos(world).run(safety_s)
    for member in world.running():
        if member.node.status().map_counts["slashed"]:
            raise world.failure(f"node {member.number} holds an honest node for slashed")
    await world.calm()
    converged_after_s = await world.converge(within_s=within_s)
    return PhaseReport(formed_after_s, converged_after_s, world.fabric.faults.statistics.as_dict())
