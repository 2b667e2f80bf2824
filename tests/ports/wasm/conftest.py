"""Fixtures: one sandbox for each test, with compiled modules of its own."""

from collections.abc import AsyncIterator

import pytest

from skyops_p2p.adapters.wasm import open_wasm_sandbox
from tests.ports.wasm.workbench import Workbench


@pytest.fixture
async def bench(tmp_path) -> AsyncIterator[Workbench]:
    sandbox = open_wasm_sandbox(tmp_path / "data")
    assert sandbox is not None
    async with sandbox:
        yield Workbench(sandbox, tmp_path / "mounts")
