"""What a shard shows of its newest search for a worker: the steps of the match, and why nobody took it."""

from collections import Counter
from collections.abc import Sequence

from skyops_p2p import limits
from skyops_p2p.core.auction.codes import ACCEPTED
from skyops_p2p.node.match_view import MatchStepView, MatchView, ReasonCountView
from skyops_p2p.node.views import View


class SearchView(View):
    """The newest search for a worker of one shard."""

    number: int
    """From 1, since this node has started."""
    code: str
    """How it ended: `accepted`, or why nobody took it; empty while it goes on."""
    steps: tuple[MatchStepView, ...]
    """As they happened, but for the answers; at most SEARCH_STEPS_SHOWN, the newest."""
    answers: dict[str, int]
    """Nodes that have answered, by what they said: `bid`, or why not."""
    reasons: tuple[ReasonCountView, ...]
    """Why nobody took it, the most frequent first; at most SEARCH_REASONS_SHOWN, none after a match."""


def search_view(number: int, steps: Sequence[MatchStepView], ended: MatchView | None) -> SearchView | None:
    """Return what is shown of a search; None if there was none.

    Args:
        number: Which, from 1; 0 for none.
        steps: All that were told, oldest first.
        ended: How it ended, if it has.
    """
    if not number:
        return None
    told = tuple(step for step in steps if step.step != "answered")
    answers = Counter(_said(step.code) for step in steps if step.step == "answered")
    outcome = ended.code if ended is not None else ""
    is_vain = ended is not None and not ended.is_matched
    return SearchView(
        number=number,
        code=outcome,
        steps=told[-limits.SEARCH_STEPS_SHOWN :],
        answers=dict(answers.most_common(limits.SEARCH_REASONS_SHOWN)),
        reasons=ended.reasons[: limits.SEARCH_REASONS_SHOWN] if ended is not None and is_vain else (),
    )


def _said(code: str) -> str:
    return "bid" if code == ACCEPTED else code
