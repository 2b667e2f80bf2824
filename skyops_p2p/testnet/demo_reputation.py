"""The demonstration's stages about reputation: what is thought of the workers before and after, alike on every node."""

from collections.abc import Mapping

from skyops_p2p import limits
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.reputation.views import ReputationRowView
from skyops_p2p.testnet.demo_stage import Demo, failed, wait_until

_LOOKED_UP = frozenset({"good", "below_gate", "banned"})


def before(demo: Demo) -> str:
    """Wait until the requester's node has looked up what every worker has at stake, and note the scores."""
    workers = [entry.name for entry in demo.network.record.nodes if entry.is_worker]

    def knows_all() -> bool:
        found = worker_rows(demo, demo.client)
        return set(found) >= set(workers) and all(found[name].standing in _LOOKED_UP for name in workers)

    wait_until(demo, knows_all, "the stakes of all workers are looked up")
    found = worker_rows(demo, demo.client)
    demo.figures["scores_before"] = {name: found[name].credibility for name in workers}
    scores = sorted({row.score for row in found.values()})
    told = f"{scores[0]}" if len(scores) == 1 else f"{scores[0]} to {scores[-1]}"
    return (
        f"skyops reputation: {told} of 1000 for each of {len(workers)} workers, from their stakes alone;\n"
        "no receipt of theirs is known yet."
    )


def after(demo: Demo) -> str:
    """Compare the scores on two nodes with each other, and with those of before."""
    lanes = demo.client.payments.billing(demo.training.job_id).lanes
    best = next((demo.name_of(lane.peer_id) for lane in lanes if lane.has_receipt), None)
    if best is None:
        raise failed("no lease of the training has a receipt")
    known = demo.figures["scores_before"]
    assert isinstance(known, Mapping), "noted before"
    busy = {demo.name_of(lane.peer_id) for lane in lanes} | {demo.victim, *demo.liars, *demo.honest}
    idle = next((name for name in known if name not in busy), None)
    if idle is None:
        raise failed("every worker has had a part in the training")
    nodes = {"the requester": demo.client, idle: demo.node(idle)}

    def have_counted() -> bool:
        views = [worker_rows(demo, client) for client in nodes.values()]
        rows = [{name: _common(row) for name, row in view.items()} for view in views]
        is_convicted = not demo.liar or (demo.liar in rows[0] and rows[0][demo.liar].bad_micro > 0)
        return rows[0] == rows[1] and best in rows[0] and rows[0][best].good_micro > 0 and is_convicted

    what = "two nodes have the same scores, with the training's receipt in them" + ", and the verdict" * bool(
        demo.liar
    )
    # Each looks at the chain in its turn.
    wait_until(demo, have_counted, what, limit_s=2 * limits.REPUTATION_LOOK_S)
    found = worker_rows(demo, demo.client)
    changed = {name: (known[name], row.credibility) for name, row in found.items() if row.raters}
    if changed[best][1] <= changed[best][0]:
        raise failed(f"the receipt of {best} has not raised its score: {changed[best]}")
    if demo.liar and changed[demo.liar][1] >= changed[demo.liar][0]:
        raise failed(f"the verdict about {demo.liar} has not lowered its score: {changed[demo.liar]}")
    demo.figures["scores_after"] = {name: row.credibility for name, row in found.items()}
    sentences = [
        f"{name}: {old / 1e6:.6f} -> {new / 1e6:.6f}" for name, (old, new) in sorted(changed.items())
    ]
    return (
        ";\n".join(sentences)
        + f";\nthe same to the last digit on {idle}, which had no part in it; skyops reputation --explain says why."
    )


def worker_rows(demo: Demo, client: ControlClient) -> dict[str, ReputationRowView]:
    """Return what a node thinks of each worker of the network, by name."""
    names = {entry.peer_id: entry.name for entry in demo.network.record.nodes}
    rows = client.payments.reputation().rows
    return {names[row.peer_id]: row for row in rows if row.role == "worker" and row.peer_id in names}


def _common(row: ReputationRowView) -> ReputationRowView:
    """Return a row without what is a node's own."""
    return row.model_copy(update={"own_credibility": 0})
