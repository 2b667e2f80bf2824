"""Imports point down, and the pure layers stay pure: the contracts of pyproject.toml hold."""

import subprocess
import sys
from pathlib import Path

from tests.repo.source_tree import ROOT


def test_import_contracts_hold() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    assert command.exists(), "the tests need the extra `lint`: pip install -e '.[test,lint]'"
    run = subprocess.run(
        [str(command), "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-1000:]
