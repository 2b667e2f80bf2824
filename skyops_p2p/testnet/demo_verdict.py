"""The demonstration's stages about a wrong result: a worker lies, others compute the same, and it is found out.

Two short jobs go to the liar and two others. Two workers begin the first one and come to different results, so that a
further replica decides; all three begin the second. What the requester gets is computed again on its own node.
"""

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.job_files import read_job
from skyops_p2p.node.jobs.job_views import JobView
from skyops_p2p.node.settlement.settlement_views import LaneView
from skyops_p2p.testnet.creation import guests_dir
from skyops_p2p.testnet.demo_reputation import worker_rows
from skyops_p2p.testnet.demo_stage import POLL_S, Demo, Patience, failed, wait_until
from skyops_p2p.testnet.demo_training import REDUNDANCY, example_dir

REDUNDANCIES = (2, 3)
"""Workers that begin each of the jobs."""
COMPUTING = 3
"""Workers that may, and at the end do, compute each of them; the liar is one."""
_EPOCHS, _PAUSE_MS = 6, 500
_JOB_TIMEOUT_S = 180.0
VERIFY_TIMEOUT_S = 120.0
_CHECK_TIMEOUT_S = 30.0
_ONE = 1_000_000


@dataclass(frozen=True, slots=True)
class _Paid:
    """What one worker has had for one job."""

    name: str
    lanes: tuple[LaneView, ...]
    earned_wei: int
    """As the worker's own node says."""

    @property
    def paid_wei(self) -> int:
        """By the requester's vouchers."""
        return sum(lane.paid_wei for lane in self.lanes)


def checked_spec(redundancy: int, allowed: tuple[str, ...]) -> JobSpec:
    """Return a short training whose result must be the same on all workers; the cheapest is asked first.

    Args:
        redundancy: Workers that begin it.
        allowed: Peers that may.
    """
    tree = read_job(example_dir() / "job-wasm.toml").model_dump(mode="json", by_alias=True, exclude_none=True)
    tree.pop("checkpoint", None)
    tree |= {
        "name": f"checked-{redundancy}",
        "args": ["--epochs", str(_EPOCHS), "--sleep-ms", str(_PAUSE_MS)],
        "verification": {"class": "exact", "redundancy": redundancy},
        "placement": {"allow": list(allowed)},
        "award": {"price": 1, "reputation": 0, "fit": 0, "latency": 0},
    }
    return JobSpec.model_validate(tree)


def compare(demo: Demo) -> str:
    """Have both jobs computed, and see that the liar was found out in each."""
    allowed = tuple(demo.network.record.entry(name).peer_id for name in (demo.liar, *demo.honest))
    sentences = []
    for redundancy in REDUNDANCIES:
        tree = checked_spec(redundancy, allowed).model_dump(mode="json", by_alias=True, exclude_none=True)
        job = demo.client.jobs.submit(tree, base_dir=example_dir(), secrets={}).job_id
        demo.compared.append(job)
        sentences.append(_see(demo, redundancy, ended(demo, job), demo.honest))
    return ";\n".join(sentences) + "."


def compare_training(demo: Demo) -> str:
    """Have others compute the whole training, and see that the worker which went on with it was found out."""
    view = ended(demo, demo.training.job_id)
    honest = tuple(name for name in demo.honest if name != demo.victim)
    told = _see(demo, REDUNDANCY, view, honest)
    demo.job = view
    return f"{told}."


def check_training(demo: Demo) -> str:
    """Check the verdict about the training in a process without a node."""
    return ";\n".join(_check_files(demo)) + ";\nchecked by a process that asks no node, from that file alone."


def catch(demo: Demo) -> str:
    """Check the verdicts in a process without a node, and compute both jobs again on the requester's own."""
    sentences = _check_files(demo)
    patient = ControlClient.of(demo.client.data_dir, timeout_s=VERIFY_TIMEOUT_S * demo.slowness)
    for job in demo.compared:
        if not patient.jobs.verify(job, shard=0).is_same:
            raise failed(f"the result of {job[:12]} is not what the requester's own node computes")
    return (
        ";\n".join(sentences)
        + ";\nchecked by a process that asks no node; skyops verify: both results are, byte for byte, what the\n"
        "requester's own node computes."
    )


def check_pay(demo: Demo) -> str:
    """See that the liar has no receipt and no more than it was promised before, and what is thought of it."""
    sentences = []
    for job in demo.compared:
        wait_until(demo, partial(_is_agreed, demo, job), "both sides of each lease say the same of its pay")
        rows = _pay(demo, job)
        for row in rows:
            has_receipt = any(lane.has_receipt for lane in row.lanes)
            if has_receipt == (row.name in (*demo.liars, demo.victim)):
                raise failed(f"{row.name} has {'a' if has_receipt else 'no'} receipt for {job[:12]}")
        told = ", ".join(f"{row.name} {format_amount(row.paid_wei, SKYOPS)}" for row in rows)
        sentences.append(f"{job[:12]}: {told}")
        demo.figures[f"pay_{job[:12]}"] = {row.name: str(row.paid_wei) for row in rows}
    return (
        ";\n".join(sentences)
        + f";\n{' and '.join(demo.liars)}: no receipt, and the nodes say the same;\n"
        + _standing(demo)
        + "."
    )


def ended(demo: Demo, job: str) -> JobView:
    """Wait for a job's end, telling what its shard tells; return how it stands then.

    Raises:
        TestnetError: `demo_failed`: it does not end.
    """
    patience, told = Patience(demo, _JOB_TIMEOUT_S), ""
    while True:
        view = demo.client.jobs.show(job)
        if view.is_over:
            return view
        if patience.is_over():
            raise failed(f"after {patience.limit_s:.0f} s {job[:12]} is still {view.state}: {view.text}")
        text = view.shards[0].text if view.shards else view.text
        if text != told:
            told = text
            demo.progress(f"{view.name}: {text}")
        time.sleep(POLL_S)


# --- the comparison -----------------------------------------------------------------------------------------------
def _see(demo: Demo, redundancy: int, view: JobView, honest: tuple[str, ...]) -> str:
    """Return what came of a job.

    Args:
        demo: The demonstration.
        redundancy: Workers that began it.
        view: The job, at its end.
        honest: Names of those that have computed it besides the liar.

    Raises:
        TestnetError: `demo_failed`: not that the liar was wrong, and all others were right.
    """
    if view.state != "succeeded":
        raise failed(f"{view.name} has {view.state}: {view.code} {view.text}")
    (shard,), verdict = view.shards, demo.client.jobs.verdict(view.job_id)
    faults = {demo.name_of(one.worker): one.fault for one in verdict.judged}
    wanted = {demo.liar: "wrong", **dict.fromkeys(honest, "none")}
    if faults != wanted or shard.checked != "decided" or not verdict.holds:
        raise failed(f"{view.name}: {shard.checked or 'nothing was compared'}, {faults}, {verdict.findings}")
    further = sum(replica.round > 0 for replica in shard.replicas)
    if further != COMPUTING - redundancy:
        raise failed(f"{view.name}: {further} further replicas, and {COMPUTING - redundancy} were needed")
    demo.figures[f"verdict_{view.job_id[:12]}"] = {"digest": verdict.digest, "faults": faults}
    drawn = (
        f"{redundancy} results differ, a further worker is drawn and decides"
        if further
        else (f"{redundancy} results, {demo.liar} alone with its own")
    )
    assert verdict.winner is not None, "somebody was right"
    right = demo.name_of(verdict.judged[verdict.winner].worker)
    replaced = f" (it was the first; the job takes the result of {right})" * (next(iter(faults)) == demo.liar)
    return (
        f"{view.name} {view.job_id[:12]}: {', '.join(faults)} have committed, then shown: {drawn};\n"
        f"  {demo.liar}: not the result of the majority{replaced}"
    )


def _check_files(demo: Demo) -> list[str]:
    """Write each verdict into a file, have it checked, and return what was said."""
    told = []
    for place, job in enumerate(demo.compared):
        file = guests_dir(demo.directory) / "guest-1" / f"checked-{place}.verdict"
        file.write_bytes(bytes.fromhex(demo.client.jobs.verdict(job).data))
        told.append(f"skyops verdict --check {file.name}: {_check_alone(demo, str(file))}")
    return told


def _check_alone(demo: Demo, file: str) -> str:
    """Have another process check a verdict, as anybody could; return its line about that."""
    try:
        done = subprocess.run(  # noqa: S603 - own interpreter, own arguments
            [sys.executable, "-P", "-m", "skyops_p2p", "verdict", "--check", file],
            capture_output=True,
            text=True,
            timeout=_CHECK_TIMEOUT_S * demo.slowness,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise failed(f"skyops verdict --check took more than {error.timeout:.0f} s") from error
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    told = {words[0]: words[1] for words in lines if len(words) == 2}
    if done.returncode or told.get("check") != "HOLDS":
        raise failed(f"skyops verdict --check ended with {done.returncode}: {done.stdout}{done.stderr}")
    return f"HOLDS, workers {told['workers']}"


# --- money and reputation -----------------------------------------------------------------------------------------
def compared_lanes(demo: Demo, job: str) -> tuple[LaneView, ...]:
    """Return the leases of a job whose results were compared, those of its replicas among them."""
    return demo.client.payments.billing(job).lanes


def _pay(demo: Demo, job: str) -> list[_Paid]:
    jobs = {job, *(replica.hex() for replica in demo.client.jobs.show(job).replica_ids)}
    lanes, rows = compared_lanes(demo, job), []
    for peer in dict.fromkeys(lane.peer_id for lane in lanes):
        name = demo.name_of(peer)
        earned = demo.node(name).payments.earnings(by="job").rows
        earned_wei = sum(row.paid_wei for row in earned if row.key in jobs)
        rows.append(_Paid(name, tuple(lane for lane in lanes if lane.peer_id == peer), earned_wei))
    return rows


def _is_agreed(demo: Demo, job: str) -> bool:
    rows = _pay(demo, job)
    return {row.name for row in rows} == {*demo.liars, *demo.honest} and all(
        row.paid_wei == row.earned_wei and not any(lane.is_open for lane in row.lanes) for row in rows
    )


def _standing(demo: Demo) -> str:
    """Return what the requester's node thinks of those that computed, before and now.

    Raises:
        TestnetError: `demo_failed`: it thinks better of the liar than before.
    """
    known = demo.figures["scores_before"]
    assert isinstance(known, Mapping), "noted before"

    found = worker_rows(demo, demo.client)
    names = (*demo.liars, *demo.honest)
    for liar in demo.liars:
        if found[liar].credibility > known[liar]:
            raise failed(f"the score of {liar} has risen, although it lied")
    demo.figures["scores_judged"] = {name: found[name].credibility for name in names}
    changes = [f"{name} {known[name] / _ONE:.6f} -> {found[name].credibility / _ONE:.6f}" for name in names]
    return f"skyops reputation, before the others' receipts are redeemed: {', '.join(changes)}"
