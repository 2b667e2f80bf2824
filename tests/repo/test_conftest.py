"""The safety net itself: an unannounced ERROR fails a test, an announced one does not, homes are separate."""

import logging
import os
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

LOGGING_TESTS = """
import logging

def test_surprise():
    logging.getLogger("skyops_p2p.node").error("journal_append_failed peer=%s", "x")

def test_announced(expected_errors):
    expected_errors.append("journal_append_failed")
    logging.getLogger("skyops_p2p.node").error("journal_append_failed peer=%s", "x")

def test_warning_is_fine():
    logging.getLogger("skyops_p2p.node").warning("dial_failed")
"""


def test_unannounced_error_line_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest((Path(__file__).parents[1] / "conftest.py").read_text())
    pytester.makepyfile(LOGGING_TESTS)
    # In a process of its own: in this one, modules that it imports first would be dropped after it, half of their C
    # libraries stay, and can never be imported again.
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*unannounced ERROR lines*"])


def test_home_is_empty_and_not_the_callers(own_home: Path) -> None:
    assert list(own_home.iterdir()) == []
    assert os.environ["HOME"] == str(own_home)
    assert os.environ["XDG_DATA_HOME"].startswith(str(own_home))


@pytest.fixture
def announced(expected_errors: list[str]) -> None:
    expected_errors.append("as announced")


@pytest.mark.usefixtures("announced")
def test_fixtures_can_announce_errors() -> None:
    logging.getLogger("skyops_p2p.anything").error("this went wrong as announced")
