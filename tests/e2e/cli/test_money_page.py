"""docs/money.md: a person's first hour with money, every command as it is printed there, on an embedded chain."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skyops_p2p.cli.main import run_main
from tests.e2e.conftest import ROOT, Ran

pytestmark = [pytest.mark.process, pytest.mark.net]
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
TOLD = {
    "skyops wallet deposit 100 SKYOPS": "moves 100 SKYOPS from the wallet to the deposit",
    "skyops stake add 100 SKYOPS": "registers the node with a stake of 100 SKYOPS, burning 5 SKYOPS besides",
    "skyops stake status": "active",
    "skyops stake add 20 SKYOPS": "adds 20 SKYOPS to the stake",
    "skyops wallet collect": "There was nothing to do.",
}
"""Command -> what it says, among other things."""


def commands() -> list[tuple[str, str]]:
    """Return (command, code of the error that it is to end with or "") of the page."""
    lines = "".join(CONSOLE.findall((ROOT / "docs/money.md").read_text(encoding="utf-8"))).splitlines()
    found: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith("$ "):
            found.append((line[2:], ""))
        else:
            hit = re.fullmatch(r"error\[(\w+)\]", line)
            assert hit, line
            found[-1] = (found[-1][0], hit[1])
    return found


@pytest.fixture
def no_chain_is_left(skyops: Callable[..., Ran]) -> Iterator[None]:
    yield
    skyops("chain", "stop")


@pytest.mark.usefixtures("no_chain_is_left")
def test_every_command_of_the_page_works(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for line, wanted in commands():
        words = shlex.split(line)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            monkeypatch.setenv(name, value)
            continue
        code = run_main(words[1:])
        told = capsys.readouterr()
        assert (code == 0) is (wanted == ""), f"{line}: {told.err}"
        assert not wanted or f"error[{wanted}]" in told.err, f"{line}: {told.err}"
        assert TOLD.get(line, "") in told.out, f"{line}: {told.out}"
    _, out = run_main(["wallet", "balance", "--json"]), capsys.readouterr().out
    assert '"deposit_wei": "100000000000000000000"' in out
