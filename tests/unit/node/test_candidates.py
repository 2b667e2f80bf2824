"""Whom a requester asks, in which order, and what it holds against the others."""

from dataclasses import dataclass, field
from typing import Any

from skyops_p2p.core.jobs.problems import check_spec
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.node_map import NodeMap
from skyops_p2p.core.presence import BeatReceived, PresenceTimes, RecordAccepted
from skyops_p2p.node.candidates import UNMEASURED_MS, screen_map
from skyops_p2p.node.standing import NeutralStanding
from skyops_p2p.types import PeerId
from tests.unit.core.auction.market import hardware
from tests.unit.core.people import ALICE, BOB, CAROL, MALLORY, NOW, START, Person, crowd


def job(vram: str = "8Gi", **fields: object) -> JobSpec:
    spec, problems = check_spec(
        {"runtime": "wasm", "module": "file:t.wasm", "resources": {"gpu": {"vram": vram}}, **fields}
    )
    assert spec is not None, problems
    return spec


@dataclass
class Known:
    """What alice knows."""

    nodes: NodeMap = field(default_factory=lambda: NodeMap(PresenceTimes()))

    def add(
        self,
        who: Person,
        *vram_mib: int,
        price: int = 1_000_000,
        round_trip_s: float | None = None,
        region: str = "eu",
    ) -> None:
        record = who.verified(hardware=hardware(*vram_mib), price_microcredits_per_hour=price, region=region)
        self.nodes.admit_record(record, START, NOW)
        self.nodes.handle(who.peer, RecordAccepted(), START)
        self.nodes.handle(who.peer, BeatReceived(30.0, is_leaving=False), START)
        if round_trip_s is not None:
            self.nodes.measure(who.peer, round_trip_s)

    def asked(self, spec: JobSpec, lot: bytes = b"job", **options: Any) -> list[PeerId]:
        bidders, unfit = screen_map(
            spec, self.nodes, own=ALICE.peer, standing=NeutralStanding(), lot=lot, **options
        )
        self.unfit = {outcome.peer: outcome.code for outcome in unfit}
        self.round_trips = {bidder.peer: bidder.round_trip_ms for bidder in bidders}
        return [bidder.peer for bidder in bidders]


def test_cheaper_and_among_equals_nearer_workers_are_asked_first() -> None:
    known = Known()
    known.add(BOB, 24_576, price=2_000_000, round_trip_s=0.001)
    known.add(CAROL, 24_576, price=1_000_000, round_trip_s=0.2)
    known.add(MALLORY, 24_576, price=1_010_000)
    assert known.asked(job()) == [CAROL.peer, MALLORY.peer, BOB.peer]
    assert known.round_trips[MALLORY.peer] == UNMEASURED_MS


def test_our_own_region_is_asked_before_others_but_behind_measured_ones() -> None:
    known = Known()
    known.add(ALICE, region="eu")
    known.add(BOB, 24_576, region="asia")
    known.add(CAROL, 24_576, region="eu")
    known.add(MALLORY, 24_576, region="asia", round_trip_s=0.3)
    assert known.asked(job()) == [MALLORY.peer, CAROL.peer, BOB.peer]
    assert known.round_trips[CAROL.peer] == UNMEASURED_MS, "what the award sees is what was measured"


def test_without_a_region_of_our_own_nobody_is_near() -> None:
    known = Known()
    known.add(ALICE, region="")
    known.add(BOB, 24_576, region="asia")
    known.add(CAROL, 24_576, region="")
    assert {tuple(known.asked(job(), lot=bytes([number]))) for number in range(8)} == {
        (BOB.peer, CAROL.peer),
        (CAROL.peer, BOB.peer),
    }


def test_large_gpus_are_asked_last_by_a_job_that_small_ones_can_do() -> None:
    known = Known()
    known.add(MALLORY, 81_920, price=100_000)
    for worker in crowd(3):
        known.add(worker, 24_576, price=3_000_000)
    assert known.asked(job())[-1] == MALLORY.peer
    assert known.asked(job("40Gi")) == [MALLORY.peer]


def test_equals_are_asked_in_another_order_for_each_job() -> None:
    known = Known()
    for worker in crowd(12):
        known.add(worker, 24_576)
    orders = {tuple(known.asked(job(), lot=bytes([number]))) for number in range(4)}
    assert len(orders) == 4
    assert {frozenset(order) for order in orders} == {frozenset(worker.peer for worker in crowd(12))}


def test_ourselves_and_those_who_failed_before_are_not_asked() -> None:
    known = Known()
    for worker in (ALICE, BOB, CAROL):
        known.add(worker, 24_576)
    known.add(MALLORY)
    assert known.asked(job(), excluded=(CAROL.peer,)) == [BOB.peer]
    assert known.unfit == {CAROL.peer: "denied", MALLORY.peer: "gpu_count"}


def test_whoever_computes_the_same_is_not_asked_and_has_not_failed() -> None:
    known = Known()
    for worker in (ALICE, BOB, CAROL):
        known.add(worker, 24_576)
    _, unfit = screen_map(
        job(), known.nodes, own=ALICE.peer, standing=NeutralStanding(), lot=b"job",
        excluded=(BOB.peer,), computing=(CAROL.peer,),
    )  # fmt: skip
    details = {outcome.peer: outcome.detail for outcome in unfit}
    assert details[BOB.peer] == "it failed at this job before"
    assert details[CAROL.peer] == "it, or another node of its wallet, computes the same already"
