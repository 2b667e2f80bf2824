"""A small trust campaign on real processes: cheats are found out, and all others come to the same scores."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Ran

pytestmark = [pytest.mark.process, pytest.mark.net, pytest.mark.slow]

SEED = "1"
TIMEOUT_S = 900.0


def test_no_wrong_result_reaches_a_user_and_all_honest_nodes_have_the_same_scores(
    skyops: Callable[..., Ran], tmp_path: Path
) -> None:
    sizes = ("--seed", SEED, "--nodes", "6", "--misbehaving", "2", "--jobs", "4")
    done = skyops("testnet", "trust", *sizes, "--report", str(tmp_path), "--json", timeout_s=TIMEOUT_S)
    assert done.out, done.err
    told = json.loads(done.out)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert (done.code, told["breaches"]) == (0, []), text
    assert sorted(told["misbehaving"].values()) == ["wrong-at-times", "wrong-result"]
    assert all(job["is_right"] for job in told["jobs"]), text
    found = {name: fault for job in told["jobs"] for name, fault in job["faults"].items()}
    assert "wrong" in found.values(), text
    assert found.keys() <= told["misbehaving"].keys(), text
    assert not json.loads(skyops("testnet", "list", "--json").out)
