"""A job matched on a real network of processes, from the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Ran

pytestmark = [pytest.mark.process, pytest.mark.net]
Skyops = Callable[..., Ran]


def test_job_is_written_checked_matched_and_audited(skyops: Skyops, tmp_path: Path) -> None:
    assert skyops("testnet", "up", "--nodes", "3", "--no-chain").code == 0
    try:
        status = json.loads(skyops("testnet", "status", "--json").out)
        data_dir = str(Path(status["directory"]) / "nodes" / "node-1")
        job = tmp_path / "job.toml"
        job.write_text(
            'name = "t"\nruntime = "wasm"\nmodule = "file:t.wasm"\n[resources.gpu]\nvram = "12Gi"\n'
        )
        poc = tmp_path / "poc.toml"
        poc.write_text('runtime = "wasm"\nmodule = "file:t.wasm"\n[award]\npolicy = "poc"\n')
        checked = json.loads(skyops("--data-dir", data_dir, "job", "check", str(job), "--json").out)
        assert checked["preview"]["qualified"] >= 1

        for node in status["nodes"][1:]:
            proved = skyops("--data-dir", data_dir, "node", "prove", node["peer_id"], "--json")
            assert proved.code == 0, proved.err
            assert json.loads(proved.out)["throughput"] > 0

        matched = skyops("--data-dir", data_dir, "match", str(job), "--json")
        ended = json.loads(matched.out)
        assert (matched.code, ended["is_matched"]) == (0, True)
        audited = skyops("--data-dir", data_dir, "audit", ended["job_id"][:12])
        assert audited.code == 0, audited.out
        # Soon: the first award lapses in a minute, as no job follows.
        by_proof = json.loads(skyops("--data-dir", data_dir, "match", str(poc), "--json").out)
        assert by_proof["is_matched"], by_proof
        assert by_proof["winner"] != ended["winner"], "that one holds the first job"
        assert skyops("--data-dir", data_dir, "audit", by_proof["job_id"][:12]).code == 0
        (book,) = (Path(data_dir) / "books").glob(f"*{ended['job_id'][:12]}*.book")
        copy = tmp_path / "elsewhere.book"
        data = bytearray(book.read_bytes())
        copy.write_bytes(data)
        assert skyops("audit", str(copy)).code == 0  # on any machine, without a node
        data[len(data) // 2] ^= 1
        copy.write_bytes(data)
        assert skyops("audit", str(copy)).code == 9

        job.write_text('runtime = "wasm"\nmodule = "file:t.wasm"\n[resources]\ngpu = "8xB200"\n')
        refused = skyops("--data-dir", data_dir, "match", str(job))
        assert refused.code == 10
        assert "gpu_" in refused.out
        assert "no match" in refused.out
    finally:
        skyops("testnet", "down")
