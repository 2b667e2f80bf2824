"""One result of `skyops doctor`."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, and how to mend it."""

    name: str
    """Short and stable, "open file limit"."""
    status: Status
    """"ok", "warn" (the node runs, but less well than it could) or "fail" (it will not start or not be of use)."""
    found: str
    """What is there, one sentence at most."""
    mend: str = ""
    """What to do about it; empty exactly when the status is "ok"."""

    def __post_init__(self) -> None:
        assert bool(self.mend) == (self.status != "ok"), self.name
