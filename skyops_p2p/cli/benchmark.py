"""`benchmark`: measure this machine, so that its class index is its own and not a table's."""

import time
from typing import TYPE_CHECKING

import click

from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import Column, print_json, print_table
from skyops_p2p.cli.waiting import waiting

if TYPE_CHECKING:
    from skyops_p2p.ports import Benchmark, Gpu, Hardware


@click.command()
@data_dir_option
@json_option
@click.pass_obj
def benchmark(invocation: Invocation, *, as_json: bool) -> None:
    """Measure GPUs and processor, and keep what was found; the node announces it when it is started next.

    Takes some seconds, in which the machine should do nothing else. GPUs are measured through torch; without it their
    class index is that of a provisional table.
    """
    import trio

    from skyops_p2p.adapters.cuda.measure import measure_gpus, measure_processor
    from skyops_p2p.adapters.hardware import NvmlHardwareProbe
    from skyops_p2p.adapters.hardware.measured import (
        Measurements,
        processor_name,
        with_measurements,
        write_measurements,
    )
    from skyops_p2p.types import UnixMs

    config, _ = invocation.load_config()
    with waiting("measuring this machine", is_color=invocation.is_color):
        found = trio.run(NvmlHardwareProbe(config.data_dir).probe)
        measured = Measurements(
            UnixMs(int(time.time() * 1000)), processor_name(found), measure_processor(), measure_gpus()
        )
    path = write_measurements(config.data_dir, measured)
    hardware = with_measurements(found, measured)
    rows = [*(_gpu_row(gpu) for gpu in hardware.gpus), _processor_row(hardware)]
    if as_json:
        names = ("device", "mflops", "mb_per_s", "memory_mib", "index_milli", "is_measured")
        print_json({"file": str(path), "devices": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    columns = [Column("DEVICE"), Column("TFLOPS"), Column("GB/S"), Column("MEMORY"), Column("CLASS INDEX")]
    print_table(columns, [_shown(row) for row in rows], is_color=invocation.is_color)
    click.echo(f"Kept in {path}. A running node announces it once it is started again.")


Row = tuple[str, int, int, int, int, bool]
"""Device, 10^6 operations a second, 10^6 bytes a second, MiB, class index in thousandths, whether it was measured."""


def _gpu_row(gpu: "Gpu") -> Row:
    from skyops_p2p.core.auction.class_index import class_index_milli
    from skyops_p2p.node.hardware_parts import gpu_part

    return (
        gpu.model,
        *_figures(gpu.benchmark),
        gpu.vram_mib,
        class_index_milli(gpu_part(gpu)),
        gpu.benchmark is not None,
    )


def _processor_row(hardware: "Hardware") -> Row:
    """A processor has no class index: 0."""
    is_measured = hardware.benchmark is not None
    return (hardware.cpu_model, *_figures(hardware.benchmark), hardware.memory_mib, 0, is_measured)


def _figures(measured: "Benchmark | None") -> tuple[int, int]:
    return (0, 0) if measured is None else (measured.mflops, measured.mb_per_s)


def _shown(row: Row) -> list[str]:
    device, mflops, mb_per_s, memory_mib, index_milli, is_measured = row
    index = f"{index_milli / 1000:.2f}, {'measured' if is_measured else 'provisional: the table says so'}"
    return [
        device or "unknown",
        f"{mflops / 1e6:.3f}" if is_measured else "-",
        f"{mb_per_s / 1e3:.1f}" if is_measured else "-",
        f"{memory_mib / 1024:.1f} GiB",
        index if index_milli else "-",
    ]
