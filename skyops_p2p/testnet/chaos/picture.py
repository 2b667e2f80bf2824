"""A campaign as a picture: jobs as bars from submission to end, faults as stripes, where matplotlib is installed."""

from pathlib import Path

from skyops_p2p.testnet.chaos.campaign import Ended

_COLORS = {
    "kill": "#c0392b",
    "stop": "#8e44ad",
    "restart": "#2980b9",
    "partition": "#e67e22",
    "slow": "#7f8c8d",
    "loss": "#16a085",
    "reorg": "#2c3e50",
}
_GOOD, _MEANT, _BAD = "#27ae60", "#95a5a6", "#000000"


def draw(ended: Ended, path: Path) -> bool:
    """Draw a campaign; return whether matplotlib is there to do it.

    Args:
        ended: The campaign.
        path: Of the PNG file, which is replaced.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch
    except ImportError:
        return False
    labels = sorted({fault.plan.label for fault in ended.faults})
    count = len(ended.jobs)
    figure = Figure(figsize=(11.0, 2.0 + 0.07 * count + 0.22 * len(labels)), layout="constrained")
    top, below = figure.subplots(
        2, 1, sharex=True, height_ratios=(max(2.0, 0.07 * count), 0.5 + 0.22 * len(labels))
    )
    for row, job in enumerate(ended.jobs):
        if job.submitted_s is None:
            continue
        end_s = job.ended_s if job.ended_s is not None else ended.ended_s
        is_right = job.ended_s is not None and job.code in job.plan.allowed
        color = _BAD if not is_right else _GOOD if job.code == "succeeded" else _MEANT
        top.barh(row, max(end_s - job.submitted_s, 0.3), left=job.submitted_s, height=0.8, color=color)
    for fault in ended.faults:
        color, end_s = _COLORS[fault.plan.kind], fault.ended_s or ended.ended_s
        below.barh(
            labels.index(fault.plan.label), end_s - fault.began_s, left=fault.began_s, height=0.7, color=color
        )
        if fault.back_s and fault.back_s > end_s:
            below.plot(fault.back_s, labels.index(fault.plan.label), "|", color="black", markersize=9)
        if fault.plan.kind in ("kill", "stop", "partition", "reorg"):
            top.axvline(fault.began_s, color=color, linewidth=0.6, alpha=0.5)
    top.set(title=f"{count} jobs, {len(ended.faults)} faults, seed {ended.plan.seed}", ylabel="jobs")
    top.invert_yaxis()
    named = ((_GOOD, "succeeded"), (_MEANT, "failed as planned"), (_BAD, "ended otherwise"))
    patches = [Patch(color=color, label=label) for color, label in named]
    figure.legend(handles=patches, loc="outside lower right", ncols=len(named))
    below.set_yticks(range(len(labels)), labels)
    below.set(xlabel="seconds; | answers again")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return True
