"""How a shard stands at this moment, as its worker's beats tell it, and who follows its log."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.progress import Estimate, estimate
from skyops_p2p.node.jobs.log_files import LogLine
from skyops_p2p.wire.messages.execution import WorkerBeat


@dataclass(slots=True)
class ShardWatch:
    """The newest beat of the present lease."""

    beat: WorkerBeat | None = None
    running_since: float | None = None
    """Monotonic; when the first beat of the present lease told progress: only from there a pace is known, since a
    program that goes on from a checkpoint begins somewhere."""
    done_at_start: int = 0
    moved_at: float = 0.0
    """Monotonic; when a beat brought the newest progress."""

    def take(self, beat: WorkerBeat, now: float) -> None:
        """Note a beat; one that is older than what is known is ignored."""
        if self.beat is not None and beat.sequence <= self.beat.sequence:
            return
        beat = _plausible(beat)
        if self.running_since is None and beat.phase == "running" and beat.total:
            self.running_since, self.done_at_start = now, beat.done
        if self.beat is None or beat.done != self.beat.done:
            self.moved_at = now
        self.beat = beat

    def estimate(self, now: float) -> Estimate | None:
        """Estimate how much longer it takes; None if that cannot be said."""
        if self.beat is None or self.running_since is None or self.beat.phase != "running":
            return None
        found = estimate(
            done=self.beat.done,
            total=self.beat.total,
            done_at_start=self.done_at_start,
            running_s=self.moved_at - self.running_since,
        )
        if found is None:
            return None
        # Between two steps it counts down: what passes belongs to the step that nobody has told yet.
        return replace(found, remaining_s=max(0.0, found.remaining_s - (now - self.moved_at)))


def _plausible(beat: WorkerBeat) -> WorkerBeat:
    """Return a beat without what cannot be: more done than there is. Rules: EXE-26."""
    changes: dict[str, int] = {}
    if beat.done > beat.total:
        changes |= {"done": 0, "total": 0}
    if beat.phase_done > beat.phase_total:
        changes |= {"phase_done": 0, "phase_total": 0}
    return beat.model_copy(update=changes) if changes else beat


class LogFeed:
    """Hands new log records to whoever follows; one that lags far behind reads the rest from the file."""

    def __init__(self) -> None:
        self._followers: list[trio.MemorySendChannel[LogLine]] = []

    def tell(self, lines: tuple[LogLine, ...]) -> None:
        """Hand out new records; a follower that is full is cut off, and begins anew from the file."""
        for follower in list(self._followers):
            try:
                for line in lines:
                    follower.send_nowait(line)
            except trio.WouldBlock:
                self._followers.remove(follower)
                follower.close()

    def end(self) -> None:
        """Tell all that nothing more will come."""
        for follower in self._followers:
            follower.close()
        self._followers.clear()

    @contextmanager
    def follow(self) -> Iterator[trio.MemoryReceiveChannel[LogLine]]:
        """Follow what comes from now on."""
        send, receive = trio.open_memory_channel[LogLine](limits.EVENT_FEED_MAX * 4)
        self._followers.append(send)
        try:
            yield receive
        finally:
            if send in self._followers:
                self._followers.remove(send)
            send.close()
            receive.close()
