"""The files for operators: the unit as systemd reads it, and what the image is made of."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from skyops_p2p.cli.main import cli
from skyops_p2p.config import describe_settings
from skyops_p2p.errors import ConfigError, IdentityError
from tests.repo.source_tree import ROOT, expect_none, text_of, tracked_files

UNIT = text_of("deploy/skyops.service")
RECIPE = text_of("deploy/Dockerfile")


def test_a_node_has_time_to_leave() -> None:
    (grace,) = (setting.default for setting in describe_settings() if setting.name == "worker.leave_grace_s")
    stops = [int(text) for text in re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)]
    stops += [int(text) for text in re.findall(r"--stop-timeout (\d+)", text_of("docs/operations.md"))]
    assert len(stops) == 2
    assert all(stop > float(str(grace)) for stop in stops)


def test_what_does_not_mend_itself_is_not_started_again() -> None:
    assert f"RestartPreventExitStatus={ConfigError.exit_code} {IdentityError.exit_code}\n" in UNIT


def test_systemd_can_read_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: apt-get install systemd)")
    there = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT, flags=re.MULTILINE)
    (tmp_path / "skyops.service").write_text(there)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "skyops.service")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    mistakes = [line for line in ran.stderr.splitlines() if "skyops.service:" in line]
    assert (ran.returncode, mistakes) == (0, [])


def test_the_image_is_made_of_files_that_are_there() -> None:
    sources = [
        word
        for line in re.findall(r"^COPY (?!--from)(.+)$", RECIPE, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    files = tracked_files()
    expect_none(
        name for name in sources if not any(file == name or file.startswith(f"{name}/") for file in files)
    )
    kept = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(sources) == kept


def test_the_image_runs_a_command_that_is_there() -> None:
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", RECIPE, re.MULTILINE)
    (words,) = re.findall(r"^CMD (.+)$", RECIPE, re.MULTILINE)
    assert json.loads(entry) == ["skyops"]
    name, *options = json.loads(words)
    context = cli.make_context("skyops", [], resilient_parsing=True)
    command = cli.get_command(context, name)
    assert command is not None
    command.make_context(
        name, options, parent=context
    )  # without a parent the command would keep another --help
