"""What is committed under contracts/artifacts comes from the sources."""

import importlib.util
import json
from types import ModuleType

import pytest

from tests.contracts.chain import ROOT, compiled


def _build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("contracts_build", ROOT / "contracts" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = _build()
NAMES = BUILD.contract_names()


def test_there_are_contracts_and_nothing_else_is_committed() -> None:
    assert {path.stem for path in BUILD.ARTIFACTS.iterdir()} == set(NAMES) != set()


@pytest.mark.parametrize("name", NAMES)
def test_artifact_is_what_the_compiler_makes_of_the_source(name: str) -> None:
    committed = (BUILD.ARTIFACTS / f"{name}.json").read_text(encoding="utf-8")
    assert BUILD.artifact(name) == committed


@pytest.mark.parametrize("name", NAMES)
def test_tests_run_the_code_that_is_committed(name: str) -> None:
    committed = json.loads((BUILD.ARTIFACTS / f"{name}.json").read_text(encoding="utf-8"))
    assert compiled(name).compiler_data.bytecode == bytes.fromhex(committed["bytecode"].removeprefix("0x"))


@pytest.mark.parametrize("name", NAMES)
def test_contract_fits_into_a_block_and_under_the_size_limit(name: str) -> None:
    runtime = compiled(name).compiler_data.bytecode_runtime
    assert len(runtime) <= 24_576  # EIP-170


def test_check_names_what_differs(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(BUILD, "contract_names", lambda: ["Directory"])
    monkeypatch.setattr(BUILD, "ARTIFACTS", tmp_path)
    assert BUILD.main(["--check"]) == 1
    assert capsys.readouterr().out == "differs: artifacts/Directory.json\n"
    assert BUILD.main([]) == 0
    assert BUILD.main(["--check"]) == 0
