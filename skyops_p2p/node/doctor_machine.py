"""The doctor's checks of the machine: interpreter, clock, disk, memory, file limit, GPUs, runtimes."""

import ctypes
import importlib.metadata
import resource
import shutil
import struct
import sys
import time

import psutil

from skyops_p2p import limits
from skyops_p2p.adapters.hardware import MeasuredHardwareProbe, NvmlHardwareProbe
from skyops_p2p.config import NodeConfig
from skyops_p2p.core.auction.class_index import class_index_milli
from skyops_p2p.node.finding import Finding, Status
from skyops_p2p.node.hardware_parts import gpu_part
from skyops_p2p.node.identity import NODE_KEY_FILE
from skyops_p2p.ports import Hardware

PYTHON_OLDEST = (3, 11)
LIBP2P_KNOWN = ("0.8.1",)
"""Versions whose sharp edges the adapter knows; see adapters/libp2p/patches.py."""
CLOCK_EARLIEST_S = 1_767_225_600.0
"""2026-01-01 UTC: earlier than this program, so no true clock says less."""
CLOCK_LATEST_S = 4_102_444_800.0
"""2100-01-01 UTC."""
DISK_FAIL_MIB, DISK_WARN_MIB = 100, 1024
MEMORY_FAIL_MIB, MEMORY_WARN_MIB = 128, 512
"""A node takes about 100 MiB; a job comes on top."""
FILES_BESIDE_CONNECTIONS = 128
"""Open files that a node needs beside one for each connection."""
_STA_UNSYNC = 0x40


def check_python() -> list[Finding]:
    """Check the interpreter's version."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < PYTHON_OLDEST:
        return [Finding("Python", "fail", found, "Install Python 3.11 or newer.")]
    return [Finding("Python", "ok", found)]


def check_libp2p() -> list[Finding]:
    """Check that the network library is one whose faults we know, without loading it."""
    name, mend = "libp2p", f"pip install libp2p=={LIBP2P_KNOWN[-1]}"
    try:
        found = importlib.metadata.version("libp2p")
    except importlib.metadata.PackageNotFoundError:
        return [Finding(name, "fail", "not installed", mend)]
    if found not in LIBP2P_KNOWN:
        return [Finding(name, "fail", f"{found} is not a version that this program knows", mend)]
    return [Finding(name, "ok", found)]


def check_clock(config: NodeConfig) -> list[Finding]:
    """Check the wall clock against reason, the files and the kernel; no other machine is asked."""
    name, mend = "clock", "Set the clock and switch on a time service (systemd-timesyncd, chrony)."
    now_s = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s))
    if not CLOCK_EARLIEST_S <= now_s <= CLOCK_LATEST_S:
        return [Finding(name, "fail", f"{shown} cannot be right", mend)]
    try:
        ahead_s = (config.data_dir / NODE_KEY_FILE).stat().st_mtime - now_s
    except OSError:
        ahead_s = 0.0
    if ahead_s * 1000 > limits.CLOCK_SKEW_MS_MAX:
        return [
            Finding(name, "warn", f"{shown}, but the node key was made {ahead_s:.0f} s later than that", mend)
        ]
    if _is_unsynchronized():
        return [
            Finding(name, "warn", f"{shown}; the kernel knows of no time source that keeps it right", mend)
        ]
    return [Finding(name, "ok", f"{shown} (not compared with another machine)")]


def check_disk(config: NodeConfig) -> list[Finding]:
    """Check the free space below the data directory."""
    place = next(path for path in (config.data_dir, *config.data_dir.absolute().parents) if path.exists())
    free_mib = shutil.disk_usage(place).free // 2**20
    mend = "Free some space, or use a data directory on another disk."
    return [_amount("disk", free_mib, DISK_FAIL_MIB, DISK_WARN_MIB, text="MiB free", mend=mend)]


def check_memory() -> list[Finding]:
    """Check the memory that can be had now."""
    free_mib = psutil.virtual_memory().available // 2**20
    mend = "Stop other programs, or add memory."
    return [_amount("memory", free_mib, MEMORY_FAIL_MIB, MEMORY_WARN_MIB, text="MiB available", mend=mend)]


def check_open_files(config: NodeConfig) -> list[Finding]:
    """Check that the limit of open files lets in as many connections as the settings allow."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = config.network.connections_max + FILES_BESIDE_CONNECTIONS
    shown = "no limit" if soft == resource.RLIM_INFINITY else str(soft)
    if soft != resource.RLIM_INFINITY and soft < needed:
        mend = f"Raise it with `ulimit -n {max(needed, 4096)}`, or lower network.connections_max."
        return [Finding("open file limit", "fail", f"{shown}, and {needed} are needed", mend)]
    return [Finding("open file limit", "ok", shown)]


async def check_hardware(config: NodeConfig) -> list[Finding]:
    """Check processor, GPUs and runtimes; what is absent matters to a worker only."""
    hardware = await MeasuredHardwareProbe(NvmlHardwareProbe(config.data_dir), config.data_dir).probe()
    missing: Status = "warn" if config.worker.enabled else "ok"
    found = f"{hardware.cpu_model or 'unknown'}, {hardware.cpu_cores} cores, {hardware.memory_mib} MiB"
    findings = [Finding("processor", "ok", found), _gpu_finding(config, hardware, missing)]
    if config.worker.enabled:
        findings.append(_speed_finding(hardware))
    mends = {
        "wasm": "pip install wasmtime",
        "docker": "Install Docker, start it, and let this user reach its socket (or set DOCKER_HOST).",
        "native": "Install bubblewrap (apt install bubblewrap) and permit user namespaces.",
    }
    present = {runtime.name: runtime for runtime in hardware.runtimes}
    for name, mend in mends.items():
        runtime = present.get(name)
        if runtime is not None:
            findings.append(Finding(f"runtime {name}", "ok", f"{runtime.version}, {runtime.limits} limits"))
        else:
            status: Status = missing if not present else "ok"  # one runtime is enough to work
            findings.append(_absent(f"runtime {name}", status, "not found, or it does not answer", mend))
    return findings


def check_images(config: NodeConfig) -> list[Finding]:
    """Say what the images take that a worker has brought into the container engine."""
    from skyops_p2p.adapters.docker.image_cache import RECORD, read_record

    if not config.worker.enabled:
        return []
    kept = read_record(config.data_dir / RECORD)
    size_gib, most = sum(one.size_bytes for one in kept) / 2**30, config.worker.docker_images_gib
    found = f"{len(kept)} brought by this node, {size_gib:.1f} of {most} GiB"
    mend = "Containers of them may keep them there: `docker ps -a`. Or raise worker.docker_images_gib."
    return [_absent("docker images", "ok" if size_gib <= most else "warn", found, mend)]


def check_arithmetic(config: NodeConfig) -> list[Finding]:
    """Say what a worker would do a proof of compute with."""
    if not config.worker.enabled:
        return []
    from skyops_p2p.adapters.cuda import describe_arithmetic, fastest_arithmetic  # imports GPU libraries

    return [Finding("proof of compute", "ok", f"on {describe_arithmetic(fastest_arithmetic())}")]


def _gpu_finding(config: NodeConfig, hardware: Hardware, missing: Status) -> Finding:
    if config.is_testnet and config.worker.declared_gpus:
        return Finding("GPU", "ok", f"declared for a test network: {', '.join(config.worker.declared_gpus)}")
    if hardware.gpus:
        models = ", ".join(f"{gpu.model} ({gpu.vram_mib} MiB)" for gpu in hardware.gpus)
        return Finding("GPU", "ok", f"{models}; driver {hardware.driver}, CUDA {hardware.cuda}")
    if hardware.driver:
        return _absent("GPU", missing, f"driver {hardware.driver}, but no device", "Look at `nvidia-smi`.")
    mend = "With a GPU in this machine: install NVIDIA's driver until `nvidia-smi` shows it."
    return _absent("GPU", missing, "none that the driver library shows", mend)


def _speed_finding(hardware: Hardware) -> Finding:
    """Say what a worker's class indices rest on; nothing is wrong where they are provisional."""
    shown = [
        f"{gpu.model} {class_index_milli(gpu_part(gpu)) / 1000:.2f}, "
        + ("provisional: a table's" if gpu.benchmark is None else "measured")
        for gpu in hardware.gpus
    ]
    measured = hardware.benchmark
    shown.append(
        "processor not measured: `skyops benchmark`"
        if measured is None
        else f"processor {measured.mflops / 1e6:.3f} TFLOPS, {measured.mb_per_s / 1e3:.1f} GB/s"
    )
    return Finding("class index", "ok", "; ".join(shown))


def _absent(name: str, status: Status, found: str, mend: str) -> Finding:
    """Say that something is not there; only if that matters, say how to mend it."""
    return Finding(name, status, found, "" if status == "ok" else mend)


def _amount(name: str, found: int, fail: int, warn: int, *, text: str, mend: str) -> Finding:
    if found < warn:
        return Finding(name, "fail" if found < fail else "warn", f"{found} {text}", mend)
    return Finding(name, "ok", f"{found} {text}")


def _is_unsynchronized() -> bool:
    """Ask the kernel whether a time service keeps its clock right (adjtimex(2), 64-bit Linux only)."""
    if not sys.platform.startswith("linux") or struct.calcsize("l") != 8:
        return False
    timex = ctypes.create_string_buffer(256)  # struct timex; modes = 0 asks without setting
    try:
        if ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0:
            return False
    except (OSError, AttributeError):
        return False
    (status,) = struct.unpack_from("i", timex, 40)
    return bool(status & _STA_UNSYNC)
