"""How the steps of a match look to people: asked, answered, opened, awarded, and why nobody took a job."""

from collections.abc import Iterator, Mapping

from skyops_p2p.cli.output import short_peer
from skyops_p2p.node.jobs.search_views import SearchView
from skyops_p2p.node.match_view import MatchStepView, ReasonCountView

_TEXTS = {
    "proving": "{count} workers prove what they compute",
    "asked": "tender sent, {count} workers asked",
    "answered": "{peer}: {code}",
    "closed": "bids sealed: {count}",
    "revealed": "bids opened: {count}",
    "decided": "award decided, {count} qualify",
    "awarding": "award offered to {peer}",
    "widened": "nobody yet: asking more",
    "waiting": "{count} are bound to other bids: asking them again",
}


def step_text(step: MatchStepView) -> str:
    """Return one step: "tender sent, 3 workers asked"."""
    peer = short_peer(step.peer_id) if step.peer_id else ""
    text = _TEXTS[step.step].format(count=step.count, peer=peer, code=step.code)
    return text.replace(" 1 workers", " 1 worker")


def answers_text(answers: Mapping[str, int]) -> str:
    """Return what the asked nodes said: "answers: 2 bid, 1 busy"; empty without any."""
    parts = ", ".join(f"{count} {code}" for code, count in answers.items())
    return f"answers: {parts}" if parts else ""


def reason_line(reason: ReasonCountView) -> str:
    """Return one reason: "2 x busy: meaning what to do"."""
    return f"{reason.nodes} x {reason.code}: {reason.meaning} {reason.change}".rstrip()


def search_sentences(search: SearchView, before: SearchView | None) -> Iterator[str]:
    """Yield what has happened in a search since it was seen last, oldest first.

    Args:
        search: As it stands.
        before: As it stood; None, or another search, if nothing of this one was told.
    """
    known = before if before is not None and before.number == search.number else None
    for step in search.steps[len(known.steps) if known is not None else 0 :]:
        answers = answers_text(search.answers) if step.step == "closed" else ""
        yield step_text(step) + (f" ({answers})" if answers else "")
    is_told = any(step.step == "closed" for step in search.steps) or bool(known and known.code)
    if search.code and search.answers and not is_told:
        yield answers_text(search.answers)
