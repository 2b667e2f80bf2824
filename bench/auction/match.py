"""Match latency between real processes: from the call to the confirmed award, one after the other and side by side."""

import argparse
import os
from collections import Counter
from collections.abc import Sequence

from bench.auction._world import Row, running, step_times
from bench.plots import Curve, save_curves
from bench.tables import number, percentile, print_place, print_table, say, spread

PLOT = "auction.match"
PUBLISHED = ((3, 1300.0), (10, 1300.0), (100, 10_100.0))
"""(nodes, milliseconds) of a competitor, as it published them; its machine and what it timed are its own."""
COLUMNS = (
    "nodes", "in flight", "matched", "p50 ms", "p90 ms", "p99 ms", "matches / s", "CPU ms a match",
    "CPU ms a match and node", "cores busy", "with others",
)  # fmt: skip


def measure(nodes: int, flights: Sequence[int], matches: int, patience_s: float) -> list[Row]:
    """Bring up one network and run one row of matches for each number in flight."""
    rows = []
    with running(nodes) as world:
        for at_once in flights:
            say(f"{nodes} nodes, {at_once} in flight")
            world.wait_quiet(patience_s)
            row = world.run(matches=matches, at_once=at_once)
            failed = Counter(sample.code for sample in row.samples if not sample.is_matched)
            say(" | ".join(line(row)) + (f" | failed: {dict(failed)}" if failed else ""))
            rows.append(row)
    return rows


def line(row: Row) -> tuple[str, ...]:
    """Return one line of the table."""
    taken, count = row.taken_ms, len(row.samples)
    return (
        str(row.nodes),
        str(row.at_once),
        f"{len(taken)} of {count}",
        *(number(percentile(taken, part)) for part in (0.5, 0.9, 0.99)),
        number(len(taken) / row.seconds),
        number(row.cpu_s * 1000 / count),
        number(row.cpu_s * 1000 / count / row.nodes),
        number((row.cpu_s + row.caller_cpu_s) / row.seconds),
        number((row.cpu_s + row.caller_cpu_s + row.others_cpu_s) / row.seconds),
    )


def plot(rows: Sequence[Row]) -> bool:
    """Draw the latencies of one match at a time beside those of the competitor."""
    alone = [row for row in rows if row.at_once == 1 and row.taken_ms]
    curves = [
        Curve(
            f"skyops, {round(part * 100)}th percentile",
            [(row.nodes, percentile(row.taken_ms, part)) for row in alone],
            style,
        )
        for part, style in ((0.5, "o-"), (0.99, "o--"))
    ]
    competitor = Curve("a competitor, as published", PUBLISHED, "s:")
    return bool(alone) and save_curves(
        PLOT,
        [*curves, competitor],
        title=f"Match latency by number of nodes (all of ours on one machine, {os.cpu_count()} cores)",
        across="nodes",
        up="milliseconds",
    )


def main(argv: Sequence[str]) -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench auction.match", description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[3, 10, 20, 50])
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--matches", type=int, default=120, help="in each row")
    parser.add_argument(
        "--patience", type=float, default=0.0, help="seconds to wait before each row for a quiet machine"
    )
    options = parser.parse_args(argv)
    rows: list[Row] = []
    for nodes in options.nodes:
        rows += measure(nodes, options.in_flight, options.matches, options.patience)
    print_table(COLUMNS, [line(row) for row in rows])
    print(
        "From the call of the control API to its answer; every other node is a worker that qualifies, and bids if it "
        "is invited. The first match of a requester dials those workers that it is not connected to. All processes "
        "share this machine's cores: a row whose `cores busy` nears their number shows the CPU and not the protocol. "
        "The CPU is that of all nodes beyond what they use idle, with the audits of the book by its bidders; `with "
        "others` adds what else ran on this machine at the time, which makes every figure worse.\n"
    )
    if plot(rows):
        print(f"![match latency by number of nodes](plots/{PLOT}.png)\n")
    print("How far a match is, with one in flight; p50 / p99, ms from the call.\n")
    print_steps(rows)
    print_place()


def print_steps(rows: Sequence[Row]) -> None:
    """Print when each step of a match was told, for each number of nodes."""
    alone = [row for row in rows if row.at_once == min(row.at_once for row in rows)]
    steps = list(step_times(alone))
    lines = []
    for row in alone:
        times = step_times([row])
        lines.append([str(row.nodes), *(spread(times.get(step, [])) for step in steps)])
    print_table(["nodes", *steps], lines)
