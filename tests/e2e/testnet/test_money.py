"""A person's money on a test network: while the node runs it sends, afterwards the commands do, and never both."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from skyops_p2p.testnet.chain.market import DEPOSITED, ONE
from tests.e2e.conftest import Ran

pytestmark = [pytest.mark.process, pytest.mark.net]
Skyops = Callable[..., Ran]


@pytest.fixture
def buyer(skyops: Skyops, tmp_path: Path) -> Iterator[Path]:
    """Bring up a network of one node that buys; yield its data directory."""
    topology = tmp_path / "t.toml"
    topology.write_text('[network]\nbeat_s = 1.0\n[[nodes]]\nname = "buyer"\nworker = false\n')
    try:
        up = skyops("testnet", "up", "--topology", str(topology))
        assert up.code == 0, up.err
        yield Path(json.loads(skyops("testnet", "status", "--json").out)["directory"]) / "nodes" / "buyer"
    finally:
        skyops("testnet", "down")


def test_the_running_node_sends_and_then_the_commands_do(skyops: Skyops, buyer: Path) -> None:
    def ask(*words: str) -> Any:
        ran = skyops("--data-dir", str(buyer), *words, "--json")
        assert ran.code == 0, ran.err
        return json.loads(ran.out)

    def deposit_wei() -> int:
        return int(ask("wallet", "balance")["tokens"][0]["deposit_wei"])

    assert deposit_wei() == DEPOSITED
    sent = [ask("wallet", "deposit", "5 SKYOPS", "--key", "once") for _ in range(2)]
    assert [one["is_done"] for one in sent] == [True, True]
    assert sent[0]["steps"][0]["transaction"] == sent[1]["steps"][0]["transaction"]
    assert deposit_wei() == DEPOSITED + 5 * ONE
    # A command that would send beside the node does not get the store.
    beside = skyops("--data-dir", str(buyer), "chain", "deploy", "--another")
    assert (beside.code, "error[store_locked]" in beside.err) == (5, True), beside.err
    refused = skyops("--data-dir", str(buyer), "wallet", "withdraw", "1000000 SKYOPS")
    assert (refused.code, "error[deposit_short]" in refused.err) == (7, True), refused.err

    assert skyops("testnet", "kill", "buyer").code == 0
    assert ask("wallet", "deposit", "5 SKYOPS", "--key", "once")["is_done"]  # the journal outlives the node
    assert deposit_wei() == DEPOSITED + 5 * ONE
    assert ask("wallet", "deposit", "1 SKYOPS", "--key", "twice")["is_done"]
    assert deposit_wei() == DEPOSITED + 6 * ONE
