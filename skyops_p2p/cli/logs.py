"""Log lines of a running node: text for people, or one JSON object a line."""

import json
import logging
import re
import sys
from collections import deque
from datetime import UTC, datetime
from typing import Any

_FIELD = re.compile(r"(\w+)=(\"[^\"]*\"|'[^']*'|\S+)")
RECENT_LINES_MAX = 8


class TextFormatter(logging.Formatter):
    """`time level event key=value`; a traceback follows on its own lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, or several with a traceback."""
        line = f"{_time(record)} {record.levelname.lower():7} {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, event, and the event's fields as strings."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        message = record.getMessage()
        event, _, rest = message.partition(" ")
        fields: dict[str, Any] = {name: value.strip("\"'") for name, value in _FIELD.findall(rest)}
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event,
            "message": message,
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps({**fields, **entry}, ensure_ascii=False)


class ScreenFormatter(logging.Formatter):
    """Short lines for the screen: local time to the second, and the event."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        at = datetime.fromtimestamp(record.created, UTC).astimezone()
        return f"{at:%H:%M:%S} {record.levelname.lower():7} {record.getMessage()}"


class RecentLines(logging.Handler):
    """Keeps the last lines for the screen."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(ScreenFormatter())
        self.lines: deque[str] = deque(maxlen=RECENT_LINES_MAX)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(self.format(record).partition("\n")[0])


def set_up_logs(*, level: str, style: str, recent: RecentLines | None = None) -> None:
    """Send this program's log to standard error, or to the screen's lines.

    Args:
        level: The least severe level to print; of libraries only warnings are printed.
        style: "text" or "json".
        recent: Where lines go while a screen is shown.
    """
    handler: logging.Handler = recent or logging.StreamHandler(sys.stderr)
    if recent is None:
        handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("skyops_p2p").setLevel(level.upper())
    logging.captureWarnings(capture=True)


def _time(record: logging.LogRecord) -> str:
    """Return UTC with milliseconds, "2026-01-31T12:00:00.000Z"."""
    at = datetime.fromtimestamp(record.created, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
