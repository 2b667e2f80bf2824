"""The demonstration's stages about a job: a training on handwritten digits is run, its worker is killed, it goes on.

The job is examples/digits with fewer epochs and a pause after each, so that it can be watched.
"""

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount
from skyops_p2p.node.job_files import read_job
from skyops_p2p.node.jobs.job_views import JobView, ShardView
from skyops_p2p.testnet.creation import guests_dir
from skyops_p2p.testnet.demo_network import all_see, state_on
from skyops_p2p.testnet.demo_stage import MICROCREDITS, POLL_S, Demo, failed, wait_until

EPOCHS = 50
PAUSE_MS = 300
CHECKPOINT_S = 2
ACCURACY_MIN = 0.9
"""An undisturbed training of so many epochs reaches 0.97."""
TRAINING_TIMEOUT_S = 180.0
"""Twenty times what it takes on a quiet machine."""
TOLD_EPOCHS = 5
"""Where no line can be overwritten, progress is told once for so many epochs."""


def example_dir() -> Path:
    """Return the directory of the example: in the package if it was installed, else in the repository."""
    here = Path(__file__).resolve()
    return next(
        (
            place
            for place in (here.parent / "digits", here.parents[2] / "examples" / "digits")
            if place.is_dir()
        ),
        here.parent / "digits",
    )


def training_spec() -> JobSpec:
    """Return the job."""
    tree = read_job(example_dir() / "job-wasm.toml").model_dump(mode="json", by_alias=True, exclude_none=True)
    tree["args"] = ["--epochs", str(EPOCHS), "--sleep-ms", str(PAUSE_MS)]
    tree["checkpoint"]["interval"] = CHECKPOINT_S
    return JobSpec.model_validate(tree)


def submit(demo: Demo) -> str:
    """Submit the training and wait until its program runs."""
    started = time.monotonic()
    tree = training_spec().model_dump(mode="json", by_alias=True, exclude_none=True)
    demo.job = demo.client.jobs.submit(tree, base_dir=example_dir(), secrets={})
    shard = _wait_training(demo, lambda shard: shard.phase == "running", "the training runs")
    took_s = time.monotonic() - started
    price, name = shard.attempts[-1].price_microcredits_per_hour / MICROCREDITS, demo.name_of(shard.worker)
    return (
        f"skyops submit job-wasm.toml: job {demo.training.job_id[:12]}, inputs encrypted for its worker alone;\n"
        f"leased to {name} (…{shard.worker[-8:]}) for {price:g} credits/h as epoch {shard.epoch}, "
        f"running after {took_s:.1f} s."
    )


def learn(demo: Demo) -> str:
    """Watch the training until it is half-way, saved, and paid for its first interval."""
    first = _wait_training(demo, lambda shard: "loss" in shard.metrics, "the training tells its loss")
    shard = _wait_training(
        demo, lambda shard: _is_half_way(shard) and _paid_wei(demo) > 0, "it is half-way and paid"
    )
    saved, paid = shard.checkpoints[-1], format_amount(_paid_wei(demo), SKYOPS)
    label = f"{saved.sequence} ({saved.label}, {saved.size_bytes / 1024:.0f} KiB)"
    return (
        f"epoch {shard.done} of {EPOCHS}, loss {first.metrics['loss']:.3f} -> {shard.metrics['loss']:.3f};\n"
        f"checkpoint {label} is encrypted, signed and here;\n"
        f"both have metered the first interval, and a voucher of {paid} is with the worker."
    )


def kill(demo: Demo) -> str:
    """Kill the worker the hard way; watch the requester's map, and who gets the training."""
    worker = _shard(demo).worker
    demo.victim = demo.name_of(worker)
    started = time.monotonic()
    demo.network.signal(demo.victim, signal.SIGKILL)
    seen: dict[str, float] = {}

    def is_noticed() -> bool:
        seen.setdefault(state_on(demo.client, worker), time.monotonic() - started)
        _look(demo)
        if _shard(demo).epoch > 1:
            seen.setdefault("leased", time.monotonic() - started)
        return "inactive" in seen and "leased" in seen

    wait_until(
        demo, is_noticed, f"{demo.victim} is INACTIVE on the requester's map, and the training leased again"
    )
    if "suspect" not in seen:
        raise failed(f"{demo.victim} became INACTIVE without being SUSPECT first")
    wait_until(demo, lambda: all_see(demo, worker, "inactive"), f"{demo.victim} is INACTIVE on every map")
    everywhere_s = time.monotonic() - started
    _look(demo)
    code, heir = _shard(demo).attempts[0].code, demo.name_of(_shard(demo).worker)
    return (
        f"kill -9 {demo.victim}: SUSPECT after {seen['suspect']:.1f} s, INACTIVE after {seen['inactive']:.1f} s, "
        f"on every map after {everywhere_s:.1f} s;\n"
        f"its lease has ended ({code}), {heir} has the next one after {seen['leased']:.1f} s."
    )


def resume(demo: Demo) -> str:
    """Watch the training to its end, and find out where the second worker has begun."""
    shard = _wait_training(demo, lambda shard: shard.state == "succeeded", "the training ends")
    told: dict[int, list[int]] = {}
    loss = ""
    for line in demo.client.jobs.logs(demo.training.job_id):
        found = re.match(r"epoch ([0-9]+)/[0-9]+ loss ([0-9.]+)", line.text)
        if found:
            told.setdefault(line.epoch, []).append(int(found[1]))
            loss = found[2]
    own = told.get(shard.epoch, [1])
    before = [epoch for lease, epochs in told.items() if lease != shard.epoch for epoch in epochs]
    if own[0] == 1 or set(before + own) != set(range(1, EPOCHS + 1)) or not shard.is_log_proven:
        raise failed(f"{demo.name_of(shard.worker)} did not go on where the training was saved: {told}")
    twice = len(set(before) & set(own))
    return (
        f"{demo.name_of(shard.worker)} went on with epoch {own[0]}; epochs done twice: {twice}, left out: none;\n"
        f"{EPOCHS} of {EPOCHS}, loss {loss}; its log is the one that it signed."
    )


def result(demo: Demo) -> str:
    """Decrypt what came back, and read how good the model is."""
    into = guests_dir(demo.directory) / "guest-1" / "result"
    got = demo.client.jobs.result(demo.training.job_id, into)
    metrics = json.loads((into / "results" / "metrics.json").read_text(encoding="utf-8"))
    if metrics["epochs"] != EPOCHS or metrics["accuracy"] < ACCURACY_MIN:
        raise failed(f"the model is not what {EPOCHS} epochs make: {metrics}")
    return (
        f"skyops result {demo.training.job_id[:12]}: {got.files} files, {got.size_bytes / 1024:.0f} KiB, opened with "
        f"the requester's key;\nmetrics.json: accuracy {metrics['accuracy']:.1%} on digits that it had not seen."
    )


def audit_awards(demo: Demo) -> str:
    """Re-run the awards of both leases from their bid books."""
    sentences = []
    for attempt in _shard(demo).attempts:
        bids, _ = demo.audited(attempt.tender_job)
        sentences.append(
            f"skyops audit {attempt.tender_job[:12]}: {bids} bids, {demo.name_of(attempt.worker)}: OK"
        )
    return ";\n".join(sentences) + "."


# --- looking ------------------------------------------------------------------------------------------------------
def _wait_training(demo: Demo, condition: Callable[[ShardView], bool], what: str) -> ShardView:
    """Show the training's progress until a condition holds.

    Raises:
        TestnetError: `demo_failed`: it ended before, or did not come so far in TRAINING_TIMEOUT_S.
    """
    deadline = time.monotonic() + TRAINING_TIMEOUT_S
    told = -1
    demo.progress(f"waiting until {what}")
    while True:
        view = _look(demo)
        if view.shards and condition(view.shards[0]):
            return view.shards[0]
        if view.is_over:
            raise failed(f"the training {view.state} before {what}: {view.code} {view.text}")
        if time.monotonic() > deadline:
            raise failed(
                f"after {TRAINING_TIMEOUT_S:g} s it is still not so that {what}: {view.state}, {view.text}"
            )
        for shard in view.shards:
            demo.live(_line(demo, shard))
            if shard.total and shard.done // TOLD_EPOCHS > told:
                told = shard.done // TOLD_EPOCHS
                demo.progress(_line(demo, shard))
        time.sleep(POLL_S)


def _look(demo: Demo) -> JobView:
    demo.job = demo.client.jobs.show(demo.training.job_id)
    return demo.job


def _line(demo: Demo, shard: ShardView) -> str:
    """Return how the training stands in one line."""
    if not shard.total:
        return f"the training: {shard.phase or shard.state}"
    rest = f", about {shard.remaining_s:.0f} s left" if shard.remaining_s is not None else ""
    loss = f", loss {shard.metrics['loss']:.4f}" if "loss" in shard.metrics else ""
    return f"epoch {shard.done}/{shard.total} on {demo.name_of(shard.worker)}{loss}{rest}"


def _paid_wei(demo: Demo) -> int:
    return demo.client.payments.billing(demo.training.job_id).paid_wei


def _is_half_way(shard: ShardView) -> bool:
    return shard.done >= EPOCHS // 2 and bool(shard.checkpoints)


def _shard(demo: Demo) -> ShardView:
    """Return the only shard as it was last seen."""
    return demo.training.shards[0]
