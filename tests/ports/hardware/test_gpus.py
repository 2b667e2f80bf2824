"""The GPU part through the real binding, against a driver library made for the purpose.

The library is loaded once for a process, so each case asks in a process of its own.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
import dataclasses, json, sys, trio
from pathlib import Path
from skyops_p2p.adapters.hardware import NvmlHardwareProbe
probe = NvmlHardwareProbe(Path("."), timeout_s=float(sys.argv[1]))
print(json.dumps(dataclasses.asdict(trio.run(probe.probe))))
"""


def compile_driver(folder, *options):
    compiler = shutil.which("cc")
    if compiler is None:
        assert not os.environ.get("CI"), "CI needs a C compiler"
        pytest.skip("no C compiler")
    source = Path(__file__).with_name("fake_nvml.c")
    command = [
        compiler,
        "-shared",
        "-fPIC",
        "-Wall",
        "-Werror",
        *options,
        "-o",
        folder / "libnvidia-ml.so.1",
        source,
    ]
    subprocess.run(command, check=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    return compile_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture(scope="module")
def old_driver(tmp_path_factory):
    return compile_driver(tmp_path_factory.mktemp("old"), "-DOLD_DRIVER")


def ask(library_path, *, timeout_s=20.0, **environment):
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(timeout_s)],
        env=os.environ | {"LD_LIBRARY_PATH": str(library_path)} | environment,
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_scripted_gpus_are_found(driver):
    found = ask(driver, FAKE_NVML_COUNT="2")
    assert (found["source"], found["driver"], found["cuda"]) == ("nvml", "550.54.15", "12.4")
    assert found["gpus"] == [
        {
            "model": "NVIDIA A100-SXM4-80GB",
            "vram_mib": 80 * 1024,
            "compute_capability": "8.0",
            "uuid": f"GPU-00000000-0000-0000-0000-00000000000{index}",
            "benchmark": None,
        }
        for index in range(2)
    ]
    assert found["cpu_cores"] >= 1


def test_a_driver_without_devices_is_no_gpu(driver):
    found = ask(driver, FAKE_NVML_COUNT="0")
    assert (found["source"], found["gpus"], found["driver"]) == ("none", [], "550.54.15")


@pytest.mark.parametrize(("count", "expected"), [("15", 15), ("16", 16), ("17", 16)])
def test_no_more_gpus_than_a_record_holds(driver, count, expected):
    assert len(ask(driver, FAKE_NVML_COUNT=count)["gpus"]) == expected


@pytest.mark.parametrize("result", ["9", "1", "4", "999"])
def test_a_driver_that_does_not_start_is_no_gpu(driver, result):
    found = ask(driver, FAKE_NVML_INIT=result)
    assert (found["source"], found["gpus"], found["driver"], found["cuda"]) == ("none", [], "", "")


def test_no_driver_at_all_is_no_gpu(tmp_path):
    try:
        Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        assert ask(tmp_path)["source"] == "none"
    else:
        assert ask(tmp_path)["source"] in ("nvml", "none")


@pytest.mark.parametrize(
    ("mute", "field", "unknown"),
    [
        ("nvmlDeviceGetName", "model", "unknown"),
        ("nvmlDeviceGetUUID", "uuid", ""),
        ("nvmlDeviceGetMemoryInfo", "vram_mib", 0),
        ("nvmlDeviceGetCudaComputeCapability", "compute_capability", ""),
    ],
)
def test_what_a_device_cannot_tell_is_left_empty(driver, mute, field, unknown):
    (gpu,) = ask(driver, FAKE_NVML_MUTE=mute)["gpus"]
    assert gpu[field] == unknown
    assert len([value for value in gpu.values() if value]) >= 3


@pytest.mark.parametrize(
    ("mute", "field"), [("nvmlSystemGetDriverVersion", "driver"), ("nvmlSystemGetCudaDriverVersion", "cuda")]
)
def test_what_the_driver_cannot_tell_is_left_empty(driver, mute, field):
    found = ask(driver, FAKE_NVML_MUTE=mute)
    assert found[field] == ""
    assert len(found["gpus"]) == 1


@pytest.mark.parametrize("mute", ["nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2"])
def test_devices_that_cannot_be_reached_are_absent(driver, mute):
    assert ask(driver, FAKE_NVML_MUTE=mute)["gpus"] == []


def test_a_function_that_an_old_driver_lacks_is_left_empty(old_driver):
    (gpu,) = ask(old_driver)["gpus"]
    assert gpu["uuid"] == ""
    assert gpu["vram_mib"] == 80 * 1024


def test_a_name_that_is_no_text_is_unknown(driver):
    (gpu,) = ask(driver, FAKE_NVML_NAME=os.fsdecode(b"\xff\xfe"))["gpus"]
    assert gpu["model"] == "unknown"


def test_a_driver_that_hangs_costs_its_deadline_and_no_more(driver):
    found = ask(driver, timeout_s=1.0, FAKE_NVML_HANG="1")
    assert found["source"] == "none"
    assert found["memory_mib"] > 0
