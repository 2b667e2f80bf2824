"""The way in: what is installed is pinned, what can be typed is listed, and nothing names a download address."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from skyops_p2p.adapters.contracts import artifacts
from skyops_p2p.adapters.contracts.finding import PUBLISHED
from skyops_p2p.testnet.demo_training import example_dir, training_spec
from tests.repo.source_tree import ROOT, expect_none, text_of

NAME = re.compile(r"^[A-Za-z0-9_.-]+")


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins() -> dict[str, str]:
    lines = [line for line in text_of("constraints.txt").splitlines() if not line.startswith("#")]
    return {_plain(name): version for name, _, version in (line.partition("==") for line in lines)}


def test_everything_installed_is_pinned_by_version_alone() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["test"], *extras["lint"]]
    names = {_plain(match[0]) for match in map(NAME.match, wanted) if match}
    expect_none(sorted(names - set(_pins())))
    expect_none(
        f"{name}=={version}" for name, version in _pins().items() if not re.fullmatch(r"[\w.+!]+", version)
    )


def test_pin_of_libp2p_is_the_version_that_is_patched() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    assert f"libp2p=={_pins()['libp2p']}" in project["dependencies"]
    assert _pins()["libp2p"] in text_of("skyops_p2p/adapters/libp2p/patches.py")


def test_every_target_of_the_makefile_is_explained_and_phony() -> None:
    text = text_of("Makefile")
    targets = set(re.findall(r"^([a-z]+):", text, re.MULTILINE))
    explained = set(re.findall(r"^([a-z]+):.*## ", text, re.MULTILINE))
    phony = set(" ".join(re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)).split())
    assert targets == explained == phony


@pytest.mark.parametrize("script", [".ci/run", ".ci/setup"])
def test_scripts_parse(script: str) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n", str(ROOT / script)], check=True, timeout=60)


def test_wheel_carries_the_type_marker_and_one_version() -> None:
    assert (ROOT / "skyops_p2p/py.typed").exists()
    assert re.search(r'^__version__ = "\d+\.\d+\.\d+"$', text_of("skyops_p2p/_version.py"), re.MULTILINE)


def test_wheel_carries_what_the_demonstration_trains() -> None:
    wheel = tomllib.loads(text_of("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["sources"]["examples/digits"] == "skyops_p2p/testnet/digits"
    included = [name for name in wheel["only-include"] if name.startswith("examples/digits/")]
    spec = training_spec()
    wanted = [spec.module, *(item.uri for item in spec.inputs)]
    files = [path for uri in wanted for path in _files_of(uri.removeprefix("file:"))]
    expect_none({f"examples/digits/{name}" for name in ("job-wasm.toml", *files)} - set(included))
    assert all((ROOT / name).is_file() for name in included)


def test_wheel_carries_the_contracts_where_they_are_looked_for() -> None:
    wheel = tomllib.loads(text_of("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    inside = wheel["sources"]["contracts/artifacts"]
    assert inside == str(Path(artifacts.__file__).relative_to(ROOT).parent / "artifacts")
    assert "contracts/artifacts" in wheel["only-include"]
    there = {path.stem for path in (ROOT / "contracts" / "artifacts").iterdir()}
    assert there == {*PUBLISHED, "Directory"}
    for name in there:
        found = artifacts.artifact(name)
        assert (found.name, len(found.bytecode) > 1000) == (name, True)


def _files_of(name: str) -> list[str]:
    place = example_dir() / name
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return [str(path.relative_to(example_dir())) for path in files]
