"""Large worlds of real nodes: everybody's map becomes complete. A thousand: `python -m bench simulation.worlds`."""

import logging

import pytest

from skyops_p2p.simulation.scenarios import COMPLETE, join
from skyops_p2p.simulation.world import World, WorldOptions, simulate

COARSE = WorldOptions(tick_s=0.01)


async def join_and_look(world: World) -> tuple[float, float]:
    report = await join(world)
    return report["joined_after_s"], world.completeness()


def grow(nodes: int) -> tuple[float, float]:
    logging.getLogger("skyops_p2p").setLevel(logging.ERROR)
    return simulate(join_and_look, seed=7, nodes=nodes, options=COARSE).result


def test_fifty_nodes_find_each_other() -> None:
    joined_after_s, completeness = grow(50)
    assert completeness >= COMPLETE
    assert joined_after_s < 300


@pytest.mark.slow
def test_more_nodes_than_links_or_a_sync_page_find_each_other() -> None:
    joined_after_s, completeness = grow(160)
    assert completeness >= COMPLETE
    assert joined_after_s < 900
