"""A loop of people in a temporary directory."""

from collections.abc import AsyncIterator

import pytest
import trio

from skyops_p2p import limits
from tests.unit.node.content.loop import Hub, Loop


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine take its time: else it may take another way than is meant."""
    monkeypatch.setattr(limits, "CONTENT_OPEN_TIMEOUT_S", 60.0)


@pytest.fixture
async def loop(tmp_path) -> AsyncIterator[Loop]:
    async with trio.open_nursery() as nursery:
        yield Loop(Hub(nursery), tmp_path)
        nursery.cancel_scope.cancel()
