"""The spinner: on a terminal it names what lets wait for long, and leaves nothing; elsewhere it says nothing."""

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from skyops_p2p.cli import output
from skyops_p2p.cli import waiting as module
from skyops_p2p.cli.invocation import Invocation
from skyops_p2p.cli.output import ProgressLine
from skyops_p2p.cli.waiting import taken_line, waiting
from skyops_p2p.node.control_client import ControlClient
from tests.unit.cli.fake_client import stand_in_front

PATIENCE_S = 30.0


class Terminal(io.StringIO):
    """Tells when something was drawn and flushed."""

    def __init__(self, *, encoding: str = "utf-8") -> None:
        super().__init__()
        self.drawn = threading.Event()
        self._encoding = encoding

    @property
    def encoding(self) -> str:
        return self._encoding

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        self.drawn.set()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    found = Terminal()
    _put(monkeypatch, found)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return found


def _put(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    """Put a terminal at the modules' standard error: pytest puts its own back between a fixture and its test."""
    for one in (module, output):
        monkeypatch.setattr(one, "sys", SimpleNamespace(stderr=terminal, stdout=sys.stdout))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DELAY_S", 0.0)


def test_a_terminal_sees_what_is_waited_for_until_it_is_over(terminal: Terminal, at_once: None) -> None:
    with waiting("asking bob"):
        assert terminal.drawn.wait(PATIENCE_S)
    text = terminal.getvalue()
    assert "asking bob" in text
    assert text.endswith("\r\x1b[2K")  # the line is cleared at the end
    assert "\n" not in text


def test_what_takes_a_moment_shows_nothing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DELAY_S", PATIENCE_S)
    with waiting("asking bob"):
        pass
    assert terminal.getvalue() == ""


def test_what_takes_long_tells_how_long(
    terminal: Terminal, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TELLS_TIME_S", 0.0)
    with waiting("asking bob"):
        assert terminal.drawn.wait(PATIENCE_S)
    assert "asking bob, 0 s" in terminal.getvalue()


@pytest.mark.parametrize(("is_color", "no_color"), [(True, ""), (False, ""), (True, "1")])
def test_colours_can_be_switched_off(
    terminal: Terminal, at_once: None, monkeypatch: pytest.MonkeyPatch, is_color: bool, no_color: str
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    with waiting("asking bob", is_color=is_color):
        assert terminal.drawn.wait(PATIENCE_S)
    assert ("\x1b[32m" in terminal.getvalue()) == (is_color and not no_color)


def test_a_terminal_without_these_letters_gets_others(
    at_once: None, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Terminal(encoding="ascii")
    _put(monkeypatch, plain)
    with waiting("asking bob", is_color=False):
        assert plain.drawn.wait(PATIENCE_S)
    assert plain.getvalue().isascii()


@pytest.mark.parametrize("kind", ["dumb", None])
def test_a_terminal_that_cannot_clear_a_line_sees_nothing(
    terminal: Terminal, at_once: None, monkeypatch: pytest.MonkeyPatch, kind: str | None
) -> None:
    monkeypatch.delenv("TERM")
    if kind is not None:
        monkeypatch.setenv("TERM", kind)
    with waiting("asking bob"):
        pass
    assert terminal.getvalue() == ""


@contextmanager
def outer(kind: str) -> Iterator[None]:
    if kind == "screen":
        with taken_line():
            yield
    elif kind == "progress":
        with ProgressLine() as progress:
            progress.show("at work")
            yield
    else:
        with waiting("asking bob"):
            yield


@pytest.mark.parametrize("kind", ["screen", "progress", "spinner"])
def test_one_thing_at_a_time_is_drawn(terminal: Terminal, at_once: None, kind: str) -> None:
    before = threading.active_count()
    with outer(kind):
        count = threading.active_count()
        with waiting("asking carol"):
            assert threading.active_count() == count
    assert "asking carol" not in terminal.getvalue()
    assert threading.active_count() == before
    with waiting("asking dave"):  # the line is free again
        terminal.drawn.clear()
        assert terminal.drawn.wait(PATIENCE_S)
    assert "asking dave" in terminal.getvalue()


def test_without_a_terminal_nothing_is_said(
    capsys: pytest.CaptureFixture[str], at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    with waiting("asking bob"):
        pass
    assert capsys.readouterr() == ("", "")


def test_an_error_passes_through_and_leaves_a_clear_line(terminal: Terminal, at_once: None) -> None:
    def ask() -> None:
        assert terminal.drawn.wait(PATIENCE_S)
        raise ValueError("bob is away")

    with pytest.raises(ValueError, match="bob is away"), waiting("asking bob"):
        ask()
    assert terminal.getvalue().endswith("\r\x1b[2K")


def test_whoever_asks_the_node_sees_a_spinner(
    terminal: Terminal, at_once: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in_front(monkeypatch)

    class Answer:
        def read(self, _bytes_max: int) -> bytes:
            assert terminal.drawn.wait(PATIENCE_S)
            return b'{"peers": []}'

    monkeypatch.setattr(ControlClient, "_send", lambda *_arguments: Answer())
    invocation = Invocation(tmp_path, None, {}, is_color=False, is_debug=False)
    assert invocation.client().peers() == ()
    assert "asking the node" in terminal.getvalue()
