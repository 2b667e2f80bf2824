"""Scenarios that `skyops sim world` runs: each is a promise about the network, with the times that it took."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from skyops_p2p.simulation.chaos import run_phases

if TYPE_CHECKING:
    from skyops_p2p.simulation.world import World

COMPLETE = 0.99
"""Part of the running nodes that each map must show as ACTIVE before a large world counts as joined."""
SMALL_WORLD = 64
"""Up to so many nodes every map must be exact."""
WITHIN_S = 900.0
"""Virtual seconds that each stage may take."""

Report = dict[str, float]
"""Stage -> virtual seconds that it took, or counter -> its value."""


async def join(world: "World") -> Report:
    """All nodes start; in the end every map shows them all."""
    await world.start_all()
    return {"joined_after_s": await joined(world)}


async def crash(world: "World") -> Report:
    """A node dies: SUSPECT, then INACTIVE on all others; it restarts: ACTIVE on all."""
    report = await join(world)
    victim = len(world.members) - 1
    await world.crash(victim)
    report["inactive_after_s"] = await world.wait_until(
        lambda: world.states(victim) == {"inactive"},
        within_s=WITHIN_S,
        what=f"{victim} is INACTIVE everywhere",
    )
    await world.start(victim)
    report["active_after_s"] = await world.wait_until(
        lambda: world.states(victim) == {"active"}, within_s=WITHIN_S, what=f"{victim} is ACTIVE everywhere"
    )
    return report


async def partition(world: "World") -> Report:
    """The network splits into halves that forget each other; it heals: everybody is ACTIVE again."""
    report = await join(world)
    half = len(world.members) // 2
    left, right = range(half), range(half, len(world.members))
    cut = world.partition(left, right, minimum_s=30.0)
    report["split_after_s"] = await world.wait_until(
        lambda: all(world.state(one, other) == "inactive" for one in left for other in right),
        within_s=WITHIN_S,
        what="the halves hold each other for INACTIVE",
    )
    await world.wait_until(lambda: world.fabric.heal(cut), within_s=60.0, what="the cut may heal")
    report["healed_after_s"] = await joined(world)
    return report


async def chaos(world: "World") -> Report:
    """Two minutes of seeded misfortunes, then calm: all maps are right again."""
    found = asdict(await run_phases(world, within_s=WITHIN_S))
    faults: dict[str, int] = found.pop("faults")
    return {**found, **{name: float(count) for name, count in faults.items()}}


async def joined(world: "World") -> float:
    """Wait until the running nodes have each other as ACTIVE: all of them, in a large world 99 %."""
    if len(world.members) <= SMALL_WORLD:
        return await world.converge(within_s=WITHIN_S)
    return await world.wait_until(
        lambda: world.completeness() >= COMPLETE,
        within_s=WITHIN_S,
        what="the maps are 99 % complete",
        poll_s=2.0,
    )


SCENARIOS: "dict[str, Callable[[World], Awaitable[Report]]]" = {
    "join": join,
    "crash": crash,
    "partition": partition,
    "chaos": chaos,
}
