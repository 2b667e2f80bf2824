"""What every test gets: its own home directory, Hypothesis profiles, and failure on an unannounced ERROR log.

Virtual time is pytest-trio's own clock fixtures. A test that expects ERROR lines says so:

    async def test_disk_full_is_reported(expected_errors):
        expected_errors.append("journal_append_failed")
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

LANES = {"tests/e2e/": "networks", "tests/ports/": "sandboxes", "tests/interop/": "sandboxes"}
"""Groups whose tests start processes or sandboxes: with xdist the tests of a lane run one after the other."""

BUSY = [HealthCheck.too_slow]
"""What a machine with other work may trip."""
settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=BUSY)
settings.register_profile("ci", max_examples=60, deadline=None, print_blob=True, suppress_health_check=BUSY)
settings.register_profile(
    "long", max_examples=20_000, deadline=None, print_blob=True, suppress_health_check=BUSY
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

HOME_VARIABLES = {
    "HOME": "",
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": "data",
    "XDG_STATE_HOME": "state",
    "XDG_CACHE_HOME": "cache",
    "XDG_RUNTIME_DIR": "run",
}


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point HOME and the XDG directories at an empty directory, and forget the caller's SKYOPS_* settings."""
    home = tmp_path_factory.mktemp("home", numbered=True)
    for name, folder in HOME_VARIABLES.items():
        monkeypatch.setenv(name, str(home / folder))
    for name in [name for name in os.environ if name.startswith("SKYOPS_")]:
        monkeypatch.delenv(name)
    return home


class Lanes(LoadScopeScheduling):
    """Spreads tests by file over the workers of `pytest -n`; those that start processes are in two lanes."""

    def _split_scope(self, nodeid: str) -> str:
        place = nodeid.partition("::")[0]
        return next((lane for start, lane in LANES.items() if place.startswith(start)), place)


@pytest.hookimpl(optionalhook=True)  # without xdist nobody calls it
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Lanes:
    """Tell xdist which tests stay together. Source: pytest-xdist, `pytest_xdist_make_scheduler`."""
    return Lanes(config, log)


class _ErrorCollector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()}")


@pytest.fixture
def expected_errors() -> list[str]:
    """Texts that may occur in this test's ERROR lines."""
    return []


@pytest.fixture(autouse=True)
def no_unannounced_errors(expected_errors: list[str]) -> Iterator[None]:
    """Fail the test if our code logged an ERROR: such a line calls for a person, so a test must expect it."""
    collector = _ErrorCollector()
    logger = logging.getLogger("skyops_p2p")
    level = logger.level
    logger.addHandler(collector)
    try:
        yield
    finally:
        logger.removeHandler(collector)
        logger.setLevel(level)
    surprises = [line for line in collector.lines if not any(text in line for text in expected_errors)]
    assert not surprises, "unannounced ERROR lines:\n" + "\n".join(surprises)
