"""Lines of a log: its records are cut wherever the program's output happened to arrive; people read lines."""

from skyops_p2p.limits import API_LOG_LINE_CHARS_MAX
from skyops_p2p.node.jobs.job_views import LogLineView

_Place = tuple[int, int, str]
"""(shard, epoch, stream): each is a text of its own."""


class LineJoiner:
    """Makes lines of records; a line has the number and time of the record in which it ends, or began to be waited for.

    What has no end yet is held, at most API_LOG_LINE_CHARS_MAX characters for each stream of each lease.
    """

    def __init__(self) -> None:
        self._held: dict[_Place, LogLineView] = {}

    @property
    def is_holding(self) -> bool:
        """Whether there is a line without an end."""
        return bool(self._held)

    def add(self, record: LogLineView) -> list[LogLineView]:
        """Take a record and return the lines that it completes, without their ends."""
        place = (record.shard, record.epoch, record.stream)
        held = self._held.pop(place, None)
        text = record.text if held is None else held.text + record.text
        *whole, rest = text.split("\n")
        lines = [record.model_copy(update={"text": line.removesuffix("\r")}) for line in whole]
        while len(rest) > API_LOG_LINE_CHARS_MAX:
            lines.append(record.model_copy(update={"text": rest[:API_LOG_LINE_CHARS_MAX]}))
            rest = rest[API_LOG_LINE_CHARS_MAX:]
        if rest:
            self._held[place] = record.model_copy(update={"text": rest})
        return lines

    def flush(self) -> list[LogLineView]:
        """Return what has no end, as if it had one."""
        lines, self._held = list(self._held.values()), {}
        return lines
