"""What `skyops verify` shows: frozen models shared by the library, the control API and the command line."""

from typing import Literal

from skyops_p2p.node.views import View

DifferenceKind = Literal["differs", "missing", "added"]
CheckCode = Literal["same", "differs", "ended_otherwise"]


class FileDifferenceView(View):
    """One file that is not alike in the result that came and in what was computed here."""

    path: str
    """As the job names it, without the first slash."""
    kind: DifferenceKind
    """`missing`: the run here did not make it; `added`: it is not in the result that came."""
    came_bytes: int | None
    """Its size in the result; None where it is not there."""
    here_bytes: int | None


class ShardCheckView(View):
    """How one shard came out when it was run again."""

    shard: int
    worker: str
    """Whose result it was compared with."""
    code: CheckCode
    """`ended_otherwise`: the program did not end well here."""
    text: str
    """One sentence for a person."""
    files: int
    """In the result that came."""
    size_bytes: int
    took_s: float
    fuel: int | None
    """Instructions that the run here took."""
    differences: tuple[FileDifferenceView, ...] = ()
    """At most VERIFY_DIFFERENCES_MAX."""
    differences_left_out: int = 0


class VerifyView(View):
    """How a job came out when it was run again on this machine."""

    job_id: str
    name: str
    is_same: bool
    """Whether every shard that was run made the same bytes."""
    shards: tuple[ShardCheckView, ...]
