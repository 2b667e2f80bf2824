"""The jobs of a campaign as specifications: short trainings on handwritten digits, some of which must fail."""

from typing import Any

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.testnet.chaos.plan import JobPlan

EPOCHS = 16
PAUSE_MS = 300
"""After each epoch: a training lasts five seconds, long enough to be hurt."""
SHARDS = 4
TIGHT_TOTAL = 0.0004
"""Credits for a whole job that would cost more than twice as much on the cheapest worker."""
_WATCHED = ("--epochs", str(EPOCHS), "--hidden", "16", "--save-every", "1", "--sleep-ms", str(PAUSE_MS))
_QUICK = ("--epochs", "4", "--hidden", "8")
_RETRY = {"attempts_max": 16, "pause": 1, "is_after_loss": True}
"""As many as there may be: no job may be given up for what happens to its workers."""


def job_tree(plan: JobPlan) -> dict[str, object]:
    """Return a job as the control API takes it; files are relative to examples/digits."""
    args: tuple[str, ...] = (
        _QUICK if plan.kind in ("quick", "after", "orphan", "output_missing") else _WATCHED
    )
    tree: dict[str, Any] = {
        "name": plan.name,
        "runtime": "wasm",
        "module": "file:train_c/train.wasm",
        "args": (*args, "--seed", str(plan.seed)),
        "inputs": [{"path": "/data", "uri": "file:data"}],
        "outputs": [{"path": "/results"}],
        "resources": {"cpu": 1, "memory": "64Mi", "disk": "16Mi"},
        "timeouts": {"queue": "1h", "execution": "5m"},
        "retry": _RETRY,
    }
    if args is _WATCHED:
        tree["checkpoint"] = {"path": "/checkpoint", "interval": "1s"}
    tree |= _special(plan)
    if plan.needs and plan.kind == "after":
        tree["inputs"] = [*tree["inputs"], {"path": "/before", "uri": f"job:{plan.needs}"}]
    elif plan.needs:
        tree["depends_on"] = [plan.needs]
    return JobSpec.model_validate(tree).model_dump(mode="json", by_alias=True, exclude_none=True)


def _special(plan: JobPlan) -> dict[str, Any]:
    """Return what one kind has that others have not."""
    match plan.kind:
        case "array":
            lists = ("--epochs", "6", "--hidden", "4,8", "--rate", "15,60", "--sleep-ms", "200")
            return {"args": (*lists, "--seed", str(plan.seed)), "shards": SHARDS, "checkpoint": None}
        case "tight":
            return {"price": {"total_max": TIGHT_TOTAL}}
        case "program_failed":
            return {"args": ("--hidden", "99999")}
        case "execution_timeout":
            return {"timeouts": {"queue": "1h", "execution": "2s"}, "checkpoint": None}
        case "output_missing":
            return {"outputs": [{"path": "/results/nothing"}]}
        case "module_invalid":
            return {"module": "file:data/digits.bin"}
        case _:
            return {}
