"""The runtimes behind one name: each case of the suite runs on every runtime that this machine can have.

A runtime is one entry of RUNTIMES: a function that opens a box, and one that says what is missing for it. What is
missing is a skip on a person's machine and a failure under CI=true.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ports.sandbox import docker_box, native_box, wasm_box
from tests.ports.sandbox.box import Box
from tests.ports.sandbox.engine import private_engine


@dataclass(frozen=True)
class RuntimeUnderTest:
    missing: Callable[[], str]
    """What must be installed first, "" if nothing."""
    open: Callable[..., AbstractAsyncContextManager[Box]]
    """Open it with an empty folder of its own, and with the engine if it `needs_engine`."""
    needs_engine: bool = False
    needs_cache: bool = False
    """It keeps what it compiled in a folder that the whole test run shares."""


RUNTIMES = {
    "native": RuntimeUnderTest(native_box.missing, native_box.open_box),
    "docker": RuntimeUnderTest(docker_box.missing, docker_box.open_box, needs_engine=True),
    "wasm": RuntimeUnderTest(wasm_box.missing, wasm_box.open_box, needs_cache=True),
}


@pytest.fixture(scope="session")
def engine():
    """Start the container engine of this test run when the first case wants it."""
    skip_unless_there("docker", docker_box.missing())
    with private_engine() as running:
        yield running


@pytest.fixture(scope="session")
def wasm_cache(tmp_path_factory) -> Path:
    """Name the folder of compiled modules of this test run."""
    return tmp_path_factory.mktemp("wasm-cache")


@pytest.fixture(params=sorted(RUNTIMES))
def runtime(request) -> str:
    """Name one runtime that is there; without it the case is skipped, or fails in CI."""
    skip_unless_there(request.param, RUNTIMES[request.param].missing())
    return request.param


@pytest.fixture
def open_box(runtime, request) -> Callable[[Path], AbstractAsyncContextManager[Box]]:
    """Return what opens a box of one runtime in a folder."""
    under_test = RUNTIMES[runtime]
    needs = {"engine": under_test.needs_engine, "wasm_cache": under_test.needs_cache}
    shared = [request.getfixturevalue(name) for name, is_needed in needs.items() if is_needed]
    return lambda folder: under_test.open(folder, *shared)


@pytest.fixture
async def box(open_box, tmp_path) -> AsyncIterator[Box]:
    """Open a box of one runtime."""
    async with open_box(tmp_path) as opened:
        yield opened


def skip_unless_there(runtime: str, missing: str) -> None:
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"{runtime} cannot be tested, which CI must: {missing}")
    if missing:
        pytest.skip(f"{runtime}: {missing}")
