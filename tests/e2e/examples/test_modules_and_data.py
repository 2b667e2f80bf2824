"""The modules of the examples are what their sources build, their job files are valid, and data are read as told."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from skyops_p2p.node.job_files import read_job
from tests.repo.source_tree import ROOT

EXAMPLES = ROOT / "examples"
MODULES = {"sweep": ["reduce"], "graph": ["prepare", "report"], "render": ["trace", "assemble"]}
COMPILER = "clang version 14."
"""Debian 12's, which the committed modules come from."""


@pytest.mark.process
@pytest.mark.parametrize("example", sorted(MODULES))
def test_modules_are_what_their_sources_build(example: str, tmp_path: Path) -> None:
    if shutil.which("clang") is None or not Path("/usr/lib/wasm32-wasi").exists():
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs clang lld wasi-libc libclang-rt-14-dev-wasm32")
        pytest.skip("no clang with wasi-libc")
    version = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True).stdout
    if COMPILER not in version:
        pytest.skip(f"another compiler makes other bytes: {version.splitlines()[0]}")
    subprocess.run([EXAMPLES / example / "build.sh", tmp_path], check=True, timeout=120)
    for name in MODULES[example]:
        built = (tmp_path / f"{name}.wasm").read_bytes()
        assert built == (EXAMPLES / example / f"{name}.wasm").read_bytes(), name


@pytest.mark.parametrize(
    "file",
    sorted(
        str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.toml") if path.parent.name != "jobs"
    ),
)
def test_job_files_are_valid_and_their_files_are_there(file: str) -> None:
    spec = read_job(EXAMPLES / file)
    places = [spec.module] + [item.uri for item in spec.inputs]
    local = [place.removeprefix("file:") for place in places if place.startswith("file:")]
    fetched = {"python.wasm", "cifar-10-batches-bin"}  # which the page of the example says how to get
    for place in set(local) - fetched:
        assert ((EXAMPLES / file).parent / place).exists(), place


@pytest.fixture
def cifar() -> Iterator[ModuleType]:
    sys.path.insert(0, str(EXAMPLES / "resnet" / "code"))
    try:
        yield import_module("cifar")
    finally:
        sys.path.pop(0)
        sys.modules.pop("cifar", None)


def test_made_up_images_are_read_back_from_the_form_of_cifar(cifar: ModuleType, tmp_path: Path) -> None:
    labels, pixels = cifar.made_up(25, seed=1)
    assert (len(labels), len(pixels)) == (25, 25 * cifar.PIXELS)
    assert cifar.made_up(25, seed=1) == (labels, pixels)
    assert cifar.made_up(25, seed=2)[1] != pixels
    records = [
        bytes([labels[number]]) + bytes(pixels[number * cifar.PIXELS : (number + 1) * cifar.PIXELS])
        for number in range(25)
    ]
    (tmp_path / "a.bin").write_bytes(b"".join(records[:10]))
    (tmp_path / "b.bin").write_bytes(b"".join(records[10:]))
    assert cifar.read_records(tmp_path, ("a.bin", "b.bin")) == (labels, pixels)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "not there"),
        (b"", "0 bytes"),
        (b"\0" * 3072, "3072 bytes"),
        (b"\x0a" + b"\0" * 3072, "label 10"),
    ],
)
def test_data_that_are_none_are_refused_with_a_reason(
    cifar: ModuleType, tmp_path: Path, data: bytes | None, words: str
) -> None:
    if data is not None:
        (tmp_path / "a.bin").write_bytes(data)
    with pytest.raises(cifar.DataError, match=words):
        cifar.read_records(tmp_path, ("a.bin",))
