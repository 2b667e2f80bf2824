"""Jobs in a list: one row each, whatever the number of shards."""

from skyops_p2p.node.views import View


class JobRowView(View):
    """One job in a list."""

    job_id: str
    """Hex, 32 digits."""
    name: str
    state: str
    """As in JobView."""
    text: str
    """What happened last."""
    code: str
    """Outcome; empty before the end."""
    runtime: str
    submitted_unix_ms: int
    shards: int
    """0 while the inputs are being encrypted."""
    states: dict[str, int]
    """Shards by state."""
    workers: tuple[str, ...]
    """Peer ids of those that hold a shard now, or held it last; at most WORKERS_SHOWN."""
    done: int
    """Steps of all shards, as their programs tell them."""
    total: int
    """0 while no program has told it."""
    remaining_s: float | None
    """Until the slowest running shard is done."""
    attempts: int
    price_microcredits_per_hour: int
    """Of all standing leases together."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in ("succeeded", "failed", "cancelled")


WORKERS_SHOWN = 8
