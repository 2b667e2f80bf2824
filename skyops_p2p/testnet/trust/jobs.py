"""The jobs of a campaign as specifications: short trainings whose result is the same on every machine."""

from typing import Any

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.testnet.trust.plan import JobPlan

_EPOCHS = 4
_PAUSE_MS = 400
"""After each epoch, so that a meter has something to count."""


def job_tree(plan: JobPlan, peers: dict[str, str]) -> dict[str, object]:
    """Return a job as the control API takes it; files are relative to examples/digits.

    Args:
        plan: The job.
        peers: Name of a node -> its peer id.
    """
    tree: dict[str, Any] = {
        "name": plan.name,
        "runtime": "wasm",
        "module": "file:train_c/train.wasm",
        "args": [
            *("--epochs", str(_EPOCHS), "--hidden", "8", "--sleep-ms", str(_PAUSE_MS)),
            *("--seed", str(plan.answer + 1)),
        ],
        "inputs": [{"path": "/data", "uri": "file:data"}],
        "outputs": [{"path": "/results"}],
        "resources": {"cpu": 1, "memory": "64Mi", "disk": "16Mi"},
        "timeouts": {"queue": "1h", "execution": "5m"},
        "retry": {"attempts_max": 8, "pause": 1, "is_after_loss": True},
    }
    if plan.redundancy > 1:
        tree["verification"] = {"class": "exact", "redundancy": plan.redundancy}
    if plan.only:
        tree["placement"] = {"allow": [peers[plan.only]]}
    return JobSpec.model_validate(tree).model_dump(mode="json", by_alias=True, exclude_none=True)
