"""The award rule and the audit of a bid book: bids scored a second, and books of 100 to 10,000 bids re-run."""

import argparse
import cProfile
import gc
import hashlib
import pstats
import sys
import time
from collections.abc import Callable, Sequence

from bench.tables import number, print_place, print_table, say
from skyops_p2p.core import binding, records
from skyops_p2p.core.auction import poc
from skyops_p2p.core.auction.audit import RecordCheck, Spread, audit, one_by_one
from skyops_p2p.core.auction.award import Entry, rank, score
from skyops_p2p.core.auction.book import Evidence, Sealed, build_book, close_commits, sealed
from skyops_p2p.core.auction.poc import Parameters
from skyops_p2p.core.auction.sealing import seal_bid
from skyops_p2p.core.auction.tenders import check_tender
from skyops_p2p.core.binding import make_binding
from skyops_p2p.core.records import check_record
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import NodeKey, peer_id_to_bytes, verify
from skyops_p2p.crypto.wallet import Wallet, recover_account
from skyops_p2p.node.spreading import over_all_cores
from skyops_p2p.types import NetworkName, UnixMs
from skyops_p2p.wire.envelope import open_envelope, seal
from skyops_p2p.wire.messages.auction import (
    Bid,
    Commit,
    Needs,
    Observation,
    Reveal,
    Tender,
    Weights,
)
from skyops_p2p.wire.messages.peering import GpuPart, HardwarePart, NodeRecord, RuntimePart

RULES = NetworkRules(NetworkName("bench"), 31_337, is_testnet=True)
NOW = UnixMs(1_800_000_000_000)
SEED = bytes(32)
SIZES = (24_576, 49_152, 81_920)


class Market:
    """A tender and so many honest bidders, each with keys, a record, a commitment and a reveal."""

    def __init__(self, count: int) -> None:
        self.requester = NodeKey.from_seed(bytes(32))
        tender = seal(_tender(self.requester), self.requester, RULES.network)
        self.tender = check_tender(tender, RULES, now=NOW)
        self.commits: list[Sealed] = []
        self.reveals: dict[bytes, Reveal] = {}
        self.observations: dict[bytes, Observation] = {}
        self.records: dict[bytes, NodeRecord] = {}
        for index in range(count):
            self._join(index)

    def _join(self, index: int) -> None:
        seed = hashlib.sha256(index.to_bytes(4, "big")).digest()
        key = NodeKey.from_seed(seed)
        bidder = peer_id_to_bytes(key.peer_id)
        record = _record(key, index)
        envelope = seal(record, key, RULES.network)
        vram_mib = record.hardware.gpus[0].vram_mib
        bid = Bid(
            price=600_000 + index * 7919 % 1_300_000,
            devices=(f"GPU-{index}",),
            gpu_model="NVIDIA A100",
            vram_mib=vram_mib,
            speed_milli=1000,
            cached_permille=0,
            starts_in_ms=0,
            valid_until_unix_ms=NOW + 10_000,
        )
        commit, reveal = seal_bid(self.tender.digest, bidder, bid, seed, record_sequence=1)
        signed = open_envelope(seal(commit, key, RULES.network), Commit, RULES.network)
        self.commits.append(sealed(signed))
        self.reveals[bidder] = reveal
        self.records[bidder] = record
        self.observations[bidder] = Observation(
            bidder=bidder,
            round_trip_ms=index % 200,
            transfer_ms=0,
            reputation=400_000 + index % 500_000,
            stake_weight=1 + index % 100,
            recent_awards=0,
            record=envelope,
            throughput=100,
        )

    def evidence(self) -> Evidence:
        return Evidence(
            tender=self.tender,
            commits=tuple(sorted(self.commits, key=lambda commit: commit.digest)),
            reveals=self.reveals,
            observations=self.observations,
            records=self.records,
            seed=SEED,
            closed_unix_ms=NOW + 900,
        )

    def entries(self) -> list[Entry]:
        return [
            Entry(bidder, reveal.bid, self.observations[bidder], self.records[bidder], 1)
            for bidder, reveal in self.reveals.items()
        ]

    def book(self) -> bytes:
        evidence = self.evidence()
        commit_set = close_commits(self.tender.digest, evidence.commits, closed_unix_ms=NOW + 500)
        envelope = seal(commit_set, self.requester, RULES.network)
        return seal(build_book(evidence, envelope), self.requester, RULES.network)


def _tender(key: NodeKey) -> Tender:
    return Tender(
        requester=peer_id_to_bytes(key.peer_id),
        network=RULES.network,
        job_id=bytes(16),
        round=0,
        issued_unix_ms=NOW,
        expires_unix_ms=NOW + 10_000,
        spec_digest=bytes(32),
        needs=Needs(
            runtime="docker", gpu_models=("a100",), gpu_count=1, vram_mib=20_000, compute_capability="8.0",
            cpu_cores=4, memory_mib=16_384, disk_mib=10_000, regions=("eu",), labels=(), latency_ms_max=250,
            needs_hard_limits=True,
        ),
        mode="priority",
        duration_s_max=3600,
        price_max=2_000_000,
        price_floor=500_000,
        token="SKYOPS",
        weights=Weights(price=400_000, reputation=300_000, fit=200_000, latency=100_000),
        policy="composite",
        commit_ms=1500,
        reveal_ms=1000,
        input_bytes=10**9,
        reputation_min=400_000,
        allow=(),
        deny=(),
        invite_share=2**32,
        seed_digest=sha256(SEED),
        tier_mib=max(SIZES),
        speed_milli_min=500,
        window_awards=1000,
        window_stake=10_000,
    )  # fmt: skip


def _record(key: NodeKey, index: int) -> NodeRecord:
    wallet = Wallet.from_secret(hashlib.sha256(key.seed).digest())
    gpu = GpuPart(
        model="NVIDIA A100", vram_mib=SIZES[index % 3], compute_capability="8.0", uuid=f"GPU-{index}"
    )
    return NodeRecord(
        peer=peer_id_to_bytes(key.peer_id),
        sequence=1,
        network=RULES.network,
        issued_unix_ms=NOW,
        expires_unix_ms=NOW + 3_600_000,
        addrs=("/ip4/10.0.0.1/tcp/4711",),
        agent="skyops/bench",
        binding=make_binding(key, wallet, RULES, issued=NOW, lifetime_ms=86_400_000),
        is_worker=True,
        hardware=HardwarePart(
            source="nvml", gpus=(gpu,), driver="550", cuda="12.4", cpu_model="EPYC", cpu_cores=16,
            memory_mib=65_536, disk_mib=500_000,
        ),
        runtimes=(RuntimePart(name="docker", version="27", limits="hard"),),
        region="eu",
        labels=(),
        slots=1,
        price_microcredits_per_hour=1_000_000,
    )  # fmt: skip


class KnownRecords:
    """The records that an auditing node has on its map already: checked once, known by their bytes."""

    def __init__(self, market: Market) -> None:
        self._known = {seen.record: market.records[seen.bidder] for seen in market.observations.values()}

    def __call__(self, data: bytes, rules: NetworkRules, at: UnixMs) -> NodeRecord:
        known = self._known.get(data)
        return known if known is not None else check_record(data, rules, now=at).record


def best_of(
    times: int, action: Callable[[], object], clock: Callable[[], float] = time.process_time
) -> float:
    """Return the seconds of the fastest of so many runs: of CPU, unless another clock is given."""
    took = []
    gc.disable()  # as the command line does for an audit
    for _ in range(times):
        forget_records()
        started = clock()
        action()
        took.append(clock() - started)
        gc.collect()
    gc.enable()
    return min(took)


def forget_records() -> None:
    """Empty the caches of checked records and bindings, so that each is checked again."""
    for cache in (records._open, binding._open, binding._wallet_that_signed):
        cache.cache_clear()


def audited(data: bytes, check: RecordCheck | None, spread: Spread) -> None:
    report = audit(data, RULES, check=check, spread=spread)
    assert report.ok, report.findings[:3]


def signatures(market: Market, times: int) -> tuple[float, float]:
    """Return the CPU seconds of the signatures alone: of the commits, and of commits, records, bindings and wallets."""
    count = min(len(market.commits), 1000)
    key, data = market.requester, bytes(200)
    signed = key.sign(data)
    wallet = Wallet.from_secret(sha256(data))
    by_wallet = wallet.sign_digest(sha256(data))
    node = best_of(times, lambda: [verify(key.public_key, data, signed) for _ in range(count)])
    chain = best_of(times, lambda: [recover_account(sha256(data), by_wallet) for _ in range(count)])
    scale = len(market.commits) / count
    return node * scale, (3 * node + chain) * scale


def audits(counts: Sequence[int], times: int) -> None:
    rows = []
    for count in counts:
        say(f"a market of {count} bidders")
        market = Market(count)
        data = market.book()
        entries = market.entries()
        scored = best_of(
            times, lambda entries=entries, m=market: [score(m.tender.message, e) for e in entries]
        )
        ranked = best_of(
            times,
            lambda entries=entries, m=market: rank(
                m.tender.message, entries, seed=SEED, closed_unix_ms=NOW + 900
            ),
        )
        cells = []
        for check, floor in zip((KnownRecords(market), None), signatures(market, times), strict=True):
            alone = best_of(times, lambda d=data, c=check: audited(d, c, one_by_one))
            wall = best_of(times, lambda d=data, c=check: audited(d, c, over_all_cores), time.perf_counter)
            cells += [number(alone), number(floor), number(wall)]
        rows.append(
            [
                f"{count:,}",
                f"{len(data) / 2**20:.2f}",
                f"{count / scored:,.0f}",
                f"{count / ranked:,.0f}",
                *cells,
            ]
        )
    print_table(
        ["bids", "book, MiB", "scored / CPU s", "filtered, scored, ranked / CPU s",
         "records known: CPU s", "of it signatures", "wall s on all cores",
         "every record checked: CPU s", "of it signatures", "wall s on all cores"],
        rows,
    )  # fmt: skip
    print(
        "An audit of a book: CPU on one core, the part of it that libsodium and libsecp256k1 need for the signatures "
        "alone (one a bid where the records are known, four where each record with its binding is checked too), and "
        "the time that passes when the signatures are spread over all cores, as `skyops audit` does.\n"
    )


def proofs() -> None:
    rows = []
    for size, checkpoints in ((256, 8), (1024, 4), (4096, 1)):
        say(f"proof of compute, {size} rows")
        rows.append(proof(Parameters(size=size, checkpoints=checkpoints), count=64))
    print("Proof of compute with numpy on this CPU, wall-clock; 64 rows are drawn.\n")
    print_table(["rows", "products", "prover, s", "10^9 operations / s", "verifier, s"], rows)


def proof(parameters: Parameters, *, count: int) -> list[object]:
    challenge = secret = bytes(32)
    started = time.perf_counter()
    transcript = poc.run(challenge, parameters)
    proven = time.perf_counter() - started
    root = transcript.tree.root
    openings = poc.open_rows(transcript, poc.draw_rows(root, secret, parameters, count=count))
    started = time.perf_counter()
    poc.check_openings(challenge, root, openings, parameters=parameters, secret=secret, count=count)
    checked = time.perf_counter() - started
    rate = poc.throughput_of(parameters, max(1, int(proven * 1000))) // 1000
    return [parameters.size, parameters.checkpoints, number(proven), rate, number(checked)]


def main(argv: Sequence[str]) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench auction.award", description=__doc__)
    parser.add_argument("--bids", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--times", type=int, default=3, help="the fastest of so many runs counts")
    parser.add_argument("--profile", action="store_true", help="say where one audit's time goes instead")
    options = parser.parse_args(argv)
    if options.profile:
        market = Market(options.bids[-1])
        data, known = market.book(), KnownRecords(market)
        profile = cProfile.Profile()
        profile.runcall(audited, data, known, one_by_one)
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)
        return
    audits(options.bids, options.times)
    proofs()
    print_place()
