"""The demonstration's stage about canaries: two workers lie alike and outvote a third, and are found out all the same.

The requester's own node computes the shards, too, and takes nothing else for them. Which shards of a job are canaries
no worker can tell; here all are, so that one run shows it.
"""

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.jobs.job_views import JobView
from skyops_p2p.node.jobs.verdict_views import VerdictView
from skyops_p2p.testnet.demo_reputation import worker_rows
from skyops_p2p.testnet.demo_stage import Demo, failed
from skyops_p2p.testnet.demo_training import example_dir
from skyops_p2p.testnet.demo_verdict import VERIFY_TIMEOUT_S, checked_spec, ended

SHARDS = 2
REDUNDANCY = 3
"""Workers that compute each shard: two that lie alike, and one."""
_ONE = 1_000_000


def canary_spec(allowed: tuple[str, ...]) -> JobSpec:
    """Return an array of short trainings, all of them canaries.

    Args:
        allowed: Peers that may compute it.
    """
    tree = checked_spec(REDUNDANCY, allowed).model_dump(mode="json", by_alias=True, exclude_none=True)
    tree |= {"name": "canaries", "shards": SHARDS}
    tree["verification"] |= {"canaries": SHARDS}
    return JobSpec.model_validate(tree)


def find_out(demo: Demo) -> str:
    """Have the array computed, and see that the liars were found out although they agree."""
    allowed = tuple(demo.network.record.entry(name).peer_id for name in (*demo.liars, *demo.honest))
    tree = canary_spec(allowed).model_dump(mode="json", by_alias=True, exclude_none=True)
    job = demo.client.jobs.submit(tree, base_dir=example_dir(), secrets={}).job_id
    demo.compared.append(job)
    view = ended(demo, job)
    if view.state != "succeeded":
        raise failed(f"{view.name} has {view.state}: {view.code} {view.text}")
    outvoted = _outvoted(demo, view)
    patient = ControlClient.of(demo.client.data_dir, timeout_s=VERIFY_TIMEOUT_S * demo.slowness)
    if not patient.jobs.verify(job).is_same:
        raise failed(f"what came of {job[:12]} is not what the requester's own node computes")
    return (
        f"{view.name} {job[:12]}: {SHARDS} shards, each computed by {' and '.join(demo.liars)}, that agree, and by "
        f"{demo.honest[0]};\n"
        f"  shard {outvoted}: two say one thing and one another; the requester's own node has computed it, too:\n"
        f"  the two were wrong, the job takes what {demo.honest[0]} says ({_checks(view)});\n"
        f"skyops verify: byte for byte what the requester's own node computes;\n{_standing(demo)}."
    )


def _outvoted(demo: Demo, view: JobView) -> int:
    """Return a shard at which both liars were found wrong by the requester's own result.

    Raises:
        TestnetError: `demo_failed`: there is none, or somebody honest was found wrong.
    """
    found: list[int] = []
    for shard in view.shards:
        if shard.checked != "canary":
            raise failed(f"shard {shard.index} of {view.name}: {shard.checked or 'nothing was compared'}")
        if not shard.discrepancy:
            continue
        verdict = demo.client.jobs.verdict(view.job_id, shard=shard.index)
        faults = _faults(demo, verdict)
        if any(faults.get(name) == "wrong" for name in demo.honest) or not verdict.holds:
            raise failed(f"shard {shard.index} of {view.name}: {faults}, {verdict.findings}")
        if verdict.known and all(faults.get(name) == "wrong" for name in demo.liars):
            found.append(shard.index)
            demo.figures[f"verdict_{shard.index}"] = {"digest": verdict.digest, "faults": faults}
    if not found:
        raise failed(f"at no shard of {view.name} both liars were found wrong")
    return found[0]


def _faults(demo: Demo, verdict: VerdictView) -> dict[str, str]:
    return {demo.name_of(one.worker): one.fault for one in verdict.judged}


def _checks(view: JobView) -> str:
    return ", ".join(f"shard {shard.index}: {shard.checked}" for shard in view.shards)


def _standing(demo: Demo) -> str:
    """Return what the requester's own node thinks of the three now; others need not take its word.

    Raises:
        TestnetError: `demo_failed`: it thinks no worse of a liar than everybody does.
    """
    rows = worker_rows(demo, demo.client)
    for liar in demo.liars:
        if rows[liar].own_credibility >= rows[liar].credibility:
            raise failed(f"the requester's node thinks no worse of {liar} than before")
    demo.figures["own_scores"] = {name: rows[name].own_credibility for name in (*demo.liars, *demo.honest)}
    told = ", ".join(
        f"{name} {rows[name].own_credibility / _ONE:.6f}" for name in (*demo.liars, *demo.honest)
    )
    return f"skyops reputation, the requester's own view, which nobody else has to share: {told}"
