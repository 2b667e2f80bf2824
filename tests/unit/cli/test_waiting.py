"""The spinner: on a terminal it names what is waited for and leaves nothing; elsewhere it says nothing."""

import io

import pytest

from skyops_p2p.cli.waiting import waiting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_what_is_waited_for_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with waiting("asking bob"):
        pass
    assert "asking bob" in terminal.getvalue()
    assert terminal.getvalue().rstrip().endswith("\x1b[2K")  # the line is cleared at the end


def test_colours_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {}
    for is_color in (True, False):
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setenv("TERM", "xterm-256color")
        with waiting("asking bob", is_color=is_color):
            pass
        told[is_color] = terminal.getvalue()
    assert "\x1b[32m" in told[True]
    assert "\x1b[32m" not in told[False]


def test_without_a_terminal_nothing_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    with waiting("asking bob"):
        pass
    assert capsys.readouterr() == ("", "")


def test_an_error_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    with pytest.raises(ValueError, match="bob is away"), waiting("asking bob"):
        raise ValueError("bob is away")
