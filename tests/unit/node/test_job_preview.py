"""The screening preview: who could run a job, why not, and for how much."""

from typing import Any

import pytest

from skyops_p2p.core.jobs.encoding import spec_digest
from skyops_p2p.core.node_map import NodeMap
from skyops_p2p.core.presence import BeatReceived, PresenceTimes, RecordAccepted
from skyops_p2p.node import job_preview
from skyops_p2p.node.job_preview import CandidateView, PreviewView, preview_job
from tests.unit.core.jobs.examples import spec
from tests.unit.core.people import ALICE, BOB, CAROL, NOW, START, Person, crowd

WASM = {"image": "", "module": "cid:x", "command": [], "runtime": "wasm"}


class Neighbourhood:
    """A node map that a test fills; all are seen from Alice's node."""

    def __init__(self) -> None:
        self.nodes = NodeMap(PresenceTimes())

    def add(self, who: Person, *, price: int = 1_000_000, slots_free: int = 1, **changes: Any) -> None:
        self.nodes.admit_record(who.verified(**changes), START, NOW)
        self.nodes.handle(who.peer, RecordAccepted(), START)
        self.nodes.admit_beat(
            who.checked_beat(price_microcredits_per_hour=price, slots_free=slots_free), START
        )
        self.nodes.handle(who.peer, BeatReceived(30.0, is_leaving=False), START)

    def preview(self, **changes: Any) -> PreviewView:
        return preview_job(spec(**(WASM | changes)), self.nodes, own=ALICE.peer)


def codes(candidate: CandidateView) -> list[str]:
    return [mismatch.code for mismatch in candidate.mismatches]


def test_how_many_compute_it_is_said() -> None:
    def said(**verification: object) -> tuple[int, bool]:
        view = Neighbourhood().preview(verification=verification)
        return view.computing, view.is_by_lot

    assert said(**{"class": "exact"}) == (1, False)
    assert said(**{"class": "exact", "redundancy": 3}) == (3, False)
    assert said(**{"class": "exact", "check": "adaptive"}) == (2, True)
    assert said(**{"class": "training", "redundancy": 3}) == (1, False)


def test_canaries_are_said_with_their_chance() -> None:  # VER-22
    def said(shards: int, canaries: int) -> tuple[int, int, int]:
        view = Neighbourhood().preview(shards=shards, verification={"class": "exact", "canaries": canaries})
        return view.computing, view.canaries, view.canary_permille

    assert said(4, 0) == (1, 0, 0)
    assert said(4, 1) == (1, 1, 250)
    assert said(4, 4) == (1, 4, 1000)
    assert said(100, 10) == (1, 10, 669)


@pytest.mark.parametrize(("kind", "computing"), [("exact", 3), ("interactive", 1), ("training", 1)])
def test_replicas_cost_only_where_results_are_compared(kind: str, computing: int) -> None:  # VER-1
    around = Neighbourhood()
    around.add(BOB, price=1_000_000)
    view = around.preview(verification={"class": kind, "redundancy": 3}, timeouts={"execution": "1h"})
    assert (view.cost_min, view.cost_max) == (computing * 1_000_000, computing * 1_000_000)


def test_an_empty_map_qualifies_nobody() -> None:
    view = Neighbourhood().preview()
    assert (view.workers, view.qualified, view.price_min, view.cost_max) == (0, 0, None, None)
    assert (view.reasons, view.candidates) == ((), ())


def test_prices_and_cost_come_from_those_that_qualify() -> None:
    around = Neighbourhood()
    for who, price in zip(crowd(3), (3_000_000, 1_000_000, 2_000_000), strict=True):
        around.add(who, price=price)
    around.add(BOB, price=1, region="us")
    view = around.preview(placement={"regions": ["eu"]}, timeouts={"execution": "30m"}, shards=4)
    assert (view.workers, view.qualified) == (4, 3)
    assert (view.price_min, view.price_median, view.price_max) == (1_000_000, 2_000_000, 3_000_000)
    assert (view.cost_min, view.cost_max) == (2_000_000, 6_000_000)
    assert [one.price_microcredits_per_hour for one in view.candidates[:3]] == [
        1_000_000,
        2_000_000,
        3_000_000,
    ]
    assert codes(view.candidates[3]) == ["region"]
    assert (
        view.spec_digest
        == spec_digest(
            spec(**WASM, placement={"regions": ["eu"]}, timeouts={"execution": "30m"}, shards=4)
        ).hex()
    )


def test_each_node_that_does_not_qualify_says_why_with_figures() -> None:
    around = Neighbourhood()
    around.add(BOB, slots_free=0)
    around.add(CAROL)
    view = around.preview(resources={"cpu": 32}, placement={"deny": [CAROL.peer]})
    by_peer = {one.peer_id: one for one in view.candidates}
    assert codes(by_peer[BOB.peer]) == ["cpu", "slots_busy"]
    assert codes(by_peer[CAROL.peer]) == ["denied", "cpu"]
    assert by_peer[BOB.peer].mismatches[0].detail == "needs 32 cores, has 16"
    assert (view.reasons[0].code, view.reasons[0].nodes) == ("cpu", 2)
    assert view.reasons[0].change == "Lower `resources.cpu`."


def test_allow_list_and_ceiling_count() -> None:
    around = Neighbourhood()
    around.add(BOB, price=2_000_001)
    around.add(CAROL, price=2_000_000)
    one_gpu: dict[str, object] = {"gpu": {"count": 1}}
    only_bob = around.preview(placement={"allow": [BOB.peer]}, price=2, resources=one_gpu)
    assert [codes(one) for one in only_bob.candidates] == [["not_allowed"], ["price_hint"]]
    assert only_bob.candidates[1].mismatches[0].detail == "announces 2.000001 credits, ceiling 2"
    assert around.preview(price=2, resources=one_gpu).qualified == 1
    assert around.preview(price=2).qualified == 2, "what it announces is for its GPU"


def test_ourselves_and_nodes_without_compute_are_no_candidates() -> None:
    around = Neighbourhood()
    around.add(ALICE)
    around.add(BOB, is_worker=False)
    assert around.preview().workers == 0


def test_pending_nodes_do_not_qualify_yet() -> None:
    around = Neighbourhood()
    around.nodes.admit_record(BOB.verified(), START, NOW)
    around.nodes.touch(CAROL.peer, START)
    view = around.preview()
    assert (view.workers, view.qualified) == (2, 0)
    assert {code for one in view.candidates for code in codes(one)} == {"node_inactive"}


def test_a_far_node_is_named_with_the_measured_time() -> None:
    around = Neighbourhood()
    around.add(BOB)
    around.nodes.measure(BOB.peer, 0.2501)
    (one,) = around.preview(placement={"latency_ms_max": 250}).candidates
    assert (one.round_trip_ms, codes(one)) == (251, ["latency"])
    assert one.mismatches[0].detail == "needs 250 ms, measured 251 ms"
    assert around.preview(placement={"latency_ms_max": 251}).qualified == 1


def test_the_counts_cover_all_nodes_and_the_list_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_preview, "PREVIEW_NODES_MAX", 2)
    around = Neighbourhood()
    for who in crowd(3):
        around.add(who)
    view = around.preview(resources={"cpu": 32})
    assert (view.workers, view.reasons[0].nodes, len(view.candidates)) == (3, 3, 2)
