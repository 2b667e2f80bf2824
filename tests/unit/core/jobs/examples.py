"""Jobs that the tests of specifications share."""

from typing import Any

from skyops_p2p.core.jobs.problems import check_spec
from skyops_p2p.core.jobs.spec import JobSpec

PUBLISHED: dict[str, Any] = {
    "image": "pytorch/pytorch:latest",
    "command": "python train.py --epochs 50",
    "resources": {"gpu": "1xRTX4090", "cpu": 4, "memory": "16Gi"},
    "input_data": "ipfs://QmDataHash",
    "output_dest": "/results",
}
"""The published short form, as it stands."""
ALICE = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
BOB = "12D3KooWLJtG8fd2hkQzTn96MrLvThmnNQjTUFZwGEsLRz5EmSzc"

FULL: dict[str, Any] = {
    "name": "resnet-50",
    "runtime": "docker",
    "image": "pytorch/pytorch@sha256:" + "ab" * 32,
    "command": ["python", "train.py"],
    "args": ["--epochs", "50"],
    "env": {"LR": "0.1"},
    "secrets": ["HF_TOKEN", {"name": "DB", "source": "file:db.txt", "path": "/run/db"}],
    "inputs": [
        {"path": "/data", "uri": "ipfs://bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3", "size": "3Gi"}
    ],
    "outputs": [{"path": "/results", "uri": "file:out", "is_required": False}],
    "resources": {
        "gpu": {"count": 2, "models": ["RTX 4090", "A100"], "vram": "24Gi", "compute_capability": "8.0"},
        "cpu": 8,
        "memory": "64Gi",
        "disk": "100Gi",
        "network": ["data.example.org:443", "*.huggingface.co"],
    },
    "mode": {"kind": "flex", "notice": "1m", "preemptions_max": 5},
    "price": {"per_hour_max": 2.5, "total_max": "40", "token": "ETH"},
    "award": {"policy": "wrr", "price": 0.7, "reputation": 0.1, "fit": 0.1, "latency": 0.1},
    "deadline": "2027-01-31T18:00:00+01:00",
    "timeouts": {"queue": "5m", "execution": "8h", "total": "1d"},
    "retry": {"attempts_max": 5, "exit_codes": [75, 137], "is_after_loss": False, "pause": 30},
    "checkpoint": {"path": "/checkpoint", "interval": "10m"},
    "verification": {"class": "numeric", "redundancy": 2, "tolerance": "0.001"},
    "placement": {
        "regions": ["eu", "us"],
        "latency_ms_max": 120,
        "labels": ["tier=gold"],
        "allow": [ALICE],
        "deny": [BOB],
        "data_locality": 1,
        "hard_limits": True,
        "reputation_min": 0.3,
    },
    "shards": 4,
    "gang": True,
    "depends_on": ["prepare"],
}
"""Every field, none at its default."""


def spec(**changes: Any) -> JobSpec:
    """Return a small valid job with some fields changed."""
    return JobSpec.model_validate({"image": "python:3.12", "command": "true"} | changes)


def problems(tree: object) -> list[str]:
    """Return what is wrong with a job, one sentence each."""
    found, mistakes = check_spec(tree)
    assert (found is None) == bool(mistakes)
    return [str(mistake) for mistake in mistakes]
