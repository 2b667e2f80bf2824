"""What a worker's runs leave in the journal: that a lease was taken, and the receipt of its result.

Keys and secrets are never in it (EXE-9): after a restart a run that had not ended is lost, and said to be, while a
stored result can still be delivered, since it is sealed. Spec: protocol/05-execution.md, "Lease" (EXE-16).
"""

from collections import deque
from dataclasses import dataclass, replace

from skyops_p2p import limits
from skyops_p2p.core.execution.receipts import LeaseFacts
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.node.execution.kept_commit import KeptCommit
from skyops_p2p.ports import JournalEntry, Store
from skyops_p2p.types import PeerId, UnixMs
from skyops_p2p.wire import canonical

STEM = "run"
TAKEN, RESULT, ENDED = 1, 2, 3
"""Kinds of entries, in the order in which they come."""


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run as the journal has it."""

    facts: LeaseFacts
    tender: bytes
    """Digest of the tender: under it the capacity is held."""
    result: bytes | None
    """Enveloped receipt, if the run got so far."""
    commit: KeptCommit | None
    """How it was committed to, where results are compared."""
    since_unix_ms: UnixMs
    """Of its newest entry."""


@dataclass(frozen=True, slots=True)
class EndedRun:
    """What is left of a run that has ended."""

    requester: PeerId
    job_id: bytes
    shard: int
    epoch: int
    code: str
    """How it ended."""


class RunJournal:
    """The runs of one worker.

    Args:
        store: The node's.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ended: deque[str] = deque()
        """Keys of the runs that have ended, oldest first; at most RUN_EPOCHS_REMEMBERED_MAX."""

    async def take(self, facts: LeaseFacts, *, tender: bytes, now: UnixMs) -> None:
        """Note that a lease was taken; before LeaseReady is sent.

        Raises:
            StoreError: It cannot be written.

        Rules: EXE-16.
        """
        fields = {
            0: TAKEN,
            1: facts.network,
            2: facts.requester,
            3: facts.worker,
            4: facts.job_id,
            5: facts.shard,
            6: facts.epoch,
            7: facts.award,
            8: facts.spec_digest,
            9: tender,
            10: now,
        }
        await self._store.append(STEM, _key(facts), canonical.encode(fields))

    async def keep_result(
        self, facts: LeaseFacts, receipt: bytes, kept: KeptCommit | None = None, *, now: UnixMs
    ) -> None:
        """Note a result, and how it was committed to; before ResultReady or ResultCommitted is sent.

        Raises:
            StoreError: It cannot be written.

        Rules: EXE-16, VER-5.
        """
        opening = {} if kept is None else {3: kept.salt, 4: kept.commit}
        body = canonical.encode({0: RESULT, 1: receipt, 2: now, **opening})
        await self._store.append(STEM, _key(facts), body)

    async def end(self, facts: LeaseFacts, code: str) -> None:
        """Forget a run. Its newest epoch, and how it ended, are remembered by what is left.

        Raises:
            StoreError: It cannot be written.
        """
        key = _key(facts)
        body = canonical.encode(
            {0: ENDED, 1: facts.requester, 2: facts.job_id, 3: facts.shard, 4: facts.epoch, 5: code}
        )
        await self._store.append(STEM, key, body)
        await self._store.compact(STEM, key, keep_last=1)
        self._ended.append(key)
        await self._trim()

    async def restore(self) -> tuple[list[KeptRun], list[EndedRun], int]:
        """Read everything back.

        Returns:
            The runs that have not ended; those that have, oldest first; and how many entries could not be read.

        Raises:
            StoreError: The journal cannot be read.
        """
        runs: dict[str, KeptRun] = {}
        epochs: list[EndedRun] = []
        unreadable = 0
        for entry in await self._store.entries(STEM):
            try:
                self._replay(entry, runs, epochs)
            except (RemoteProtocolError, KeyError, TypeError, ValueError):
                unreadable += 1
        await self._trim()
        return list(runs.values()), epochs[-limits.RUN_EPOCHS_REMEMBERED_MAX :], unreadable

    async def _trim(self) -> None:
        while len(self._ended) > limits.RUN_EPOCHS_REMEMBERED_MAX:
            await self._store.compact(STEM, self._ended[0], keep_last=0)
            self._ended.popleft()

    def _replay(self, entry: JournalEntry, runs: dict[str, KeptRun], epochs: list[EndedRun]) -> None:
        fields = canonical.decode(entry.body, bytes_max=64 * 1024)
        if not isinstance(fields, dict):
            raise TypeError("no map")
        kind = fields[0]
        if kind == TAKEN:
            facts = LeaseFacts(
                network=str(fields[1]),
                requester=PeerId(fields[2]),
                worker=PeerId(fields[3]),
                job_id=bytes(fields[4]),
                shard=int(fields[5]),
                epoch=int(fields[6]),
                award=bytes(fields[7]),
                spec_digest=bytes(fields[8]),
            )
            runs[entry.key] = KeptRun(facts, bytes(fields[9]), None, None, UnixMs(int(fields[10])))
        elif kind == RESULT:
            kept = KeptCommit(bytes(fields[3]), bytes(fields[4])) if 3 in fields else None
            since = UnixMs(int(fields[2]))
            runs[entry.key] = replace(
                runs[entry.key], result=bytes(fields[1]), commit=kept, since_unix_ms=since
            )
        elif kind == ENDED:
            runs.pop(entry.key, None)
            self._ended.append(entry.key)
            epochs.append(
                EndedRun(PeerId(fields[1]), bytes(fields[2]), int(fields[3]), int(fields[4]), str(fields[5]))
            )
        else:
            raise ValueError("no such kind")


def _key(facts: LeaseFacts) -> str:
    """Return under what a run is written down: an award may serve several, of different shards."""
    return f"{facts.award.hex()}/{facts.shard}/{facts.epoch}"
