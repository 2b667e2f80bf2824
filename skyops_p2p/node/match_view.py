"""What a match shows: its steps as they happen, and how it ended."""

from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction.codes import ACCEPTED, explain
from skyops_p2p.node.views import View


class MatchStepView(View):
    """One step of a match, told while it runs."""

    step: str
    """"proving", "asked", "answered", "closed", "revealed", "decided", "awarding", "widened" or "waiting"."""
    round: int
    peer_id: str
    """Empty where the step is about nobody."""
    code: str
    count: int
    """Nodes that the step concerns."""


class NodeOutcomeView(View):
    """What became of one node."""

    peer_id: str
    code: str
    detail: str


class ReasonCountView(View):
    """One reason over all nodes."""

    code: str
    nodes: int
    meaning: str
    change: str
    """What to do about it."""


class MatchView(View):
    """How a match ended."""

    is_matched: bool
    code: str
    """`accepted`, or why it failed."""
    detail: str = ""
    job_id: str
    """Hex: what `skyops audit` takes."""
    winner: str = ""
    """Peer id; empty if nobody took the job."""
    price_microcredits_per_hour: int = 0
    gpu_model: str = ""
    speed_milli: int = 0
    """Class index of the devices in thousandths, as the bid says it."""
    rank: int = 0
    """0: the first choice; otherwise which reserve took it."""
    rounds: int
    elapsed_ms: int
    book_digest: str = ""
    """Hex; empty if there is no bid book."""
    award_digest: str = ""
    """Hex; names the lease."""
    reasons: tuple[ReasonCountView, ...]
    outcomes: tuple[NodeOutcomeView, ...]


def step_view(report: ev.ReportProgress) -> MatchStepView:
    """Return one step."""
    return MatchStepView(
        step=report.step, round=report.round, peer_id=report.peer or "", code=report.code, count=report.count
    )


def match_view(result: ev.Match | ev.MatchFailure, job_id: bytes) -> MatchView:
    """Return how a match ended."""
    outcomes = tuple(
        NodeOutcomeView(peer_id=one.peer, code=one.code, detail=one.detail) for one in result.outcomes
    )
    counts: dict[str, int] = {}
    for one in outcomes:
        counts[one.code] = counts.get(one.code, 0) + 1
    reasons = tuple(_reason(code, count) for code, count in sorted(counts.items(), key=lambda item: -item[1]))
    common = {
        "job_id": job_id.hex(),
        "rounds": result.rounds,
        "elapsed_ms": result.elapsed_ms,
        "reasons": reasons,
        "outcomes": outcomes,
    }
    if isinstance(result, ev.MatchFailure):
        return MatchView.model_validate(
            {**common, "is_matched": False, "code": result.code, "detail": result.detail}
        )
    return MatchView.model_validate(
        {
            **common,
            "is_matched": True,
            "code": ACCEPTED,
            "winner": result.winner,
            "price_microcredits_per_hour": result.bid.price,
            "gpu_model": result.bid.gpu_model,
            "speed_milli": result.bid.speed_milli,
            "rank": result.award.message.rank,
            "book_digest": result.book.digest.hex(),
            "award_digest": result.award.digest.hex(),
        }
    )


def _reason(code: str, count: int) -> ReasonCountView:
    text = explain(code)
    return ReasonCountView(code=code, nodes=count, meaning=text.meaning, change=text.change)
