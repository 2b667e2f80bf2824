"""The demonstration's stages about a job: a training on handwritten digits is run, its worker is killed, it goes on.

The job is examples/digits with fewer epochs and a pause after each, so that it can be watched.
"""

import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount, wei_of_credits
from skyops_p2p.core.settlement.lanes import EXPOSED_MS
from skyops_p2p.core.settlement.prices import exposure
from skyops_p2p.limits import PAY_INTERVAL_MS_MAX
from skyops_p2p.node.job_files import read_job
from skyops_p2p.node.jobs.job_views import JobView, ShardView
from skyops_p2p.testnet.creation import guests_dir
from skyops_p2p.testnet.demo_awards import why
from skyops_p2p.testnet.demo_curve import curve_svg, sparkline
from skyops_p2p.testnet.demo_stage import MICROCREDITS, POLL_S, Demo, Patience, failed
from skyops_p2p.types import MicroCredits

EPOCHS = 50
PAUSE_MS = 300
"""After each epoch, on a quiet machine: the first interval is paid some seconds before the training ends."""
PAUSE_STRETCH_MAX = 2.0
"""So many times as long at most on a slow one, where paying takes longer, and dying too."""
CHECKPOINT_S = 2
REDUNDANCY = 3
"""Workers that compute it where one of them lies."""
TEAM_PRICE_MAX = 0.6
"""Credits an hour: what the dearest of the team announces is below it, and so close that cheaper is seen to be so."""
STARTS_MAX = 5
"""The cheapest worker may once be late with its bid."""
_COMMITTED = frozenset({"checking", "fetching", "succeeded"})
"""States of a shard whose worker has committed to a result."""
ACCURACY_MIN = 0.9
"""An undisturbed training of so many epochs reaches 0.97."""
TRAINING_TIMEOUT_S = 180.0
"""Twenty times what it takes on a quiet machine; more on a slow one."""


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


def training_spec(*, deny: Sequence[str] = (), team: Sequence[str] = (), slowness: float = 1.0) -> JobSpec:
    """Return the job.

    Args:
        deny: Peers that may not compute it.
        team: Peers that alone may, the cheapest first; then so many compute it that one may die and one may lie.
        slowness: Seconds that go by on this machine for one second of work, at least 1.
    """
    tree = read_job(example_dir() / "job-wasm.toml").model_dump(mode="json", by_alias=True, exclude_none=True)
    pause_ms = round(PAUSE_MS * min(slowness, PAUSE_STRETCH_MAX))
    tree["args"] = ["--epochs", str(EPOCHS), "--sleep-ms", str(pause_ms)]
    tree["checkpoint"]["interval"] = CHECKPOINT_S
    if deny:
        tree["placement"] = {"deny": list(deny)}
    if team:
        tree |= {
            "verification": {"class": "exact", "redundancy": REDUNDANCY},
            "placement": {"allow": list(team)},
            "award": {"price": 1, "reputation": 0, "fit": 0, "latency": 0},
            "price": {"per_hour_max": TEAM_PRICE_MAX},
        }
    return JobSpec.model_validate(tree)


def submit(demo: Demo) -> str:
    """Submit the training and wait until its program runs."""
    started = time.monotonic()
    shard = _started(demo, _spec(demo))
    took_s = time.monotonic() - started
    price, name = shard.attempts[-1].price_microcredits_per_hour / MICROCREDITS, demo.name_of(shard.worker)
    return (
        f"skyops submit job-wasm.toml: job {demo.training.job_id[:12]}, inputs encrypted for its worker alone;\n"
        f"{why(demo, shard.attempts[-1].tender_job)};\n"
        f"leased to {name} (…{shard.worker[-8:]}) for {price:g} credits/h as epoch {shard.epoch}, "
        f"running after {took_s:.1f} s;\n{_risk(demo)}."
    )


def _started(demo: Demo, spec: JobSpec) -> ShardView:
    """Submit the training until a worker has it that may be killed: the liar is to go on with it, not to begin it.

    Raises:
        TestnetError: `demo_failed`: the liar was the first one STARTS_MAX times.
    """
    is_compared = spec.verification.redundancy > 1
    tree = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    for _ in range(STARTS_MAX):
        demo.job = demo.client.jobs.submit(tree, base_dir=example_dir(), secrets={})
        shard = wait_training(demo, lambda shard: shard.phase == "running", "the training runs")
        if not is_compared or demo.name_of(shard.worker) != demo.liar:
            demo.compared += [demo.job.job_id] * is_compared
            return shard
        demo.client.jobs.cancel(demo.job.job_id)
    raise failed(f"{demo.liar} was the first {STARTS_MAX} times, and not the one that goes on")


def _spec(demo: Demo) -> JobSpec:
    """Return the training: compared with those of a liar, or without it if it was found out before."""
    peer_of = demo.network.record.entry
    if not demo.liar:
        return training_spec(slowness=demo.slowness)
    if demo.compared:
        deny = [peer_of(name).peer_id for name in demo.liars]
        return training_spec(deny=deny, slowness=demo.slowness)
    team = [peer_of(name).peer_id for name in (demo.liar, *demo.honest)]
    return training_spec(team=team, slowness=demo.slowness)


def learn(demo: Demo) -> str:
    """Watch the training until it is half-way, saved, and paid for its first interval."""
    first = wait_training(demo, lambda shard: "loss" in shard.metrics, "the training tells its loss")
    shard = wait_training(
        demo, lambda shard: _is_half_way(shard) and paid_wei(demo) > 0, "it is half-way and paid"
    )
    saved, paid = shard.checkpoints[-1], format_amount(paid_wei(demo), SKYOPS)
    label = f"{saved.sequence} ({saved.label}, {saved.size_bytes / 1024:.0f} KiB)"
    curve = sparkline({epoch: loss for row in losses(demo).values() for epoch, loss in row.items()})
    return (
        f"epoch {shard.done} of {EPOCHS}, loss {first.metrics['loss']:.3f} -> {shard.metrics['loss']:.3f} {curve}\n"
        f"telemetry: {_telemetry(shard)};\n"
        f"checkpoint {label} is encrypted, signed and here;\n"
        f"both have metered the first interval, and a voucher of {paid} is with the worker."
    )


def finish(demo: Demo) -> str:
    """Watch the training to its end; every epoch is in its log, whoever has done it."""
    shard = wait_training(demo, lambda shard: shard.state == "succeeded", "the training ends")
    found = losses(demo)
    if set().union(*found.values()) != set(range(1, EPOCHS + 1)) or not shard.is_log_proven:
        raise failed(f"the log has not all epochs: {found}")
    last = found[shard.epoch][max(found[shard.epoch])]
    leases = f"{len(shard.attempts)} lease" + "s" * (len(shard.attempts) > 1)
    return (
        f"{EPOCHS} of {EPOCHS} in {leases}, loss {last:.4f}; the log is the one that "
        f"{demo.name_of(shard.worker)} signed;\nloss {_whole_curve(demo)}"
    )


def resume(demo: Demo) -> str:
    """Watch the training to its end, and find out where the second worker has begun."""
    told = _commit(demo) if is_compared(demo) else finish(demo)
    shard, found = shard_of(demo), losses(demo)
    own = sorted(found.get(shard.epoch, {1: 0.0}))
    before = {epoch for lease, row in found.items() if lease != shard.epoch for epoch in row}
    if own[0] == 1:
        raise failed(f"{demo.name_of(shard.worker)} did not go on where the training was saved: {found}")
    twice = len(before & set(own))
    name = demo.name_of(shard.worker)
    return f"{name} went on with epoch {own[0]}; epochs done twice: {twice}, left out: none;\n{told}"


def _commit(demo: Demo) -> str:
    """Watch the training until its worker has committed to a result that nobody has seen."""
    shard = wait_training(demo, lambda shard: shard.state in _COMMITTED, "a result is committed to")
    return (
        f"{demo.name_of(shard.worker)} has committed to its result, and is asked for it when others have to theirs;\n"
        f"loss {_whole_curve(demo)}"
    )


def is_compared(demo: Demo) -> bool:
    """Tell whether several workers compute the training, one of which lies."""
    return demo.training.job_id in demo.compared


def result(demo: Demo) -> str:
    """Decrypt what came back, read how good the model is, and draw how it learned."""
    into = demo.into or guests_dir(demo.directory) / "guest-1" / "result"
    got = demo.client.jobs.result(demo.training.job_id, into)
    metrics = json.loads((into / "results" / "metrics.json").read_text(encoding="utf-8"))
    if metrics["epochs"] != EPOCHS or metrics["accuracy"] < ACCURACY_MIN:
        raise failed(f"the model is not what {EPOCHS} epochs make: {metrics}")
    found = losses(demo)
    picture = into / "loss.svg"
    picture.write_text(
        curve_svg(found, title=f"Training {demo.training.job_id[:12]}: loss"), encoding="utf-8"
    )
    demo.figures |= {"accuracy": metrics["accuracy"], "loss": found, "result": str(into)}
    return (
        f"skyops result {demo.training.job_id[:12]}: {got.files} files, {got.size_bytes / 1024:.0f} KiB, opened with "
        f"the requester's key;\nmetrics.json: accuracy {metrics['accuracy']:.1%} on digits that it had not seen; "
        f"its curve: {picture.name}."
    )


def audit_awards(demo: Demo) -> str:
    """Re-run the awards of all leases from their bid books."""
    sentences = []
    for attempt in shard_of(demo).attempts:
        bids, _ = demo.audited(attempt.tender_job)
        sentences.append(
            f"skyops audit {attempt.tender_job[:12]}: {bids} bids, {demo.name_of(attempt.worker)}: OK"
        )
    return ";\n".join(sentences) + "."


# --- telling ------------------------------------------------------------------------------------------------------
def _risk(demo: Demo) -> str:
    """Return what both sides can lose by the lease, as both were told before it began."""
    rate_wei = wei_of_credits(MicroCredits(shard_of(demo).attempts[-1].price_microcredits_per_hour))
    worker_wei, own_wei = exposure(rate_wei, PAY_INTERVAL_MS_MAX, EXPOSED_MS, 0)
    demo.figures["exposure_wei"] = {"worker": str(worker_wei), "requester": str(own_wei)}
    return (
        f"at risk: the worker's work for {format_amount(worker_wei, SKYOPS)} at most, "
        f"of the requester's money {format_amount(own_wei, SKYOPS)}, as nothing is paid ahead"
    )


def _telemetry(shard: ShardView) -> str:
    """Return what the program has used so far, and how long it will take."""
    rest = f"about {shard.remaining_s:.0f} s left" if shard.remaining_s is not None else "time left unknown"
    usage = shard.usage
    if usage is None:
        return f"nothing measured yet, {rest}"
    parts = [f"{usage.wall_ms / 1000:.1f} s running"]
    if usage.cpu_ms is not None:
        parts.append(f"{usage.cpu_ms / 1000:.1f} s of CPU")
    if usage.memory_peak_bytes is not None:
        parts.append(f"{usage.memory_peak_bytes / 2**20:.0f} MiB at most")
    if usage.fuel is not None:
        parts.append(f"{usage.fuel / 1e9:.1f}e9 instructions")
    return ", ".join([*parts, rest])


def _whole_curve(demo: Demo) -> str:
    return sparkline({epoch: loss for _, row in sorted(losses(demo).items()) for epoch, loss in row.items()})


# --- looking ------------------------------------------------------------------------------------------------------
def wait_training(demo: Demo, condition: Callable[[ShardView], bool], what: str) -> ShardView:
    """Show the training's progress until a condition holds.

    Raises:
        TestnetError: `demo_failed`: it ended before, or did not come so far in TRAINING_TIMEOUT_S, on a slow machine in
            as many times that as it is slower.
    """
    patience = Patience(demo, TRAINING_TIMEOUT_S)
    demo.progress(f"waiting until {what}")
    while True:
        view = look(demo)
        if view.shards and condition(view.shards[0]):
            return view.shards[0]
        if view.is_over:
            raise failed(f"the training {view.state} before {what}: {view.code} {view.text}")
        if patience.is_over():
            raise failed(
                f"after {patience.limit_s:.0f} s it is still not so that {what}: {view.state}, {view.text}"
            )
        for shard in view.shards:
            demo.progress(_line(demo, shard))
        time.sleep(POLL_S)


def losses(demo: Demo) -> dict[int, dict[int, float]]:
    """Return what the training has told of its loss: lease -> {epoch of the training: loss}."""
    found: dict[int, dict[int, float]] = {}
    for line in demo.client.jobs.logs(demo.training.job_id):
        told = re.match(r"epoch ([0-9]+)/[0-9]+ loss ([0-9.]+)", line.text)
        if told:
            found.setdefault(line.epoch, {})[int(told[1])] = float(told[2])
    return found


def look(demo: Demo) -> JobView:
    """Return the training as it stands."""
    demo.job = demo.client.jobs.show(demo.training.job_id)
    return demo.job


def _line(demo: Demo, shard: ShardView) -> str:
    """Return how the training stands in one line."""
    if not shard.total:
        return f"the training: {shard.phase or shard.state}"
    rest = f", about {shard.remaining_s:.0f} s left" if shard.remaining_s is not None else ""
    loss = f", loss {shard.metrics['loss']:.4f}" if "loss" in shard.metrics else ""
    return f"epoch {shard.done}/{shard.total} on {demo.name_of(shard.worker)}{loss}{rest}"


def paid_wei(demo: Demo) -> int:
    """Return what has been promised for the training so far, wei."""
    return demo.client.payments.billing(demo.training.job_id).paid_wei


def _is_half_way(shard: ShardView) -> bool:
    return shard.done >= EPOCHS // 2 and bool(shard.checkpoints)


def shard_of(demo: Demo) -> ShardView:
    """Return the only shard as it was last seen."""
    return demo.training.shards[0]
