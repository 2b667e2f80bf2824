"""A small campaign on real processes: what is hurt comes back, what is submitted ends, and the money is right."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Ran

pytestmark = [pytest.mark.process, pytest.mark.net, pytest.mark.slow]

SEED = "57"
"""A worker and the requester are killed, the network is cut, the chain stands still, and forgets two blocks."""
TIMEOUT_S = 900.0


def test_nothing_is_lost_while_nodes_network_and_chain_are_hurt(
    skyops: Callable[..., Ran], tmp_path: Path
) -> None:
    sizes = ("--seed", SEED, "--jobs", "8", "--nodes", "4")
    done = skyops("testnet", "chaos", *sizes, "--report", str(tmp_path), "--json", timeout_s=TIMEOUT_S)
    assert done.out, done.err
    told = json.loads(done.out)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert (done.code, told["breaches"]) == (0, []), text
    assert f"Seed {SEED}, 8 jobs, 4 nodes" in text
    assert "| train | `succeeded` |" in text
    assert "| kill requester | 1 |" in text
    assert "took back 2 blocks; after 1 of 1 the chain had forgotten" in text
    assert not json.loads(skyops("testnet", "list", "--json").out)
