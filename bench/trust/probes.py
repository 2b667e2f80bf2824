"""What witnessed probes cost an idle node: messages an hour, what statements weigh, and how long counting takes.

A world of cores (simulation/probe_world.py) with the protocol's own slots of ten minutes runs for a watch of six hours;
weights and times of larger networks are those of statements that are made as theirs would be.
"""

import argparse
import statistics
import time
from collections.abc import Sequence

from bench.tables import number, print_place, print_table, say
from skyops_p2p import limits
from skyops_p2p.core.probes.draw import StakeFacts, bar_of, lot_of, rank_of
from skyops_p2p.core.probes.statements import Statement, make_statement
from skyops_p2p.core.probes.tally import Evidence, Tally
from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.core.reputation.conduct import Outcome
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.simulation.probe_world import ProbeWorld

TIMES = ProbeTimes()
UNIT = 1_000_000
WATCHES_KEPT = limits.REPUTATION_UPTIME_EPOCHS * 4


def measure_messages(nodes: int) -> list[str]:
    """Run one watch; return a row of questions, copies of gossip and all messages of a node and hour."""
    say(f"{nodes} nodes for a watch of six hours")
    world = ProbeWorld(1, nodes=nodes, times=TIMES)
    world.run_watches(1)
    hours = TIMES.watch_ms / 3_600_000
    probes = sum(node.watcher.asked for node in world.nodes) / nodes / hours
    rest = world.messages / nodes / hours - 2 * probes
    return [str(nodes), number(probes), number(2 * probes), number(rest), number(2 * probes + rest)]


def statements_of(wallets: Sequence[Wallet], accounts: Sequence[bytes], facts: StakeFacts) -> list[Statement]:
    """Return what all say of one watch in which everybody was there."""
    beacon, bar, made = sha256(b"beacon"), bar_of(facts.total), []
    for wallet, witness in zip(wallets, accounts, strict=True):
        drawn = {
            account: [Outcome.ANSWERED] * TIMES.watch_slots
            for account in accounts
            if account != witness
            and rank_of(lot_of(beacon, 1, probed=account, witness=witness), facts.stakes[witness].amount)
            < bar
        }
        statement = make_statement(drawn, 1, wallet, "bench")
        made += [statement] if statement is not None else []
    return made


def measure_weight(nodes: int) -> list[str]:
    """Return a row of what a watch of a large network weighs, and how long it takes to count it."""
    say(f"the statements of {nodes} nodes")
    wallets = [Wallet.from_secret(sha256(b"%d" % n)) for n in range(nodes)]
    accounts = [address_to_bytes(wallet.address) for wallet in wallets]
    facts = StakeFacts({account: Stake(100 * UNIT, 0) for account in accounts}, nodes * 100 * UNIT)
    statements = statements_of(wallets, accounts, facts)
    began = time.perf_counter()
    days = Tally(TIMES).days(Evidence({1: tuple(statements)}, {1: sha256(b"beacon")}, facts))
    took_ms = 1000 * (time.perf_counter() - began)
    each = statistics.mean(len(one.data) for one in statements)
    a_day_mb = 4 * each * len(statements) / 1e6
    kept_mb = a_day_mb * limits.REPUTATION_UPTIME_EPOCHS
    held = WATCHES_KEPT * len(statements)
    days_kept = min(1.0, limits.PROBE_STATEMENTS_HELD_MAX / held) * limits.REPUTATION_UPTIME_EPOCHS
    named = statistics.mean(len(one.probed) for one in statements)
    assert len(days) == nodes, "everybody was probed"
    return [
        str(nodes), number(named), number(each), number(a_day_mb), number(kept_mb), number(days_kept),
        number(took_ms),
    ]  # fmt: skip


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench trust.probes", description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[8, 20, 50], help="networks that are run")
    parser.add_argument(
        "--large", type=int, nargs="+", default=[100, 1000], help="networks whose statements are made"
    )
    options = parser.parse_args(argv)
    print("Messages that an idle node sends in an hour; all are workers with the same stake:\n")
    print_table(
        [
            "nodes",
            "questions",
            "questions and answers",
            "statements and comparing",
            "all",
        ],
        [measure_messages(nodes) for nodes in options.nodes],
    )
    print("\nWhat all witnesses say in a watch, and what a node holds of it:\n")
    print_table(
        ["nodes", "accounts a statement names", "bytes of a statement", "MB a day", "MB in 28 days",
         "days that are held", "ms to count a watch"],
        [measure_weight(nodes) for nodes in options.large],
    )  # fmt: skip
    print_place()
