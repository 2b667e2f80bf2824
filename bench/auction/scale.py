"""Match latency and messages for 100, 1,000 and 10,000 simulated nodes with WAN delays, jitter and 1 % loss.

From the call to the confirmed award, in virtual time. Every node is a worker with a machine of its own; jobs want 8, 20
or 40 GiB of GPU memory, or none. "nobody dialled": a requester is connected to its neighbours alone, and has to dial
whom it asks; "all connected": it need not dial anybody. "whole nodes" are real Nodes that found each other before.
"""

import argparse
import logging
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from bench.tables import number, percentile, print_place, print_table, say
from skyops_p2p import limits
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.match_view import MatchStepView
from skyops_p2p.simulation.market_world import WAN, MarketOptions, MarketWorld, Timed, Traffic, run_market
from skyops_p2p.simulation.scenarios import joined
from skyops_p2p.simulation.transport import CONNECTED, LIBP2P, UNTAMED_LIBP2P, Transport
from skyops_p2p.simulation.world import World, WorldOptions, simulate

SEED = 1
TENDERS = 64
TENDERS_LARGE = 32
"""In worlds of more than LARGE nodes, where each tender is gossiped to all of them."""
LARGE = 2000
PAUSE_S = limits.LEASE_START_TIMEOUT_S + limits.BOOK_FETCH_DELAY_S_MAX + limits.MATCH_TIMEOUT_S
"""Between two waves: what was awarded is free again, and everybody has looked at the bid book."""
VRAM = ("8Gi", "20Gi", "40Gi", None)
STATES: dict[str, Transport] = {
    "nobody dialled": LIBP2P,
    "all connected": CONNECTED,
    "nobody dialled, libp2p untamed": UNTAMED_LIBP2P,
}


@dataclass
class Row:
    """The matches of one world with so many at once."""

    state: str
    nodes: int
    at_once: int
    matches: list[Timed] = field(default_factory=list)
    traffic: Traffic | None = None
    wall_s: float = 0.0
    begin_cpu_ms: list[float] = field(default_factory=list)
    """CPU time from the call until the tender is signed: most of it for screening the map. It is in no virtual time."""


def job(kind: int) -> JobSpec:
    """Return one of the jobs that are tendered in turn."""
    vram = VRAM[kind % len(VRAM)]
    gpu = {"vram": vram} if vram else {"count": 0}
    return JobSpec.model_validate(
        {"name": "bench", "runtime": "wasm", "module": "file:bench.wasm", "resources": {"gpu": gpu}}
    )


def measure(state: str, nodes: int, at_once: Sequence[int], tenders: int) -> list[Row]:
    """Let one market after the other form, and return a row for each number of tenders in flight."""

    async def scenario(world: MarketWorld) -> list[Row]:
        rows = [Row(state, nodes, count) for count in at_once]
        for row in rows:
            say(f"{state}, {nodes} nodes, {row.at_once} at once")
            await fill(world, row, tenders)
        return rows

    return run_market(scenario, seed=SEED, nodes=nodes, options=MarketOptions(transport=STATES[state]))


async def fill(world: MarketWorld, row: Row, tenders: int) -> None:
    """Tender in waves from nodes drawn anew, each without connections that it dialled before."""
    started, before = time.monotonic(), world.traffic()

    async def one(number: int, spec: JobSpec) -> None:
        await world.stalls[number].hang_up()
        await world.stalls[number].open()
        began_s = time.process_time()

        def progress(step: MatchStepView) -> None:
            if step.step == "asked" and step.round == 0:  # nothing else has run since the call
                row.begin_cpu_ms.append(1000 * (time.process_time() - began_s))

        row.matches.append(await world.match(number, spec, progress=progress))

    for wave in range(max(1, tenders // row.at_once)):
        requesters = world.random.sample(range(world.count), row.at_once)
        async with trio.open_nursery() as nursery:
            for place, number_of_node in enumerate(requesters):
                nursery.start_soon(one, number_of_node, job(wave + place))
        await trio.sleep(PAUSE_S)
        world.check()
    row.traffic = world.traffic().since(before)
    row.wall_s = time.monotonic() - started


def measure_whole(nodes: int, tenders: int) -> Row:
    """Let whole nodes find each other, then tender one after the other, with the connections that they have."""
    say(f"whole nodes, {nodes} nodes, 1 at once")
    row, started = Row("whole nodes", nodes, 1), time.monotonic()

    async def scenario(world: World) -> None:
        await world.start_all()
        await joined(world)
        await trio.sleep(2 * PAUSE_S)
        for index in range(tenders):
            began_s = trio.current_time()
            view = await world.members[world.random.randrange(nodes)].node.match(job(index))
            row.matches.append(Timed(view, began_s, trio.current_time(), ()))
            await trio.sleep(PAUSE_S)

    simulate(scenario, seed=SEED, nodes=nodes, options=WorldOptions(links=WAN, transport=LIBP2P))
    row.wall_s = time.monotonic() - started
    return row


def latency_cells(row: Row) -> list[object]:
    """Return one line of the table of latencies."""
    good = [match for match in row.matches if match.view.is_matched]
    took = [match.took_s for match in good]
    parts = [match.phases_s() for match in good if match.steps]
    mean = ("commit", "reveal", "award", "wait")
    phases = [number(1000 * statistics.fmean(part[name] for part in parts)) for name in mean if parts]
    bids = number(statistics.fmean(match.bids for match in good)) if parts else "-"
    return [
        row.state,
        row.nodes,
        row.at_once,
        f"{len(good)} of {len(row.matches)}",
        *(number(1000 * percentile(took, part)) for part in (0.5, 0.9, 0.99)),
        " / ".join(phases) if phases else "-",
        bids,
        number(statistics.fmean(match.view.rounds for match in row.matches)),
        number(row.wall_s),
    ]


def traffic_cells(row: Row) -> list[object]:
    """Return one line of the table of messages."""
    traffic, count = row.traffic, len(row.matches)
    assert traffic is not None, "a row without traffic"
    books = traffic.direct_bytes["book-request"]
    direct = traffic.messages.total()
    return [
        row.state,
        row.nodes,
        row.at_once,
        number((direct - traffic.messages["book-request"]) / count),
        number((traffic.direct_bytes.total() - books) / count / 1024),
        number(traffic.messages["book-request"] / count),
        number(books / count / 1024),
        number(traffic.dials / count),
        number(traffic.gossip_copies / count),
        number(traffic.gossip_copies / count / row.nodes),
        number(traffic.gossip_bytes / count / 1024),
        number(percentile(row.begin_cpu_ms, 0.5)) if row.at_once == 1 else "-",
    ]


def print_kinds(row: Row) -> None:
    """Say what the direct messages of a tender are."""
    assert row.traffic is not None, "a row without traffic"
    counts: Counter[str] = row.traffic.messages
    parts = [f"{number(counts[kind] / len(row.matches))} {kind}" for kind, _ in counts.most_common()]
    in_time = number(row.traffic.answers["commit-ack"] / len(row.matches))
    print(
        f"Requests of one tender at {row.nodes:,} nodes, each with its answer: {', '.join(parts)}. A `commit` comes "
        f"from who heard the tender by gossip; {in_time} of them were in time.\n"
    )


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench auction.scale", description=__doc__)
    parser.add_argument("--links", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument("--nodes", type=int, nargs="*", default=[100], help="worlds of whole nodes")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--states", nargs="+", choices=list(STATES), default=list(STATES))
    parser.add_argument(
        "--tenders", type=int, help=f"of each row; {TENDERS}, or {TENDERS_LARGE} in large worlds"
    )
    options = parser.parse_args(argv)
    logging.getLogger("skyops_p2p").setLevel(logging.ERROR)
    rows: list[Row] = []
    for nodes in options.links:
        tenders = options.tenders or (TENDERS_LARGE if nodes > LARGE else TENDERS)
        for state in options.states:
            if state == "nobody dialled" or nodes == 1000:  # the others are for comparison
                rows += measure(state, nodes, options.at_once, tenders)
    whole = [measure_whole(nodes, options.tenders or TENDERS_LARGE) for nodes in options.nodes]
    print_table(
        ["state", "nodes", "at once", "matched", "p50 ms", "p90 ms", "p99 ms",
         "mean ms of commit / reveal / award / waiting", "bids", "rounds", "took s"],
        [latency_cells(row) for row in (*rows, *whole)],
    )  # fmt: skip
    print_table(
        ["state", "nodes", "at once", "direct messages", "KiB", "bid books fetched", "KiB of books", "dials",
         "gossip copies", "copies a node", "gossip KiB", "CPU ms to begin"],
        [traffic_cells(row) for row in rows],
    )  # fmt: skip
    for row in rows:
        if row.at_once == 1 and row.state == "nobody dialled":
            print_kinds(row)
    print_place()
