from collections.abc import Iterator

import pytest

from skyops_p2p.simulation.threads import threads_in_place
from tests.unit.node.jobs.canary_world import SlowRuns, slow_runs


@pytest.fixture(autouse=True)
def _no_threads() -> Iterator[None]:
    with threads_in_place():
        yield


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowRuns:
    """Runs of a node's own that take as long as the test says."""
    return slow_runs(monkeypatch)
