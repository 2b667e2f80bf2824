"""The committed artifacts under forge's invariant runs, and proofs by halmos where it is installed (`make prove`)."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.contracts.chain import ROOT
from tests.interop.npm_packages import BUILD, PackagesMissingError, install_packages

pytestmark = [pytest.mark.process, pytest.mark.slow]

PROJECT = Path(__file__).parent / "forge"
CONTRACTS = ("NodeRegistry", "Parameters", "Reservations", "Settlement", "SkyopsToken")
NODE_MAJOR_MIN = 18
PATIENCE_S = 900
PROPERTIES = 7


@pytest.fixture(autouse=True)
def _fresh_chain() -> None:
    """No chain of titanoboa's is needed here."""


@pytest.fixture(scope="module")
def packages() -> Path:
    """The directory with forge and solc, from npm."""
    try:
        _, directory = install_packages(PROJECT, "forge", node_major_min=NODE_MAJOR_MIN)
    except PackagesMissingError as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"in CI forge must be there: {missing}")
        pytest.skip(str(missing))
    return directory


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, with the bytecode of contracts/artifacts in it."""
    copy = tmp_path / "forge"
    shutil.copytree(PROJECT, copy)
    lines = ["// SPDX-License-Identifier: Apache-2.0", "pragma solidity ^0.8.30;"]
    for name in CONTRACTS:
        artifact = json.loads((ROOT / "contracts" / "artifacts" / f"{name}.json").read_text())
        constant = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()
        lines.append(f'bytes constant {constant} = hex"{artifact["bytecode"].removeprefix("0x")}";')
    (copy / "test" / "Bytecode.sol").write_text("\n".join(lines) + "\n")
    return copy


def _run(command: list[str], project: Path, packages: Path) -> str:
    path = os.pathsep.join([str(packages / "node_modules" / ".bin"), os.environ["PATH"]])
    environment = {
        **os.environ,
        "PATH": path,
        "SKYOPS_SOLC": str(packages / "node_modules" / "solc"),
        "FOUNDRY_DISABLE_NIGHTLY_WARNING": "1",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_settlement_under_a_thousand_calls_of_forge(project: Path, packages: Path) -> None:
    said = _run(["forge", "test"], project, packages)
    calls = re.search(r"\[PASS\] invariant_money_is_conserved\(\) \(runs: \d+, calls: (\d+)", said)
    assert calls is not None, said
    assert int(calls[1]) > 1000


def test_properties_hold_for_all_arguments(project: Path, packages: Path) -> None:
    own = BUILD / "halmos" / "bin" / "halmos"
    halmos = shutil.which("halmos") or (str(own) if own.exists() else None)
    if halmos is None:
        pytest.skip("halmos is not here: `make prove` installs it, into an environment of its own")
    options = ["--contract", "PropertiesTest", "--storage-layout", "generic", "--loop", "8"]
    said = _run([halmos, *options], project, packages)
    assert f"{PROPERTIES} passed; 0 failed" in said
