"""Who breaks what in the core simulation, drawn from the seed: crashes, restarts, partitions, clocks, disks."""

from typing import TYPE_CHECKING

from skyops_p2p.simulation.entropy import derived_random
from skyops_p2p.simulation.faults import LinkFaults, Partition

if TYPE_CHECKING:
    from skyops_p2p.simulation.core_world import CoreWorld

CLOCK_STEP_MS_MAX = 30_000
"""Clocks step by up to this; two such clocks still differ by less than the skew that the protocol admits."""
PARTITION_MIN_S = 4.0


class CoreChaos:
    """One seed's misfortunes.

    Args:
        seed: The world's seed.
        has_full_disks: Disks may fill up too.
    """

    def __init__(self, seed: int, *, has_full_disks: bool = True) -> None:
        self._has_full_disks = has_full_disks
        self._random = derived_random(seed, "chaos")
        draw = self._random.random
        self.links = LinkFaults(
            loss=0.1 * draw(), delay_mean_s=0.1 * draw(), duplication=0.1 * draw(), reordering=0.1 * draw()
        )
        self._cuts: list[Partition] = []

    def start_delay_s(self) -> float:
        """Draw when a node first starts."""
        return 3.0 * self._random.random()

    def pause_s(self) -> float:
        """Draw the time until the next misfortune."""
        return self._random.expovariate(1 / 3.0)

    def strike(self, world: "CoreWorld") -> None:
        """Do one thing to the world."""
        node = world.nodes[self._random.randrange(len(world.nodes))]
        match self._random.choice(("crash", "cut", "heal", "clock", "disk", "slow")):
            case "crash" if node.is_up:
                world.crash(node)
            case "crash":
                world.faults.statistics.restarts += 1
                world.start(node)
            case "cut":
                self._cut(world)
            case "heal":
                self._heal(world)
            case "clock":
                world.faults.statistics.clock_steps += 1
                target_ms = self._random.randint(-CLOCK_STEP_MS_MAX, CLOCK_STEP_MS_MAX)
                node.clock.step(target_ms - node.clock.error_ms())
            case "disk" if self._has_full_disks:
                node.is_disk_full = not node.is_disk_full
                world.faults.statistics.disks_filled += node.is_disk_full
            case _:
                world.faults.slow(node.number, self._random.choice((0.0, 0.3)))

    def stop(self, world: "CoreWorld") -> None:
        """End all faults: links calm, disks empty, everybody up. Clocks stay as they are."""
        world.faults.calm()
        for node in world.nodes:
            node.is_disk_full = False
            if not node.is_up:
                world.start(node)

    def _cut(self, world: "CoreWorld") -> None:
        numbers = list(range(len(world.nodes)))
        self._random.shuffle(numbers)
        size = self._random.randint(1, max(1, len(numbers) // 2))
        is_symmetric = self._random.random() < 0.7
        until = world.now + PARTITION_MIN_S
        self._cuts.append(
            world.faults.partition(numbers[:size], numbers[size:], is_symmetric=is_symmetric, until=until)
        )
        world.later(PARTITION_MIN_S, world.drop_blocked)

    def _heal(self, world: "CoreWorld") -> None:
        self._cuts = [cut for cut in self._cuts if not world.faults.heal(cut, now=world.now)]
