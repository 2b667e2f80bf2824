"""Looks for the worker of a replica: those whom the draw names first, and nobody who computes the shard already.

Spec: protocol/06-verification.md, "Draw".
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from skyops_p2p.core.execution.shard_record import Attempt
from skyops_p2p.core.verification.draw import draw, seed_of
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.shard_task import ShardTask
from skyops_p2p.node.match_view import MatchStepView, MatchView
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.verification import CandidatePart

DRAWN_ASKED = 2
"""Of those that come next in the draw, so many are asked for one replica before others are (VER-15)."""


class Computing(Protocol):
    """One that computes the shard; see members.Member."""

    @property
    def task(self) -> ShardTask:
        """Its shard."""

    @property
    def attempt(self) -> Attempt | None:
        """Its newest lease, once it has committed."""


class ReplicaSearch:
    """The searches of one shard and its replicas, of which one runs at a time.

    Args:
        job: Whose shard it is.
        members: Returns who computes it, the primary first.
    """

    def __init__(self, job: OpenJob, members: Callable[[], Sequence[Computing]]) -> None:
        self._job = job
        self._members = members
        self._turn = trio.Lock()
        self._promised: dict[bytes, PeerId] = {}
        """Job id of a replica -> who was found for it last."""
        self._drawn_from: tuple[bytes, tuple[CandidatePart, ...]] = (b"", ())
        """The primary's commitment, and from whom was drawn after it."""

    async def find(
        self,
        job: OpenJob,
        shard: int,
        excluded: tuple[PeerId, ...],
        *,
        tender_job: bytes,
        progress: Callable[[MatchStepView], None],
    ) -> MatchView:
        """Run a match for the shard, or for a replica of it: first among the drawn, then among all.

        Raises:
            SkyopsError: As FindWorker.

        Rules: VER-10, VER-23.
        """
        if job is self._job:
            barred = self._barred(job)
            return await job.find_plain(shard, excluded, tender_job, progress, computing=barred)
        async with self._turn:
            barred, find = self._barred(job), job.tools.find_worker
            excluded = tuple(dict.fromkeys((*excluded, *self._job.suspects)))
            drawn = self._next_drawn((*excluded, *barred))
            if drawn:
                own_id = job.tools.entropy.token(16)
                ended = await find(
                    job.spec, progress, excluded=excluded, job_id=own_id, only=drawn, computing=barred
                )
                if ended.is_matched:
                    self._promised[job.job_id] = PeerId(ended.winner)
                    return ended
            ended = await find(job.spec, progress, excluded=excluded, job_id=tender_job, computing=barred)
            if ended.is_matched:
                self._promised[job.job_id] = PeerId(ended.winner)
            return ended

    def candidates(self) -> tuple[CandidatePart, ...]:
        """Return from whom replicas are drawn; they stay the same for one commitment of the primary.

        Who was wrong at another shard of the job is none of them.
        """
        commit = self._primary_commit()
        if commit is None:
            return ()
        if self._drawn_from[0] != commit:
            known, suspects = self._job.tools.draws.candidates(self._job.spec), self._job.suspects
            free = tuple(one for one in known if peer_id_from_bytes(one.peer) not in suspects)
            self._drawn_from = (commit, free)
        return self._drawn_from[1]

    def _primary_commit(self) -> bytes | None:
        attempt = self._members()[0].attempt
        return None if attempt is None else attempt.commit

    def _next_drawn(self, barred: Sequence[PeerId]) -> tuple[PeerId, ...]:
        """Return who comes next in the draw. Rules: VER-9, VER-10."""
        commit, primary = self._primary_commit(), self._members()[0].attempt
        if commit is None or primary is None:
            return ()
        seed = seed_of(sha256(commit), self._job.draw_secret(self._members()[0].task.index))
        wallet = self._job.tools.draws.wallet(primary.worker)
        order = draw(self.candidates(), seed, computing=() if wallet is None else (wallet,))
        peers = (PeerId(peer_id_from_bytes(one.peer)) for one in order)
        return tuple(peer for peer in peers if peer not in barred)[:DRAWN_ASKED]

    def _barred(self, job: OpenJob) -> tuple[PeerId, ...]:
        """Return who must not compute it for this job: all that do for another, with the nodes of their wallets."""
        kin = self._job.tools.draws.kin
        others = [member for member in self._members() if member.task.job is not job]
        busy = [attempt.worker for member in others if (attempt := _standing(member)) is not None]
        names = {member.task.job.job_id for member in others}
        busy += [peer for name, peer in self._promised.items() if name in names]
        return tuple(dict.fromkeys(peer for worker in busy for peer in kin(worker)))


def _standing(member: Computing) -> Attempt | None:
    """Return a member's lease that stands, or that has committed."""
    return member.attempt or member.task.record.lease
