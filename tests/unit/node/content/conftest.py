"""A loop of people in a temporary directory."""

from collections.abc import AsyncIterator

import pytest
import trio

from tests.unit.node.content.loop import Hub, Loop


@pytest.fixture
async def loop(tmp_path) -> AsyncIterator[Loop]:
    async with trio.open_nursery() as nursery:
        yield Loop(Hub(nursery), tmp_path)
        nursery.cancel_scope.cancel()
