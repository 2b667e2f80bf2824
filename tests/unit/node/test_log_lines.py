"""Lines are made of records, whatever the cuts between these."""

import pytest

from skyops_p2p.limits import API_LOG_LINE_CHARS_MAX
from skyops_p2p.node.log_lines import LineJoiner
from tests.gateway import fake_jobs as fj


def texts(joiner: LineJoiner, *records: str) -> list[str]:
    return [line.text for number, text in enumerate(records) for line in joiner.add(fj.line(text, number))]


@pytest.mark.parametrize(
    ("records", "lines", "rest"),
    [
        (["one\ntwo\n"], ["one", "two"], []),
        (["o", "n", "e\n", "\n"], ["one", ""], []),
        (["one\r\n", "two\r", "\nthree"], ["one", "two"], ["three"]),
        (["  3%\r 50%\r100%\n"], ["  3%\r 50%\r100%"], []),
        ([""], [], []),
    ],
)
def test_cuts_between_records_do_not_matter(records: list[str], lines: list[str], rest: list[str]) -> None:
    joiner = LineJoiner()
    assert texts(joiner, *records) == lines
    assert joiner.is_holding is bool(rest)
    assert [line.text for line in joiner.flush()] == rest
    assert not joiner.is_holding


def test_streams_shards_and_leases_are_texts_of_their_own() -> None:
    joiner = LineJoiner()
    places = [{"stream": "stderr"}, {"shard": 1}, {"epoch": 2}, {}]
    for number, place in enumerate(places):
        assert joiner.add(fj.line(f"{number}", **place)) == []
    assert [joiner.add(fj.line("\n", **place))[0].text for place in places] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_an_endless_line_is_shown_in_pieces(extra: int) -> None:
    joiner = LineJoiner()
    pieces = texts(joiner, *["x" * 1000] * (API_LOG_LINE_CHARS_MAX // 1000), "x" * (384 + extra))
    assert pieces == (["x" * API_LOG_LINE_CHARS_MAX] if extra > 0 else [])
    assert sum(map(len, pieces)) + len(joiner.flush()[0].text) == API_LOG_LINE_CHARS_MAX + extra
