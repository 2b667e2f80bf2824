"""A requester, its tender, and workers that bid: what the tests of the auction start from."""

from dataclasses import dataclass, replace
from typing import Any

from skyops_p2p.core.auction.book import Evidence, Sealed, build_book, close_commits, sealed
from skyops_p2p.core.auction.class_index import class_index_milli
from skyops_p2p.core.auction.devices import device_names
from skyops_p2p.core.auction.sealing import seal_bid
from skyops_p2p.core.auction.tenders import check_tender
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.wire.envelope import Signed, open_envelope, seal
from skyops_p2p.wire.messages.auction import (
    Bid,
    BidBook,
    Commit,
    Needs,
    Observation,
    Reveal,
    Tender,
    Weights,
)
from skyops_p2p.wire.messages.peering import BenchmarkPart, GpuPart, HardwarePart, NodeRecord
from tests.unit.core.people import ALICE, HARDWARE, NOW, RULES, Person

SEED = bytes([7] * 32)
CLOSED = NOW + 900
"""When the bid book is closed."""
NEEDS = Needs(
    runtime="wasm",
    gpu_models=(),
    gpu_count=1,
    vram_mib=16_384,
    compute_capability="",
    cpu_cores=2,
    memory_mib=4096,
    disk_mib=1000,
    regions=(),
    labels=(),
    latency_ms_max=0,
    needs_hard_limits=False,
)
WEIGHTS = Weights(price=400_000, reputation=300_000, fit=200_000, latency=100_000)


def tender_of(**changes: Any) -> Tender:
    fields: dict[str, Any] = {
        "requester": peer_id_to_bytes(ALICE.peer),
        "network": RULES.network,
        "job_id": bytes([1] * 16),
        "round": 0,
        "issued_unix_ms": NOW,
        "expires_unix_ms": NOW + 10_000,
        "spec_digest": bytes(32),
        "needs": NEEDS,
        "mode": "priority",
        "duration_s_max": 3600,
        "price_max": 2_000_000,
        "price_floor": 500_000,
        "token": "SKYOPS",
        "weights": WEIGHTS,
        "policy": "composite",
        "commit_ms": 1500,
        "reveal_ms": 1000,
        "input_bytes": 0,
        "reputation_min": 0,
        "allow": (),
        "deny": (),
        "invite_share": 2**32,
        "seed_digest": sha256(SEED),
        "tier_mib": 0,
        "speed_milli_min": 0,
        "window_awards": 0,
        "window_stake": 0,
    }
    return Tender.model_validate({**fields, **changes})


def signed_tender(who: Person = ALICE, **changes: Any) -> Signed[Tender]:
    return check_tender(seal(tender_of(**changes), who.node_key, RULES.network), RULES, now=NOW)


def hardware(*vram_mib: int, model: str = "NVIDIA A100", mflops: int = 0) -> HardwarePart:
    measured = BenchmarkPart(mflops=mflops, mb_per_s=360_000) if mflops else None
    gpus = tuple(
        GpuPart(model=model, vram_mib=size, compute_capability="8.0", uuid=f"GPU-{index}", benchmark=measured)
        for index, size in enumerate(vram_mib)
    )
    return HARDWARE.model_copy(update={"gpus": gpus})


@dataclass(frozen=True)
class Worker:
    """A worker with one kind of GPU, and what it offers and is measured at."""

    person: Person
    price: int = 1_000_000
    vram_mib: int = 24_576
    gpus: int = 1
    reputation: int = 500_000
    round_trip_ms: int = 20
    transfer_ms: int = 0
    cached_permille: int = 0
    mflops: int = 0
    """As measured; 0: it was not."""
    stake: int = 10
    awards: int = 0
    throughput: int = 100
    reveals: bool = True
    bid_changes: tuple[tuple[str, Any], ...] = ()
    record_changes: tuple[tuple[str, Any], ...] = ()

    @property
    def bidder(self) -> bytes:
        return peer_id_to_bytes(self.person.peer)

    @property
    def record(self) -> bytes:
        changes = {
            "hardware": hardware(*[self.vram_mib] * self.gpus, mflops=self.mflops),
            **dict(self.record_changes),
        }
        return self.person.record(**changes)

    @property
    def record_message(self) -> NodeRecord:
        return open_envelope(self.record, NodeRecord, RULES.network).message

    def bid(self, count: int) -> Bid:
        names = device_names(self.record_message)
        devices = tuple(names)[:count]
        fields: dict[str, Any] = {
            "price": self.price,
            "devices": devices,
            "gpu_model": "NVIDIA A100" if devices else "",
            "vram_mib": self.vram_mib if devices else 0,
            "speed_milli": sum(class_index_milli(names[device]) for device in devices),
            "cached_permille": self.cached_permille,
            "starts_in_ms": 0,
            "valid_until_unix_ms": NOW + 10_000,
        }
        return Bid.model_validate({**fields, **dict(self.bid_changes)})

    def observation(self) -> Observation:
        return Observation(
            bidder=self.bidder,
            round_trip_ms=self.round_trip_ms,
            transfer_ms=self.transfer_ms,
            reputation=self.reputation,
            stake_weight=self.stake,
            recent_awards=self.awards,
            record=self.record,
            throughput=self.throughput,
        )

    def sealed(self, tender: Signed[Tender], salt: int = 0) -> tuple[Sealed, Reveal]:
        commit, reveal = seal_bid(
            tender.digest,
            self.bidder,
            self.bid(tender.message.needs.gpu_count),
            sha256(b"salt" + self.bidder + bytes([salt])),
            record_sequence=1,
        )
        data = seal(commit, self.person.node_key, RULES.network)
        return sealed(open_envelope(data, Commit, RULES.network)), reveal


def evidence_of(tender: Signed[Tender], workers: list[Worker], **changes: Any) -> Evidence:
    """Run the commit and the reveal among these workers."""
    commits, reveals, observations, records = [], {}, {}, {}
    for worker in workers:
        commit, reveal = worker.sealed(tender)
        commits.append(commit)
        if worker.reveals:
            reveals[worker.bidder] = reveal
            observations[worker.bidder] = worker.observation()
            records[worker.bidder] = worker.record_message
    whole = Evidence(
        tender=tender,
        commits=tuple(sorted(commits, key=lambda commit: commit.digest)),
        reveals=reveals,
        observations=observations,
        records=records,
        seed=SEED,
        closed_unix_ms=CLOSED,
    )
    return replace(whole, **changes)


def commit_set_of(evidence: Evidence, who: Person = ALICE, **changes: Any) -> bytes:
    whole = close_commits(evidence.tender.digest, evidence.commits, closed_unix_ms=NOW + 500)
    return seal(whole.model_copy(update=changes), who.node_key, RULES.network)


def book_of(evidence: Evidence) -> BidBook:
    return build_book(evidence, commit_set_of(evidence))


def sign(book: BidBook, who: Person = ALICE) -> bytes:
    return seal(book, who.node_key, RULES.network)
