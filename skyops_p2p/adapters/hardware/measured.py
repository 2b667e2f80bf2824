"""What `skyops benchmark` has measured, kept in the data directory, and put beside the hardware that is there now.

A measurement counts for the device that it was made on: by UUID and memory, or by the processor's name and cores.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import trio

from skyops_p2p import limits
from skyops_p2p.errors import StoreError
from skyops_p2p.ports import Benchmark, Hardware, HardwareProbe
from skyops_p2p.types import UnixMs

log = logging.getLogger(__name__)

BENCHMARK_FILE = "benchmark.json"
_MFLOPS_MAX, _MB_PER_S_MAX = 10**12, 10**9
"""What a record can say."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """What one run of the benchmark found."""

    measured_unix_ms: UnixMs
    processor: str
    """`processor_name` of the processor that was measured."""
    of_processor: Benchmark
    of_gpus: Mapping[str, Benchmark] = field(default_factory=dict)
    """UUID -> what was measured."""


class MeasuredHardwareProbe:
    """Implements ports.HardwareProbe: what another one finds, with what was measured of it.

    Args:
        inner: Finds the hardware.
        data_dir: Where the measurements lie.
    """

    def __init__(self, inner: HardwareProbe, data_dir: Path) -> None:
        self._inner = inner
        self._data_dir = data_dir

    async def probe(self) -> Hardware:
        """See ports.HardwareProbe."""
        found = await self._inner.probe()
        measured = await trio.to_thread.run_sync(read_measurements, self._data_dir)
        return found if measured is None else with_measurements(found, measured)


def processor_name(hardware: Hardware) -> str:
    """Return what a measurement of a processor is kept under."""
    return f"{hardware.cpu_model}, {hardware.cpu_cores} cores"


def with_measurements(found: Hardware, measured: Measurements) -> Hardware:
    """Put measurements beside the hardware that they are of; declared GPUs have none."""
    is_same = measured.processor == processor_name(found)
    gpus = tuple(
        replace(gpu, benchmark=measured.of_gpus.get(gpu.uuid) if gpu.uuid else None) for gpu in found.gpus
    )
    return replace(found, gpus=gpus, benchmark=measured.of_processor if is_same else None)


def read_measurements(data_dir: Path) -> Measurements | None:
    """Return what was measured last; None if nothing was, or its file cannot be read, which is logged."""
    path = data_dir / BENCHMARK_FILE
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(limits.BENCHMARK_FILE_BYTES_MAX))
        return Measurements(
            UnixMs(int(data["measured_unix_ms"])),
            str(data["processor"]),
            _read(data["of_processor"]),
            {str(uuid): _read(one) for uuid, one in dict(data["of_gpus"]).items()},
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("benchmark_not_read path=%s: %r; `skyops benchmark` writes it anew", path, error)
        return None


def write_measurements(data_dir: Path, measured: Measurements) -> Path:
    """Write what was measured down, whole or not at all.

    Raises:
        StoreError: Code `benchmark_unwritable`.
    """
    path = data_dir / BENCHMARK_FILE
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(measured), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}", code="benchmark_unwritable") from error
    return path


def _read(values: Any) -> Benchmark:
    return Benchmark(
        mflops=min(max(1, int(values["mflops"])), _MFLOPS_MAX),
        mb_per_s=min(max(1, int(values["mb_per_s"])), _MB_PER_S_MAX),
    )
