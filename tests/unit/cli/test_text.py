"""How values look to people, log lines, the live screen, and what --join means."""

import io
import json
import logging
from pathlib import Path

import click
import pytest
from rich.console import Console

from skyops_p2p.cli.joining import guest_data_dir, resolve_join
from skyops_p2p.cli.logs import JsonFormatter, RecentLines, TextFormatter
from skyops_p2p.cli.output import (
    Column,
    ProgressLine,
    age,
    aligned,
    credits_text,
    gpu_text,
    print_table,
    short_peer,
)
from skyops_p2p.cli.screen import draw
from skyops_p2p.config import NodeConfig
from skyops_p2p.errors import ConfigError
from skyops_p2p.node.run_file import write_run_file
from skyops_p2p.testnet.record import NodeEntry, TestnetRecord, write_record
from tests.gateway.conftest import ALICE, BOB, FakeNode


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172_800, "2d")],
)
def test_ages(seconds: float | None, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("micro", "text"), [(0, "0"), (1, "0.000001"), (1_500_000, "1.5"), (1_000_000, "1"), (10_000_000, "10")]
)
def test_credits(micro: int, text: str) -> None:
    assert credits_text(micro) == text


@pytest.mark.parametrize(
    ("gpus", "text"),
    [
        ([], "-"),
        ([("A100", 81_920)], "A100 80G"),
        ([("RTX4090", 24_576)] * 2, "2x RTX4090 24G"),
        ([("A100", 81_920), ("H100", 81_920)], "A100 80G, H100 80G"),
    ],
)
def test_gpus(gpus: list[tuple[str, int]], text: str) -> None:
    assert gpu_text(gpus) == text


def test_short_peer_ids_are_the_end_of_the_long_ones() -> None:
    assert BOB.endswith(short_peer(BOB))
    assert len(short_peer(BOB)) == 8


def test_aligned_text_has_columns_under_each_other() -> None:
    columns = [Column("NAME"), Column("COUNT", is_right=True)]
    assert aligned(columns, [("a", "1"), ("long name", "10")]) == [
        "NAME       COUNT",
        "a              1",
        "long name     10",
    ]
    assert aligned(columns, []) == ["NAME  COUNT"]


@pytest.mark.parametrize("is_color", [True, False])
def test_colours_only_if_wanted(
    is_color: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("skyops_p2p.cli.output.is_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    print_table([Column("STATE")], [("active",)], is_color=is_color)
    assert ("\x1b[32m" in capsys.readouterr().out) is is_color


WIDE = [Column("PEER"), Column("STATE"), Column("FAILS", is_right=True), Column("WHY", is_wrapped=True)]
ROWS = [
    ("NZwa92sq", "dead", "1", "it has not answered for half a minute"),
    ("zUmoTut7", "active", "0", "-"),
]


@pytest.mark.parametrize(("columns", "is_table"), [(80, True), (39, True), (38, False), (20, False)])
def test_a_terminal_too_narrow_for_a_table_gets_every_cell_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int, is_table: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table(WIDE, ROWS, is_color=False)
    lines = click.unstyle(capsys.readouterr().out).splitlines()
    assert ("PEER  " in lines[0] and "FAILS" in lines[0]) is is_table
    told = " ".join(" ".join(lines).split())
    assert all(cell in told for row in ROWS for cell in row[:3])
    if is_table:
        assert max(map(len, lines)) <= columns
    else:
        assert lines == [
            "PEER   NZwa92sq",
            "STATE  dead",
            "FAILS  1",
            "WHY    it has not answered for half a minute",
            "",
            "PEER   zUmoTut7",
            "STATE  active",
            "FAILS  0",
        ]


def test_a_live_line_is_cut_to_the_terminal_and_cleared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with ProgressLine() as progress:
        progress.show("x" * 50)
        progress.show("x" * 50)  # the same again prints nothing
    assert capsys.readouterr().err == f"\r\x1b[K{'x' * 17} …\r\x1b[K"


def test_without_a_terminal_nothing_is_told_on_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine() as progress:
        progress.show("at work")
    assert capsys.readouterr() == ("", "")


# --- logs -------------------------------------------------------------------------------------------------------
def record_of(message: str, *arguments: object, **more: object) -> logging.LogRecord:
    return logging.LogRecord("skyops_p2p.node", logging.INFO, __file__, 1, message, arguments, None, **more)  # type: ignore[arg-type]


def test_text_lines_begin_with_time_and_level() -> None:
    line = TextFormatter().format(record_of("node_ready peer=%s", "bob"))
    time, level, rest = line.split(None, 2)
    assert (time[-1], level, rest) == ("Z", "info", "node_ready peer=bob")


def test_json_lines_carry_the_fields() -> None:
    entry = json.loads(JsonFormatter().format(record_of('stopped peer=%s reason="by hand" code=7', "bob")))
    assert (entry["event"], entry["peer"], entry["reason"], entry["code"]) == (
        "stopped",
        "bob",
        "by hand",
        "7",
    )
    assert entry["level"] == "info"


def test_json_fields_cannot_forge_the_level() -> None:
    entry = json.loads(JsonFormatter().format(record_of("x level=error time=never")))
    assert entry["level"] == "info"
    assert entry["time"] != "never"


def test_json_lines_stay_one_line_with_a_traceback() -> None:
    try:
        raise ValueError("boom")
    except ValueError as error:
        record = record_of("failed")
        record.exc_info = (type(error), error, error.__traceback__)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "ValueError: boom" in json.loads(line)["traceback"]


# --- screen -----------------------------------------------------------------------------------------------------
def drawn(*, width: int, height: int) -> str:
    node = FakeNode()
    recent = RecentLines()
    for number in range(20):
        recent.emit(record_of("event_%s happened", number))
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(draw(node.status(), node.map() * 40, recent.lines, height=height, ask="skyops map"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_screen_shows_who_whom_and_what() -> None:
    text = drawn(width=120, height=40)
    assert ALICE in text
    assert "0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B" in text
    assert f"/p2p/{ALICE}" in text
    assert short_peer(BOB) in text
    assert "event_19" in text
    assert "event_13" not in text
    assert "more: skyops map" in text
    assert "Ctrl-C" in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
def test_screen_fits_the_terminal(width: int, height: int) -> None:
    lines = drawn(width=width, height=height).splitlines()
    assert len(lines) <= height
    assert max(len(line) for line in lines) <= width


# --- joining ----------------------------------------------------------------------------------------------------
ADDR = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWbob"


def lay_out(directory: Path) -> TestnetRecord:
    directory.mkdir(parents=True)
    entry = NodeEntry(name="node-1", peer_id="12D3KooWbob", port=1, gpus=(), region="", is_worker=True)
    record = TestnetRecord(
        name="net",
        network="testnet-1",
        chain_id=5,
        beat_s=1.0,
        created_unix_ms=1,
        nodes=(entry,),
        psk_file="psk",
    )
    write_record(directory, record)
    return record


def test_address_needs_a_network() -> None:
    assert resolve_join([ADDR], network="skyops") == ({"network.bootstrap": [ADDR]}, None)
    with pytest.raises(ConfigError) as error:
        resolve_join([ADDR], network=None)
    assert error.value.code == "join_invalid"


def test_directory_says_everything(tmp_path: Path) -> None:
    lay_out(tmp_path / "net")
    settings, directory = resolve_join([str(tmp_path / "net")], network=None)
    assert directory == tmp_path / "net"
    assert settings["network.name"] == "testnet-1"
    assert settings["network.chain_id"] == 5
    assert settings["network.bootstrap"] == [ADDR]
    assert settings["network.psk_file"] == str(tmp_path / "net" / "psk")
    assert settings["is_testnet"] is True


def test_directory_of_another_network_is_refused(tmp_path: Path) -> None:
    lay_out(tmp_path / "net")
    with pytest.raises(ConfigError, match="'testnet-1', not 'skyops'"):
        resolve_join([str(tmp_path / "net")], network="skyops")


def test_nothing_to_join_is_fine() -> None:
    assert resolve_join([], network=None) == ({}, None)


def test_guests_get_directories_of_their_own(tmp_path: Path) -> None:
    first = guest_data_dir(tmp_path)
    assert first == guest_data_dir(tmp_path)
    write_run_file(NodeConfig(data_dir=first), url="http://127.0.0.1:1", token="x")
    assert guest_data_dir(tmp_path) == tmp_path / "guests" / "guest-2"
