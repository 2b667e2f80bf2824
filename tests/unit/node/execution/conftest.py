from collections.abc import Iterator

import pytest

from skyops_p2p.simulation.threads import threads_in_place


@pytest.fixture(autouse=True)
def _no_threads() -> Iterator[None]:
    with threads_in_place():
        yield
