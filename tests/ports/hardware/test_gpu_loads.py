"""Loads of GPUs through the real binding, against a driver library made for the purpose."""

import json
import os
import subprocess
import sys

import pytest

from tests.ports.hardware.test_gpus import compile_driver

ASK = """
import json, sys, trio
from skyops_p2p.adapters.hardware import GpuLoads
loads = GpuLoads(timeout_s=float(sys.argv[1]))
async def main():
    first = await loads(tuple(sys.argv[2:]))
    second = await loads(tuple(sys.argv[2:]))
    print(json.dumps([[part.model_dump() for part in first], [part.model_dump() for part in second]]))
trio.run(main)
"""
FIRST = "GPU-00000000-0000-0000-0000-000000000000"
SECOND = "GPU-00000000-0000-0000-0000-000000000001"


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    return compile_driver(tmp_path_factory.mktemp("driver"))


def ask(library_path, *uuids, timeout_s=20.0, **environment):
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(timeout_s), *uuids],
        env=os.environ | {"LD_LIBRARY_PATH": str(library_path)} | environment,
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_the_loads_of_the_wanted_devices_are_told(driver):
    first, second = ask(driver, SECOND, FAKE_NVML_COUNT="2")
    assert first == second
    assert first == [
        {
            "index": 0,
            "utilisation_permille": 970,
            "memory_mib": 1024,
            "power_mw": 312_500,
            "temperature_c": 66,
        }
    ]


def test_what_a_device_does_not_tell_is_zero(driver):
    first, _ = ask(driver, FIRST, FAKE_NVML_MUTE="nvmlDeviceGetPowerUsage")
    assert first[0]["power_mw"] == 0
    assert first[0]["utilisation_permille"] == 970


def test_a_device_that_is_gone_is_left_out(driver):
    assert ask(driver, FIRST, SECOND, FAKE_NVML_COUNT="1")[0][0]["index"] == 0
    assert len(ask(driver, FIRST, SECOND, FAKE_NVML_COUNT="1")[0]) == 1


def test_declared_devices_and_machines_without_a_driver_have_nothing_to_show(tmp_path, driver):
    assert ask(driver, "12D3KooWpeer/0") == [[], []]
    assert ask(tmp_path, FIRST) == [[], []]


def test_a_driver_that_hangs_is_asked_once_and_holds_nobody_up(driver):
    hanging = "import os; os._exit(0)"  # the thread that hangs cannot be ended
    script = ASK.replace("trio.run(main)", f"trio.run(main); sys.stdout.flush(); {hanging}")
    done = subprocess.run(
        [sys.executable, "-c", script, "0.2", FIRST],
        env=os.environ | {"LD_LIBRARY_PATH": str(driver), "FAKE_NVML_HANG": "1"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == [[], []]
