"""Queries over a node map of 10,000 records, and what it takes to admit them."""

import argparse
import hashlib
import time
from collections.abc import Callable, Sequence

import psutil

from bench.tables import number, percentile, print_place, print_table, say
from skyops_p2p.core.announcer import Offer
from skyops_p2p.core.binding import make_binding
from skyops_p2p.core.core_settings import CoreSettings
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.node_events import RecordsArrived
from skyops_p2p.core.presence import PresenceTimes
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import NodeKey, peer_id_to_bytes
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.node.present import node_views
from skyops_p2p.node.views import MapQuery
from skyops_p2p.types import MonotonicS, NetworkName, UnixMs
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.peering import GpuPart, HardwarePart, NodeRecord, RuntimePart

RULES = NetworkRules(NetworkName("bench"), 31337, is_testnet=True)
START = UnixMs(1_800_000_000_000)
LIFETIME_MS = 24 * 3600 * 1000
MODELS = (("NVIDIA A100-SXM4-80GB", 81920), ("NVIDIA H100", 81559), ("RTX 4090", 24564), ("RTX 3060", 12288))
REGIONS = ("eu", "us", "ap")
QUERIES = {
    "all, first 200": MapQuery.model_validate({}),
    "--gpu a100 --vram 40 --region eu --sort price": MapQuery(
        gpu="a100", vram_gib=40, region="eu", sort="price"
    ),
    "--runtime wasm --sort vram": MapQuery(runtime="wasm", sort="vram"),
    "nothing matches": MapQuery(gpu="no such model"),
    "all 10,000": MapQuery(limit=20_000),
}


def make_record(index: int) -> bytes:
    """Return the record of node so-and-so: both keys, all signatures."""
    seed = hashlib.sha256(index.to_bytes(4, "big")).digest()
    node_key, wallet = NodeKey.from_seed(seed), Wallet.from_secret(hashlib.sha256(seed).digest())
    binding = make_binding(node_key, wallet, RULES, issued=START, lifetime_ms=LIFETIME_MS)
    model, vram_mib = MODELS[index % len(MODELS)]
    hardware = HardwarePart(
        source="declared",
        gpus=(GpuPart(model=model, vram_mib=vram_mib, compute_capability="8.0", uuid=f"GPU-{index}"),),
        driver="550",
        cuda="12.4",
        cpu_model="EPYC",
        cpu_cores=16,
        memory_mib=65536,
        disk_mib=10**6,
    )
    record = NodeRecord(
        peer=peer_id_to_bytes(node_key.peer_id),
        sequence=START,
        network=RULES.network,
        issued_unix_ms=START,
        expires_unix_ms=START + LIFETIME_MS,
        addrs=(f"/ip4/10.0.{index // 250}.{index % 250}/tcp/4711",),
        agent="skyops/0",
        binding=binding,
        is_worker=True,
        hardware=hardware,
        runtimes=(RuntimePart(name="wasm", version="50", limits="hard"),),
        region=REGIONS[index % len(REGIONS)],
        labels=("zone=a",),
        slots=1,
        price_microcredits_per_hour=10_000 + 7919 * index % 1_000_000,
    )
    return seal(record, node_key, RULES.network)


def make_core() -> NodeCore:
    """Return a core that knows nobody."""
    node_key, wallet = NodeKey.from_seed(bytes(32)), Wallet.from_secret(bytes([1]) * 32)
    binding = make_binding(node_key, wallet, RULES, issued=START, lifetime_ms=LIFETIME_MS)
    offer = Offer("skyops/0", False, "", (), 0, 0)
    return NodeCore(
        node_key, lambda _now: binding, CoreSettings(rules=RULES, offer=offer, times=PresenceTimes())
    )


def time_ms(work: Callable[[], object], *, rounds: int) -> list[float]:
    """Return the milliseconds of each round."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return times


def main(argv: Sequence[str]) -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench network.map_query", description=__doc__)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args(argv)
    say("signing records")
    records = [make_record(index) for index in range(options.records)]
    core, process = make_core(), psutil.Process()
    before_mib = process.memory_info().rss / 2**20
    started = time.perf_counter()
    for start in range(0, len(records), 64):
        core.handle(RecordsArrived(None, tuple(records[start : start + 64]), (), START), MonotonicS(1.0))
    admitted_s = time.perf_counter() - started
    grown_mib = process.memory_info().rss / 2**20 - before_mib
    assert len(core.nodes) == options.records
    rows = []
    for name, query in QUERIES.items():
        found = len(node_views(core, query, MonotonicS(2.0)))
        times = time_ms(lambda query=query: node_views(core, query, MonotonicS(2.0)), rounds=options.rounds)  # type: ignore[misc] # bound for the loop
        rows.append([name, found, number(percentile(times, 0.5)), number(max(times))])
    times = time_ms(core.nodes.digests, rounds=options.rounds)
    rows.append(["digests for a synchronisation", "-", number(percentile(times, 0.5)), number(max(times))])
    print_table(("query", "nodes found", "p50 ms", "most ms"), rows)
    print(
        f"A map of {options.records:,} records of {len(records[0])} bytes. A query's time includes the views that "
        f"are shown. To check (three signatures each) and admit them all took {admitted_s:.1f} s, "
        f"{1000 * admitted_s / len(records):.2f} ms each, and {grown_mib:.0f} MiB of memory, "
        f"{1024 * grown_mib / len(records):.1f} KiB each.\n"
    )
    print_place()
