"""What is told of a job while it is watched: the differences between its views, in sentences. Prints nothing itself."""

from collections.abc import Iterator

from skyops_p2p.cli.job_text import (
    attempt_end,
    bar,
    bytes_text,
    discrepancy_fields,
    is_leased,
    lease_text,
    metrics_text,
    phase_text,
    progress_text,
    reason_text,
    rest_text,
    short_job,
    span,
)
from skyops_p2p.cli.match_text import reason_line, search_sentences
from skyops_p2p.core.auction.codes import ACCEPTED
from skyops_p2p.node.jobs.job_views import AttemptView, JobView, ShardView
from skyops_p2p.node.jobs.search_views import SearchView

OVER = ("succeeded", "failed", "cancelled")
_SEARCHES = ("matching", "waiting")
_SEARCH = "looking for a worker"


class JobTeller:
    """Follows one job.

    Args:
        name: Put before each sentence where several jobs are watched; empty otherwise.
        is_new: It was submitted just now, so its preparation is part of the story.
    """

    def __init__(self, name: str = "", *, is_new: bool = False) -> None:
        self._name = name
        self._is_new = is_new
        self._last: JobView | None = None
        self._told = ""
        """What was told of the job as a whole."""
        self._searches: dict[int, SearchView] = {}
        """Shard -> its newest search, as it was seen last."""
        self._vain: dict[int, frozenset[str]] = {}
        """Shard -> why nobody took it, as told last, in codes; while its searches are in vain."""
        self._waits: dict[int, str] = {}
        """Shard -> what was told of its present search: it begins anew every few seconds."""

    def news(self, view: JobView) -> list[str]:
        """Return what has happened since the last view, oldest first."""
        is_past = self._last is None and not self._is_new
        sentences = list(self._of_job(view))
        before = {shard.index: shard for shard in self._last.shards} if self._last else {}
        for shard in view.shards:
            prefix = f"shard {shard.index}: " if len(view.shards) > 1 else ""
            told = self._of_shard(shard, before.get(shard.index), is_past=is_past)
            sentences += [prefix + text for text in told]
        self._last = view
        return [f"{self._name}: {text}" if self._name else text for text in sentences]

    def _of_job(self, view: JobView) -> Iterator[str]:
        text = view.text.partition(":")[0]
        if not view.shards and not view.is_over and text not in (self._told, "waiting"):
            self._told = text
            yield text
        if view.shards and self._is_new:
            self._is_new = False
            yield "the inputs are encrypted"

    def _of_shard(self, shard: ShardView, before: ShardView | None, *, is_past: bool) -> Iterator[str]:
        attempts, steps = list(_of_attempts(shard, before)), list(self._of_match(shard, is_past=is_past))
        lease = [attempts.pop()] if _is_just_leased(shard, before) else []
        yield from attempts
        if shard.state in _SEARCHES:
            yield from self._of_search(shard)
        else:
            self._waits.pop(shard.index, None)
        yield from [*steps, *lease]
        if before is None or shard.state != before.state:
            yield from _of_state(shard)
        elif shard.state == "checking" and shard.text != before.text:
            yield shard.text
        if is_leased(shard) and (
            before is None or (shard.phase, shard.epoch) != (before.phase, before.epoch)
        ):
            yield phase_text(shard) + _resumed(shard)
        yield from _of_checkpoints(shard, before)

    def _of_search(self, shard: ShardView) -> Iterator[str]:
        """Yield the beginning of a search, and each new reason why it goes on."""
        told = self._waits.get(shard.index)
        if told is None:
            self._waits[shard.index] = ""
            yield _SEARCH
        # The state is known a moment before its text, which then still tells of the search.
        if shard.state == "waiting" and shard.text not in (told, _SEARCH):
            self._waits[shard.index] = shard.text
            if not _is_of_attempt(shard):
                yield reason_text(shard.text)

    def _of_match(self, shard: ShardView, *, is_past: bool) -> Iterator[str]:
        """Yield the steps of the newest match, and why nobody took the shard.

        Of searches in a row that are in vain the steps of the first are told, and reasons that are new.
        """
        search, last = shard.search, self._searches.get(shard.index)
        if search is None:
            return
        self._searches[shard.index] = search
        if is_past and shard.state not in _SEARCHES:
            return
        is_new = last is None or last.number != search.number
        was_vain = shard.index in self._vain and (is_new or not (last and last.code))
        is_found = search.code == ACCEPTED
        if not was_vain or is_found:
            yield from search_sentences(search, None if was_vain else last)
        if is_found:
            self._vain.pop(shard.index, None)
        elif search.code:
            yield from self._of_reasons(shard.index, search)

    def _of_reasons(self, index: int, search: SearchView) -> Iterator[str]:
        codes = frozenset(reason.code for reason in search.reasons)
        if self._vain.get(index) != codes:
            self._vain[index] = codes
            yield from (f"nobody took it, {reason_line(reason)}" for reason in search.reasons)

    def live(self, now_s: float) -> str:
        """Return one line on how it stands: a bar, figures, the time remaining.

        Args:
            now_s: Unix seconds.
        """
        view = self._last
        if view is None:
            return ""
        name = f"{self._name}: " if self._name else ""
        if len(view.shards) == 1:
            shard = view.shards[0]
            return name + (
                _live_shard(shard) or f"{reason_text(shard.text) or view.state}, {_since(view, now_s)}"
            )
        if not view.shards:
            return f"{name}{view.text}, {_since(view, now_s)}"
        return name + _live_shards(view)


def _since(view: JobView, now_s: float) -> str:
    return span(now_s - view.submitted_unix_ms / 1000)


def _is_of_attempt(shard: ShardView) -> bool:
    """Tell whether a text repeats why the last attempt ended, which was told with it."""
    return bool(shard.attempts) and shard.text.startswith(f"{shard.attempts[-1].code}: ")


def _is_just_leased(shard: ShardView, before: ShardView | None) -> bool:
    """Tell whether the newest attempt is news, and stands."""
    known = {one.epoch for one in before.attempts} if before else set()
    return bool(shard.attempts) and not shard.attempts[-1].code and shard.attempts[-1].epoch not in known


def _of_checkpoints(shard: ShardView, before: ShardView | None) -> Iterator[str]:
    seen = before.checkpoints if before else ()
    known = max(((one.epoch, one.sequence) for one in seen), default=(0, 0))
    for saved in shard.checkpoints:
        if (saved.epoch, saved.sequence) > known:
            at = f" at {saved.done}/{saved.total}" if saved.total else ""
            yield f"checkpoint {saved.sequence} saved{at}: {saved.label}, {bytes_text(saved.size_bytes)}"


def _of_attempts(shard: ShardView, before: ShardView | None) -> Iterator[str]:
    ended = {one.epoch: one.code for one in before.attempts} if before else {}
    for number, attempt in enumerate(shard.attempts, start=1):
        if attempt.epoch not in ended:
            yield f"attempt {number}: leased to {lease_text(attempt)}"
        if attempt.code and not ended.get(attempt.epoch) and attempt.code != "succeeded":
            yield f"attempt {number} ended, {attempt_end(attempt)}{_goes_on(shard, attempt)}"


def _goes_on(shard: ShardView, attempt: AttemptView) -> str:
    """Return what a failed attempt leads to."""
    if shard.state in OVER:
        return ""
    if shard.state == "fetching" and attempt is shard.attempts[-1]:
        return " Another worker's result is taken, and nothing runs again."
    if not shard.checkpoints:
        return " It begins anew."
    last = shard.checkpoints[-1]
    at = f" at {last.done}/{last.total}" if last.total else ""
    return f" It goes on from checkpoint {last.sequence}{at}."


def _resumed(shard: ShardView) -> str:
    """Return from where a program goes on, once it runs."""
    last = shard.checkpoints[-1] if shard.checkpoints else None
    if shard.phase != "running" or last is None or last.epoch == shard.epoch:
        return ""
    return f" again, from checkpoint {last.sequence}"


def _of_state(shard: ShardView) -> Iterator[str]:
    """Yield the state where nothing else tells it: leases and phases do, and the end is told of the whole job."""
    if shard.state == "fetching":
        yield "fetching the outputs"
    if shard.state == "checking":
        yield shard.text or "computed; its result is compared with others'"


def _live_shard(shard: ShardView) -> str:
    """Return a line on a shard that a worker has; empty for another."""
    if not is_leased(shard):
        return ""
    parts = [phase_text(shard)]
    if shard.phase == "running" and shard.total:
        parts += [
            bar(shard.done, shard.total),
            progress_text(shard),
            metrics_text(shard.metrics),
            rest_text(shard),
        ]
    elif shard.phase_total:
        done, total = shard.phase_done, shard.phase_total
        parts += [bar(done, total), f"{bytes_text(done)} of {bytes_text(total)}"]
    else:
        parts.append(metrics_text(shard.metrics))
    return "  ".join(part for part in parts if part)


def _live_shards(view: JobView) -> str:
    counts: dict[str, int] = {}
    for shard in view.shards:
        counts[shard.state] = counts.get(shard.state, 0) + 1
    done, total = sum(shard.done for shard in view.shards), sum(shard.total for shard in view.shards)
    over = counts.get("succeeded", 0)
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    shown = bar(done, total) or bar(over, len(view.shards))
    return f"{shown}  {over}/{len(view.shards)} shards done ({states})"


def ending(view: JobView, now_s: float) -> list[str]:
    """Return how a job ended, what that means, and what to do.

    Args:
        view: Of a job that is over.
        now_s: Unix seconds.
    """
    lines = [f"{view.state} after {_since(view, now_s)}" + (f": {view.meaning}" if view.meaning else "")]
    if view.state == "failed":
        lines[0] = f"failed after {_since(view, now_s)}, {view.code}: {view.meaning}".rstrip(": ")
        if view.text.strip() and view.text not in (view.meaning, view.code):
            lines.append(f"more: {reason_text(view.text)}")
    exits = {shard.exit_code for shard in view.shards if shard.exit_code}
    if exits:
        lines.append(f"exit code {', '.join(map(str, sorted(exits)))}")
    if view.verified and any(shard.checked for shard in view.shards):
        lines.append(view.verified)
    lines += [f"{name} {text}".strip() for name, text in discrepancy_fields(view)]
    if view.change:
        lines.append(f"what to do: {view.change}")
    return lines + next_steps(view)


def next_steps(view: JobView) -> list[str]:
    """Return the commands that make sense now."""
    job = short_job(view.job_id)
    match view.state:
        case "succeeded":
            size = sum(shard.result_bytes or 0 for shard in view.shards)
            has_outputs = any(shard.result_bytes is not None for shard in view.shards)
            result = [f"its outputs ({bytes_text(size)}): skyops result {job}"] if has_outputs else []
            return [*result, f"its log: skyops logs {job}"]
        case "failed" | "cancelled":
            again = f"run it again from its last checkpoint: skyops retry {job}"
            if not any(shard.checkpoints for shard in view.shards):
                again = f"run it again: skyops retry {job}"
            return [f"its log: skyops logs {job}", again]
        case _:
            return [
                f"follow it: skyops status {job} --watch",
                f"its log: skyops logs -f {job}",
                f"end it: skyops cancel {job}",
            ]
