"""Which node fits which job, and why not."""

from typing import Any

import pytest

from skyops_p2p.core.auction.codes import SCREENING_CODES
from skyops_p2p.core.auction.screening import fitting_gpus, mismatch_text, screen
from skyops_p2p.wire.messages.auction import Needs
from skyops_p2p.wire.messages.peering import GpuPart, NodeRecord, RuntimePart
from tests.unit.core.people import BOB, HARDWARE

A100 = GpuPart(model="NVIDIA A100-SXM4-80GB", vram_mib=81_920, compute_capability="8.0", uuid="GPU-1")
RTX = GpuPart(model="NVIDIA GeForce RTX 4090", vram_mib=24_564, compute_capability="8.9", uuid="GPU-2")
NOTHING = {
    "runtime": "wasm",
    "gpu_models": (),
    "gpu_count": 0,
    "vram_mib": 0,
    "compute_capability": "",
    "cpu_cores": 0,
    "memory_mib": 0,
    "disk_mib": 0,
    "regions": (),
    "labels": (),
    "latency_ms_max": 0,
    "needs_hard_limits": False,
}


def needs(**changes: Any) -> Needs:
    return Needs(**(NOTHING | changes))


def record(*gpus: GpuPart, **changes: Any) -> NodeRecord:
    fields = BOB.verified().record.model_dump() | {"hardware": HARDWARE.model_copy(update={"gpus": gpus})}
    return NodeRecord.model_validate(fields | changes)


def codes(
    wanted: Needs, node: NodeRecord, *, rtt: int | None = None, free: int | None = 1
) -> tuple[str, ...]:
    return screen(wanted, node, round_trip_ms=rtt, slots_free=free)


def test_a_job_without_needs_fits_every_worker() -> None:
    assert codes(needs(), record()) == ()
    assert codes(needs(), record(A100, RTX)) == ()


def test_a_node_that_is_no_worker_gets_that_reason_alone() -> None:
    assert codes(needs(cpu_cores=4096), record(is_worker=False)) == ("not_a_worker",)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"runtime": "docker"}, "runtime_missing"),
        ({"gpu_count": 2}, "gpu_count"),
        ({"gpu_models": ("rtx4090",)}, "gpu_model"),
        ({"vram_mib": 81_921}, "vram"),
        ({"compute_capability": "8.6"}, "compute_capability"),
        ({"cpu_cores": 17}, "cpu"),
        ({"memory_mib": 65_537}, "memory"),
        ({"disk_mib": 500_001}, "disk"),
        ({"regions": ("us", "asia")}, "region"),
        ({"labels": ("tier=gold",)}, "label"),
        ({"latency_ms_max": 19}, "latency"),
    ],
)
def test_each_unmet_need_has_its_code_and_its_figures(changes: dict[str, Any], code: str) -> None:
    wanted, node = needs(**changes), record(A100)
    assert codes(wanted, node, rtt=20) == (code,)
    assert mismatch_text(code, wanted, node, round_trip_ms=20, slots_free=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"gpu_count": 1, "vram_mib": 81_920, "compute_capability": "8.0", "gpu_models": ("A100",)},
        {"cpu_cores": 16, "memory_mib": 65_536, "disk_mib": 500_000},
        {"regions": ("us", "eu")},
        {"latency_ms_max": 20},
        {"needs_hard_limits": True},
        {"compute_capability": "7.5"},
    ],
)
def test_needs_met_exactly_fit(changes: dict[str, Any]) -> None:
    assert codes(needs(**changes), record(A100), rtt=20) == ()


def test_soft_limits_are_named() -> None:
    soft = record(runtimes=(RuntimePart(name="wasm", version="1", limits="soft"),))
    assert codes(needs(needs_hard_limits=True), soft) == ("limits_soft",)
    assert codes(needs(), soft) == ()


def test_unknown_round_trip_and_unknown_slots_are_not_held_against_a_node() -> None:
    assert codes(needs(latency_ms_max=1), record(), rtt=None, free=None) == ()
    assert codes(needs(), record(), free=0) == ("slots_busy",)


def test_all_reasons_come_at_once_in_the_order_of_the_table() -> None:
    found = codes(
        needs(runtime="native", vram_mib=2**24, cpu_cores=4096, regions=("us",)), record(A100), free=0
    )
    assert found == ("runtime_missing", "vram", "cpu", "region", "slots_busy")
    order = list(SCREENING_CODES)
    assert sorted(found, key=order.index) == list(found)


def test_gpu_conditions_without_a_count_ask_for_one_gpu() -> None:
    assert codes(needs(gpu_models=("a100",)), record()) == ("gpu_count",)
    assert codes(needs(gpu_models=("h100", "a100")), record(RTX, A100)) == ()


def test_conditions_that_only_different_gpus_meet_are_a_mix() -> None:
    both = needs(vram_mib=40_000, compute_capability="8.9")
    assert codes(both, record(A100, RTX)) == ("gpu_mix",)
    two = needs(gpu_count=2, vram_mib=16_000)
    assert codes(two, record(A100, RTX)) == ("gpu_mix",)
    assert codes(two, record(A100, RTX, RTX)) == ()


def test_the_smallest_fitting_kind_is_offered() -> None:
    node = record(A100, RTX, RTX)
    assert fitting_gpus(needs(vram_mib=16_000), node.hardware.gpus) == (RTX, RTX)
    assert fitting_gpus(needs(vram_mib=40_000), node.hardware.gpus) == (A100,)
    assert fitting_gpus(needs(), node.hardware.gpus) == ()


@pytest.mark.parametrize("text", ["", "8.x", "²", "-1.0", "."])
def test_an_unreadable_capability_reaches_none(text: str) -> None:
    odd = A100.model_copy(update={"compute_capability": text})
    assert codes(needs(compute_capability="1.0"), record(odd)) == ("compute_capability",)


def test_codes_without_figures_have_no_text() -> None:
    assert mismatch_text("not_a_worker", needs(), record(), round_trip_ms=None, slots_free=None) == ""
