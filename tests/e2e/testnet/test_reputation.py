"""Receipts and scores on a real network: who had no part in a job has its receipt, and comes to the same scores."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Ran, wait_until

pytestmark = [pytest.mark.process, pytest.mark.net]
Skyops = Callable[..., Ran]
NODES = ("node-1", "node-2", "node-3")
JOB = "digits-wasm"


@pytest.fixture
def network(skyops: Skyops) -> Iterator[Path]:
    """A network of three workers with contracts; its directory."""
    up = skyops("testnet", "up", "--nodes", "3")
    assert up.code == 0, up.err
    try:
        yield Path(json.loads(skyops("testnet", "status", "--json").out)["directory"])
    finally:
        skyops("testnet", "down")


def test_a_third_node_has_the_receipt_and_the_same_scores(
    skyops: Skyops, network: Path, tmp_path: Path
) -> None:
    def ask(name: str, *words: str) -> Any:
        ran = skyops("--data-dir", str(network / "nodes" / name), *words, "--json")
        assert ran.code == 0, ran.err
        return json.loads(ran.out)

    def worker_of(name: str) -> str:
        (lane,) = ask(name, "billing", JOB)["lanes"]
        return next(one for one in NODES if ask(one, "status")["peer_id"] == lane["peer_id"])

    shutil.copytree(ROOT / "examples" / "digits", tmp_path / "digits")
    file = tmp_path / "digits" / "job-wasm.toml"
    file.write_text(file.read_text().replace('"--epochs", "300"', '"--epochs", "10"'))
    wallets = {name: ask(name, "status")["wallet"] for name in NODES}
    submitted = skyops("--data-dir", str(network / "nodes" / "node-1"), "submit", str(file), "--watch")
    assert submitted.code == 0, submitted.out + submitted.err
    worker = worker_of("node-1")
    third = next(name for name in NODES if name not in ("node-1", worker))

    def third_holds_it() -> bool:
        rows = ask(third, "receipts")["receipts"]
        return [(row["requester"], row["worker"], row["is_signed_by_both"]) for row in rows] == [
            (wallets["node-1"], wallets[worker], True)
        ]

    wait_until(third_holds_it, what="the third node has the receipt")
    skyops("--data-dir", str(network / "nodes" / worker), "settle")

    def scores(name: str) -> list[dict[str, Any]]:
        return [
            {key: its for key, its in row.items() if key != "own_credibility"}
            for row in ask(name, "reputation")["rows"]
        ]

    def has_counted(name: str) -> bool:
        return any(row["good_micro"] and row["wallet"] == wallets[worker] for row in scores(name))

    for name in NODES:
        wait_until(partial(has_counted, name), what=f"{name} has counted it")
    is_alike = lambda: scores("node-1") == scores(worker) == scores(third)  # noqa: E731
    wait_until(is_alike, what="all have the same scores")

    explained = ask(third, "reputation", wallets[worker], "--explain")
    (source,) = explained["explanations"][0]["sources"]
    assert (source["rater"], source["kind"]) == (wallets["node-1"], "good")
    text = skyops(
        "--data-dir", str(network / "nodes" / third), "reputation", wallets[worker], "--explain"
    ).out
    assert "What would change it" in text
    assert "above the gate" in text
