"""What a worker that is gone left with others: its newest checkpoint and its log, which it had copies kept of.

A requester that was there all the time has both already; one that was away finds here what happened meanwhile. What
keepers say is believed only as far as the worker signed it.
"""

import logging

import trio

from skyops_p2p.core.execution.log_segments import SEGMENT_BYTES_MAX, LogSegment, decode_segment
from skyops_p2p.core.execution.receipts import LeaseFacts, check_checkpoint
from skyops_p2p.errors import RemoteProtocolError, SkyopsError
from skyops_p2p.node.content.shelf import CopyFound, Holder, no_progress
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.shard_content import ShardContent
from skyops_p2p.node.lease_link import copy_label
from skyops_p2p.wire.envelope import Signed
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import CheckpointReceipt, LogBatch

log = logging.getLogger(__name__)

ASK_TIMEOUT_S = 3.0
"""For all keepers together: another worker is not kept waiting longer."""
LOG_TIMEOUT_S = 30.0
SEGMENTS_MAX = 1024
"""Segments that are walked back through; LOG_BYTES_MAX needs fewer."""


class Salvage:
    """Looks for what a gone worker left.

    Args:
        job: Whose.
        facts: Of the lease that is over.
        content: Takes the log.
    """

    def __init__(self, job: OpenJob, facts: LeaseFacts, content: ShardContent) -> None:
        self._job = job
        self._facts = facts
        self._content = content
        self._keepers = content.keepers(facts.worker)

    @property
    def keepers(self) -> int:
        """How many are asked."""
        return len(self._keepers)

    async def find_checkpoint(self) -> Signed[CheckpointReceipt] | None:
        """Ask the keepers for their newest copy; None if none has one that the worker signed for this lease."""
        found: list[Signed[CheckpointReceipt]] = []
        with trio.move_on_after(ASK_TIMEOUT_S):
            async with trio.open_nursery() as nursery:
                for keeper in self._keepers:
                    nursery.start_soon(self._ask, keeper, found)
        return max(found, key=lambda signed: signed.message.sequence, default=None)

    async def recover_log(self, receipt: CheckpointReceipt) -> None:
        """Fetch the part of the log that a receipt counts and that is not here; as much as there is."""
        if receipt.logs is None or self._content.log.next_number(receipt.epoch) >= receipt.log_count:
            return
        try:
            with trio.move_on_after(LOG_TIMEOUT_S):
                for segment in await self._segments(receipt.logs):
                    batch = LogBatch.model_construct(
                        epoch=segment.epoch, first=segment.first, head=segment.head, records=segment.records
                    )
                    await self._content.append_log(batch)
        except SkyopsError as error:
            log.info("log_not_recovered job=%s code=%s", self._job.short, error.code)

    async def _ask(self, keeper: Holder, found: list[Signed[CheckpointReceipt]]) -> None:
        copies: tuple[CopyFound, ...] = ()
        try:
            copies = await self._job.tools.shelf.find_copies(copy_label(self._facts), keeper)
        except SkyopsError as error:
            log.debug("keeper_silent peer=%s code=%s", keeper.peer[-8:], error.code)
        for copy in copies:
            try:
                found.append(check_checkpoint(copy.note, self._facts))
            except RemoteProtocolError:
                continue  # of another lease, or made up

    async def _segments(self, newest: BundleRef) -> list[LogSegment]:
        """Walk back from the newest segment to the first that is missing here; return them in order."""
        wanted = self._content.log.next_number(self._facts.epoch)
        owner = f"{self._job.owner}/salvage"
        segments: list[LogSegment] = []
        ref: BundleRef | None = newest
        try:
            while ref is not None and len(segments) < SEGMENTS_MAX:
                segment = await self._segment(ref, owner)
                segments.append(segment)
                if segment.first <= wanted:
                    break
                ref = segment.previous
        finally:
            with trio.CancelScope(shield=True):
                await self._job.tools.shelf.release(owner)
        return segments[::-1]

    async def _segment(self, ref: BundleRef, owner: str) -> LogSegment:
        await self._job.tools.shelf.fetch(ref, self._keepers, owner=owner, progress=no_progress)
        data = await self._job.tools.shelf.open_bytes(
            ref, key=self._job.secrets.content_key, bytes_max=SEGMENT_BYTES_MAX
        )
        return decode_segment(data)
