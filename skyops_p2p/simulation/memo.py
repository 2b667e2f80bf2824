"""Check each signature once for the whole world: a thousand nodes that read the same bytes come to the same result.

Opening an envelope and recovering a wallet are pure functions of bytes, so one process may remember their results for
all its nodes. Only successes are remembered; what depends on a node's clock or map is still done by each node.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType

from skyops_p2p.core import binding, records
from skyops_p2p.core.auction import tenders, worker
from skyops_p2p.crypto.typed_data import binding_digest
from skyops_p2p.crypto.wallet import recover_account
from skyops_p2p.wire.envelope import open_envelope

MEMO_ENTRIES_MAX = 65_536
_PLACES: tuple[tuple[ModuleType, str], ...] = (
    (records, "open_envelope"),
    (binding, "open_envelope"),
    (binding, "binding_digest"),
    (binding, "recover_account"),
    (tenders, "open_envelope"),
    (worker, "open_envelope"),
)
"""Where the core looks the functions up."""


@contextmanager
def shared_checks() -> Iterator[None]:
    """Share signature checks among all nodes of this process within the block."""
    shared = {
        "open_envelope": lru_cache(maxsize=MEMO_ENTRIES_MAX)(open_envelope),
        "binding_digest": lru_cache(maxsize=MEMO_ENTRIES_MAX)(binding_digest),
        "recover_account": lru_cache(maxsize=MEMO_ENTRIES_MAX)(recover_account),
    }
    before = [(module, name, getattr(module, name)) for module, name in _PLACES]
    try:
        for module, name in _PLACES:
            setattr(module, name, shared[name])
        yield
    finally:
        for module, name, function in before:
            setattr(module, name, function)
