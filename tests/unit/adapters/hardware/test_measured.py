"""What was measured, kept, and put beside the hardware that it is of; and how it is measured, with a fake torch."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.adapters.cuda import measure
from skyops_p2p.adapters.hardware import MeasuredHardwareProbe
from skyops_p2p.adapters.hardware.measured import (
    BENCHMARK_FILE,
    Measurements,
    processor_name,
    read_measurements,
    write_measurements,
)
from skyops_p2p.errors import StoreError
from skyops_p2p.node.hardware_parts import hardware_parts
from skyops_p2p.ports import Benchmark, Gpu, Hardware
from skyops_p2p.types import UnixMs

FAST, SLOW = Benchmark(mflops=250_000_000, mb_per_s=1_500_000), Benchmark(mflops=90_000, mb_per_s=11_000)
A100 = Gpu(model="A100", vram_mib=81_920, compute_capability="8.0", uuid="GPU-1")
MACHINE = Hardware(
    source="nvml", gpus=(A100, replace(A100, uuid="GPU-2"), replace(A100, uuid="")), driver="", cuda="",
    cpu_model="EPYC", cpu_cores=8, memory_mib=1024, disk_mib=1024, runtimes=(),
)  # fmt: skip
MEASURED = Measurements(UnixMs(1), processor_name(MACHINE), SLOW, {"GPU-1": FAST, "": FAST, "GPU-9": SLOW})


class Found:
    """A probe with an answer given in advance."""

    def __init__(self, hardware: Hardware) -> None:
        self.hardware = hardware

    async def probe(self) -> Hardware:
        return self.hardware


# --- kept ---------------------------------------------------------------------------------------------------------
async def test_measurements_stand_beside_the_devices_that_they_are_of(tmp_path: Path) -> None:
    write_measurements(tmp_path, MEASURED)
    found = await MeasuredHardwareProbe(Found(MACHINE), tmp_path).probe()
    assert [gpu.benchmark for gpu in found.gpus] == [FAST, None, None]
    assert found.benchmark == SLOW
    part, _ = hardware_parts(found)
    assert part.gpus[0].benchmark is not None
    assert (part.gpus[0].benchmark.mflops, part.gpus[0].benchmark.mb_per_s) == (250_000_000, 1_500_000)
    assert part.gpus[1].benchmark is None


async def test_measurement_of_another_processor_is_none(tmp_path: Path) -> None:
    write_measurements(tmp_path, MEASURED)
    found = await MeasuredHardwareProbe(Found(replace(MACHINE, cpu_cores=4)), tmp_path).probe()
    assert found.benchmark is None


async def test_nothing_measured_changes_nothing(tmp_path: Path) -> None:
    assert await MeasuredHardwareProbe(Found(MACHINE), tmp_path).probe() == MACHINE


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"measured_unix_ms": 1', "\x00", '{"of_gpus": 3}'])
def test_file_that_is_none_counts_as_nothing_measured(tmp_path: Path, text: str) -> None:
    (tmp_path / BENCHMARK_FILE).write_text(text)
    assert read_measurements(tmp_path) is None


def test_figures_stay_within_what_a_record_can_say(tmp_path: Path) -> None:
    write_measurements(tmp_path, replace(MEASURED, of_processor=Benchmark(10**30, 0)))
    found = read_measurements(tmp_path)
    assert found is not None
    assert found.of_processor == Benchmark(10**12, 1)


def test_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as refused:
        write_measurements(tmp_path / "file", MEASURED)
    assert refused.value.code == "benchmark_unwritable"


# --- measured -----------------------------------------------------------------------------------------------------
class Ticking:
    """A clock by which each step takes as long as it should."""

    def __init__(self, step_s: float) -> None:
        self.now, self.steps, self.step_s = 0.0, 0, step_s

    def __call__(self) -> float:
        return self.now

    def work(self, count: int) -> None:
        self.steps += count
        self.now += count * self.step_s


@pytest.mark.parametrize("step_s", [0.003, 0.5, 7.0])
def test_a_step_takes_what_it_takes(step_s: float) -> None:
    clock = Ticking(step_s)
    assert measure.seconds_each(clock.work, clock) == pytest.approx(step_s)
    assert clock.now >= limits.BENCHMARK_S


def test_clock_that_stands_still_ends_the_measuring() -> None:
    clock = Ticking(0.0)
    assert measure.seconds_each(clock.work, clock) > 0
    assert clock.steps < 2**25


@pytest.mark.parametrize("has_numpy", [True, False])
def test_processor_is_always_measured(has_numpy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BENCHMARK_S", 0.0)
    monkeypatch.setattr(measure, "HOST_COPY_BYTES", 4096)
    monkeypatch.setattr(measure, "NUMPY_SIZE", 32)
    monkeypatch.setattr(measure, "PLAIN_SIZE", 8)
    if not has_numpy:
        monkeypatch.setitem(sys.modules, "numpy", None)
    found = measure.measure_processor()
    assert found.mflops >= 1
    assert found.mb_per_s >= 1


class FakeTorch(ModuleType):
    """What the benchmark calls of torch; products and copies take fixed times."""

    float16, uint8 = "float16", "uint8"

    def __init__(self, uuids: list[str | None], *, fails_at: int = -1) -> None:
        super().__init__("torch")
        self.now = 0.0

        def properties(index: int) -> Any:
            uuid = uuids[index]
            return SimpleNamespace() if uuid is None else SimpleNamespace(uuid=uuid)

        def ones(_shape: Any, *, dtype: str, device: str) -> Any:
            if device == f"cuda:{fails_at}":
                raise RuntimeError("CUDA out of memory")
            return SimpleNamespace(copy_=lambda _source: self.spend(0.001))

        self.cuda = SimpleNamespace(
            is_available=lambda: bool(uuids), device_count=lambda: len(uuids),
            get_device_properties=properties, synchronize=lambda _device: None,
        )  # fmt: skip
        self.ones, self.ones_like, self.empty_like = ones, lambda its: its, lambda its: its
        self.zeros = lambda _size, *, dtype, device: ones((), dtype=dtype, device=device)
        self.matmul = lambda _left, _right, *, out: self.spend(0.01)

    def spend(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> FakeTorch:
    fake = FakeTorch(["a", None, "b", "c"], fails_at=2)
    monkeypatch.setitem(sys.modules, "torch", fake)
    return fake


def test_each_device_that_can_be_named_is_measured(torch: FakeTorch) -> None:
    found = measure.measure_gpus(clock=lambda: torch.now)
    assert sorted(found) == ["GPU-a", "GPU-c"]
    assert found["GPU-a"].mflops == pytest.approx(2 * 4096**3 / 0.01 / 1e6, rel=1e-5)
    assert found["GPU-a"].mb_per_s == pytest.approx(2 * (256 << 20) / 0.001 / 1e6, rel=1e-5)


def test_without_torch_no_gpu_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert measure.measure_gpus() == {}
    monkeypatch.setitem(sys.modules, "torch", FakeTorch([]))
    assert measure.measure_gpus() == {}
