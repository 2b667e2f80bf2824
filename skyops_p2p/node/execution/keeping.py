"""What a run keeps: its log, its sealed checkpoints with their receipts, and its result.

Everything here is sealed or signed before it is told to anybody, and a receipt is in the journal first (EXE-16).
"""

import contextlib

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution import run_events as ev
from skyops_p2p.core.execution.log_segments import (
    SEGMENT_BYTES_MAX,
    SEGMENT_FILE,
    LogSegment,
    decode_segment,
    encode_segment,
)
from skyops_p2p.core.execution.opening import OpenedLease
from skyops_p2p.core.execution.outcomes import SUCCEEDED
from skyops_p2p.core.execution.progress import SNAPSHOT_PREFIX, steps_of
from skyops_p2p.core.execution.receipts import ZERO32
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.execution.delivery import release_run
from skyops_p2p.node.execution.log_book import LogBook
from skyops_p2p.node.execution.offer import ResultOffer, commit_result
from skyops_p2p.node.execution.run_pulse import RunPulse, usage_part
from skyops_p2p.node.execution.steps import RunSteps
from skyops_p2p.node.execution.tools import RunTools
from skyops_p2p.node.lease_link import copy_label, short_name
from skyops_p2p.wire.envelope import peek, seal
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import CheckpointReceipt, HolderPart, ResultReceipt

RECEIPTS_TOLD_MAX = 16
"""Checkpoint receipts that are told again after an attach."""


class RunKeeping:
    """What is kept of one run.

    Args:
        opened: The lease.
        tools: Of the node.
    """

    def __init__(self, opened: OpenedLease, tools: RunTools) -> None:
        self._opened = opened
        self._tools = tools
        self._owner = f"run/{short_name(opened.facts)}"
        self.book = LogBook(
            opened.facts.epoch,
            seal=self._seal_segment,
            open_=self._open_segment,
            now_ms=tools.wall_clock.now_ms,
        )
        self.checkpoints: list[bytes] = []
        """Enveloped receipts of this epoch, oldest first; at most RECEIPTS_TOLD_MAX, or CHAIN_SAVED_MAX of a chain."""
        self.untold = 0
        """How many of them, the newest, the requester has not been told yet."""
        self.saved_label = ""
        """Name of the newest saved checkpoint; a resumed run begins with that of its checkpoint."""
        self.result: ResultOffer | None = None
        """Once the run has one."""
        self.has_succeeded = False
        """That receipt says so."""
        resume = opened.resume
        self._sequence = resume.message.sequence if resume else 0
        self._previous = resume.digest if resume else ZERO32
        if resume is not None:
            self.saved_label = resume.message.label
        self._saving = trio.Lock()
        self._is_spreading = False
        self._segments_spread = 0
        self._spread_receipt = b""
        """Of the checkpoint that was spread last."""
        self._owners: list[str] = []
        """Of the checkpoints in the store, oldest first; at most CHECKPOINTS_KEPT, or CHAIN_SAVED_MAX of a chain."""
        checkpoint = opened.spec.checkpoint
        self._stride = None if checkpoint is None else checkpoint.stride
        self._started_unix_ms = tools.wall_clock.now_ms()

    def is_result(self, digest: bytes) -> bool:
        """Tell whether this is the digest of the result's receipt."""
        return self.result is not None and self.result.is_taken_by(digest)

    async def keep_sealing(self) -> None:
        """Seal the log as it grows, until cancelled."""
        while True:
            await self.book.wait_past(self.book.count)
            if self.book.is_due:
                try:
                    await self.book.seal()
                except SkyopsError as error:
                    self.book.note(f"the log could not be sealed: {error.message} ({error.code})")
                    await trio.sleep(limits.LEASE_SUSPECT_S)  # a full disk: not at every line

    async def save_checkpoint(
        self, steps: RunSteps, pulse: RunPulse, *, is_snapshot: bool = False
    ) -> str | None:
        """Seal the newest completed checkpoint and sign its receipt; of a chain, all that are there, one by one.

        Args:
            steps: Of the run.
            pulse: Its figures.
            is_snapshot: The runtime has saved the program; counts where the program has no checkpoint of its own.

        Returns:
            The name of the last one; None if there is nothing new.

        Raises:
            SkyopsError: It could not be saved; the program may have changed it meanwhile.
        """
        async with self._saving:
            label = await self._save_next(steps, pulse, is_snapshot=is_snapshot)
            last = label
            while label is not None and self._stride is not None:  # EXE-41
                last, label = label, await self._save_next(steps, pulse, is_snapshot=False)
        return last

    async def _save_next(self, steps: RunSteps, pulse: RunPulse, *, is_snapshot: bool) -> str | None:
        """Save one checkpoint; return its name, or None if there is nothing new."""
        label = await trio.to_thread.run_sync(steps.next_checkpoint, self.saved_label)
        if label is None and is_snapshot:
            label = f"{SNAPSHOT_PREFIX}{self._sequence + 1}"
        if label is None or label == self.saved_label:
            return None
        await pulse.look(None, steps)
        await self.book.seal()
        owner = f"{self._owner}/checkpoint-{self._sequence + 1}"
        bundle = await steps.seal_checkpoint(label, owner=owner)
        self._sign_checkpoint(label, bundle, pulse)
        self._owners.append(owner)
        while len(self._owners) > (limits.CHAIN_SAVED_MAX if self._stride else limits.CHECKPOINTS_KEPT):
            await self._tools.shelf.release(self._owners.pop(0))
        return label

    async def finish(
        self, effect: ev.FinishRun, steps: RunSteps | None, pulse: RunPulse, *, is_snapshot: bool
    ) -> None:
        """Save what there is to save, sign the result, and write it down.

        A fault in the outputs becomes the outcome; one in a last checkpoint is noted in the log.

        Raises:
            SkyopsError: Not even the receipt could be written down.
        """
        code, text, outputs = effect.code, effect.text, None
        if steps is not None:
            is_chain = self._stride is not None
            if (is_chain or not effect.keeps_outputs) and effect.exit.kind != "none":
                await self._save_last(steps, pulse, is_snapshot=is_snapshot)
            if effect.keeps_outputs:
                try:
                    outputs = await steps.seal_outputs()
                except SkyopsError as error:
                    code, text = error.code, error.message
        with contextlib.suppress(
            SkyopsError
        ):  # the requester has most of it; the receipt says how much there is
            await self.book.seal()
        receipt = self._sign_result(code, text, effect.exit, outputs=outputs, pulse=pulse)
        kept = commit_result(receipt, self._opened, self._tools)
        await self._tools.journal.keep_result(
            self._opened.facts, receipt, kept, now=self._tools.wall_clock.now_ms()
        )
        self.result, self.has_succeeded = ResultOffer(receipt, kept, self._tools), code == SUCCEEDED

    async def forget(self, code: str) -> None:
        """Let go of everything that the store holds for this run, and of its journal but for the epoch."""
        await release_run(self._tools, self._opened.facts, code=code, owners=self._owners)

    # --- signing --------------------------------------------------------------------------------------------------
    def _sign_checkpoint(self, label: str, bundle: BundleRef, pulse: RunPulse) -> None:
        facts = self._opened.facts
        done, total = pulse.progress.done, pulse.progress.total
        if self._stride is not None:
            done = steps_of(label) or 0
            total = total if total >= done else 0
        receipt = CheckpointReceipt(
            network=facts.network,
            requester=peer_id_to_bytes(facts.requester),
            worker=peer_id_to_bytes(facts.worker),
            job_id=facts.job_id,
            shard=facts.shard,
            epoch=facts.epoch,
            sequence=self._sequence + 1,
            previous=self._previous,
            bundle=bundle,
            label=label[:64],
            done=done,
            total=total,
            wall_ms=round(pulse.last_usage.wall_s * 1000),
            log_count=self.book.count,
            log_head=self.book.head,
            logs=self.book.newest,
            made_unix_ms=self._tools.wall_clock.now_ms(),
        )
        envelope = seal(receipt, self._tools.node_key, facts.network)
        self._sequence += 1
        self._previous, self.saved_label = sha256(envelope), label
        kept_max = RECEIPTS_TOLD_MAX if self._stride is None else limits.CHAIN_SAVED_MAX
        self.checkpoints = [*self.checkpoints, envelope][-kept_max:]
        self.untold = min(self.untold + 1, kept_max)

    def _sign_result(
        self, code: str, text: str, ended: ev.ProgramExit, *, outputs: BundleRef | None, pulse: RunPulse
    ) -> bytes:
        facts, has_gpus = self._opened.facts, bool(self._opened.terms.claim.devices)
        receipt = ResultReceipt.model_validate(
            {
                "network": facts.network,
                "requester": peer_id_to_bytes(facts.requester),
                "worker": peer_id_to_bytes(facts.worker),
                "job_id": facts.job_id,
                "shard": facts.shard,
                "epoch": facts.epoch,
                "award": facts.award,
                "spec_digest": facts.spec_digest,
                "code": code,
                "exit_kind": ended.kind,
                "exit_code": ended.exit_code,
                "signal": ended.signal,
                "text": text[:256],
                "outputs": outputs,
                "log_count": self.book.count,
                "log_head": self.book.head,
                "logs": self.book.newest,
                "usage": usage_part(pulse.last_usage, gpu_ms=pulse.gpu_ms if has_gpus else None),
                "started_unix_ms": self._started_unix_ms,
                "ended_unix_ms": max(self._started_unix_ms, self._tools.wall_clock.now_ms()),
            }
        )
        assert (code == SUCCEEDED) <= (ended.exit_code == 0), "a success without exit code 0"
        return seal(receipt, self._tools.node_key, facts.network)

    # --- the store ------------------------------------------------------------------------------------------------
    async def _save_last(self, steps: RunSteps, pulse: RunPulse, *, is_snapshot: bool) -> None:
        try:
            await self.save_checkpoint(steps, pulse, is_snapshot=is_snapshot)
        except SkyopsError as error:
            self.book.note(f"the last checkpoint could not be saved: {error.message} ({error.code})")

    async def spread(self) -> None:
        """Have others keep copies of the newest checkpoint and the log, so that both outlive this worker.

        One round at a time; a checkpoint that is saved during a round is spread by the next one, older ones never.
        """
        keepers = self._opened.request.replicas
        if not keepers or self._is_spreading:
            return
        self._is_spreading = True
        try:
            while self.checkpoints and self.checkpoints[-1] != self._spread_receipt:
                await self._spread_newest(keepers)
        finally:
            self._is_spreading = False

    async def _spread_newest(self, keepers: tuple[HolderPart, ...]) -> None:
        facts, receipt = self._opened.facts, self.checkpoints[-1]
        label, segments = copy_label(facts), self.book.segments[self._segments_spread :]
        self._spread_receipt = receipt
        for first, segment in segments:  # before the checkpoint: its receipt counts them
            await self._tools.spread(segment, f"{label}/log/{facts.epoch}/{first}", keepers, b"")
            self._segments_spread += 1
        bundle = peek(receipt, CheckpointReceipt).bundle
        if not await self._tools.spread(bundle, label, keepers, receipt):
            self.book.note("no other node keeps a copy of the checkpoint")

    async def _seal_segment(self, segment: LogSegment) -> BundleRef:
        return await self._tools.shelf.seal_bytes(
            SEGMENT_FILE,
            encode_segment(segment),
            key=self._opened.request.content_key,
            owner=f"{self._owner}/log",
        )

    async def _open_segment(self, ref: BundleRef) -> LogSegment:
        data = await self._tools.shelf.open_bytes(
            ref, key=self._opened.request.content_key, bytes_max=SEGMENT_BYTES_MAX
        )
        return decode_segment(data)
