"""What comes back from a shard's workers: its log, its checkpoints and its outputs, all in this node's keeping."""

import logging
from collections.abc import Callable, Collection, Sequence

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.log_chain import START
from skyops_p2p.core.execution.receipts import LeaseFacts, check_result
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.errors import RemoteProtocolError, SkyopsError
from skyops_p2p.node.content.shelf import Holder, Progress
from skyops_p2p.node.jobs.log_files import LogLine, ShardLog
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.types import Multiaddr, PeerId
from skyops_p2p.wire.envelope import Signed, peek
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import CheckpointReceipt, HolderPart, LogBatch, ResultReceipt

log = logging.getLogger(__name__)


class ShardContent:
    """One shard's log, checkpoints and outputs.

    Args:
        job: Whose.
        index: Which shard.
        chosen: Tells who was asked to keep copies for a worker.
        saved: Enveloped receipts of the checkpoints that are here, oldest first.

    Raises:
        StoreError: The log file cannot be read.
    """

    def __init__(
        self,
        job: OpenJob,
        index: int,
        chosen: Callable[[PeerId], tuple[HolderPart, ...]],
        *,
        saved: Sequence[bytes] = (),
    ) -> None:
        self._job = job
        self._chosen = chosen
        self._owner = f"{job.owner}/{index}"
        self.outputs_owner = f"{self._owner}/outputs"
        """Under it the content store keeps the outputs."""
        self.state_owner = f"{self._owner}/state"
        """Under it the content store keeps the state from which a stretch was run here, so that it can be run again."""
        self.progress = (0, 0)
        """(done, total) bytes of the outputs' transfer."""
        job.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log = ShardLog(job.folder / f"shard-{index}.log")
        self._checkpoints = [self._owner_of(peek(data, CheckpointReceipt)) for data in saved]
        """Owners of the fetched checkpoints, oldest first."""
        self._chain: tuple[int, dict[int, bytes]] = (0, {})
        """Epoch of the newest lease, and its {steps: enveloped receipt}, where checkpoints are a chain; at most
        CHAIN_SAVED_MAX. After a restart its worker tells them again."""

    async def append_log(self, batch: LogBatch) -> tuple[LogLine, ...]:
        """Add a batch to the log file; see ShardLog.append."""
        return await trio.to_thread.run_sync(self.log.append, batch)

    async def fetch_checkpoint(self, envelope: bytes) -> bool:
        """Fetch a checkpoint, so that its worker may die; whether it is here. A failure is not the job's."""
        receipt = peek(envelope, CheckpointReceipt)
        owner = self._owner_of(receipt)
        if owner in self._checkpoints:
            return True
        try:
            await self._fetch(receipt.bundle, receipt.worker, owner, self._ignore)
            await self._job.tools.shelf.list_tree(receipt.bundle, key=self._job.secrets.content_key)
        except SkyopsError as error:
            log.info("checkpoint_not_fetched job=%s code=%s", self._job.short, error.code)
            if isinstance(error, RemoteProtocolError):  # EXE-35
                self._tell_lie(receipt, error)
            return False
        self._checkpoints.append(owner)
        while len(self._checkpoints) > limits.CHECKPOINTS_KEPT:
            await self._job.tools.shelf.release(self._checkpoints.pop(0))
        return True

    async def let_go_of_checkpoints(self, envelopes: Collection[bytes]) -> None:
        """Let go of checkpoints that nobody will go on from."""
        owners = {self._owner_of(peek(data, CheckpointReceipt)) for data in envelopes}
        try:
            await self._release(owners.intersection(self._checkpoints))
        except SkyopsError as error:
            log.warning("checkpoint_not_released job=%s code=%s", self._job.short, error.code)

    async def forget(self) -> None:
        """Let go of all that is here of the shard, whose job is forgotten."""
        await self._release((*self._checkpoints, self.outputs_owner, self.state_owner))

    async def _release(self, owners: Collection[str]) -> None:
        for owner in owners:
            await self._job.tools.shelf.release(owner)
        self._checkpoints = [one for one in self._checkpoints if one not in owners]

    def _owner_of(self, receipt: CheckpointReceipt) -> str:
        """Return under which name a checkpoint is kept; in another lease the same number is another one."""
        return f"{self._owner}/checkpoint-{receipt.epoch}-{receipt.sequence}"

    def note_checkpoint(self, checkpoint: Signed[CheckpointReceipt]) -> None:
        """Remember what the worker of the newest lease has signed, for a referee; its first word counts."""
        part, receipt = self._job.spec.checkpoint, checkpoint.message
        epoch, saved = self._chain
        if part is None or part.stride is None or receipt.epoch < epoch:
            return
        if receipt.epoch > epoch:
            saved = {}
            self._chain = receipt.epoch, saved
        if len(saved) < limits.CHAIN_SAVED_MAX:
            saved.setdefault(receipt.done, checkpoint.data)

    def chain(self, epoch: int) -> list[bytes]:
        """Return the enveloped receipts of a lease's checkpoints, by their steps; none that are not of a chain."""
        of_epoch, saved = self._chain
        return [saved[done] for done in sorted(saved)] if epoch == of_epoch else []

    async def fetch_outputs(self, envelope: bytes, told: Callable[[str], None]) -> None:
        """Fetch the outputs that a result's receipt names; what cannot be had now is asked for again and again.

        That goes on for as long as the run took, OUTPUTS_PATIENCE_S_MIN at least and OUTPUTS_PATIENCE_S_MAX at most:
        to wait costs less than to compute anew. What came before a failure is kept.

        Args:
            envelope: The result's receipt.
            told: Takes one sentence when it fails for the first time.

        Raises:
            RemoteProtocolError: They are not what the receipt says, or do not open.
            SkyopsError: They cannot be had.

        Rules: EXE-35, EXE-40.
        """
        receipt, tries = peek(envelope, ResultReceipt), 0
        run_s = (receipt.ended_unix_ms - receipt.started_unix_ms) / 1000
        patience_s = min(max(run_s, limits.OUTPUTS_PATIENCE_S_MIN), limits.OUTPUTS_PATIENCE_S_MAX)
        until = trio.current_time() + patience_s
        while True:
            pause_s = min(limits.OUTPUTS_PAUSE_S * 2**tries, limits.OUTPUTS_PAUSE_S_MAX)
            try:
                await self._fetch_outputs(envelope)
            except RemoteProtocolError:
                raise
            except SkyopsError as error:
                if trio.current_time() + pause_s > until:
                    raise
                log.info("outputs_not_fetched job=%s code=%s", self._job.short, error.code)
                if not tries:
                    told(f"its outputs cannot be fetched yet ({error.code}); asking for {patience_s:.0f} s")
            else:
                return
            tries += 1
            await trio.sleep(pause_s)

    async def _fetch_outputs(self, envelope: bytes) -> None:
        """Fetch the outputs that a result's receipt names, once.

        Raises:
            RemoteProtocolError: They are not what the receipt says, or do not open.
            SkyopsError: They cannot be had.

        Rules: EXE-35.
        """
        receipt = peek(envelope, ResultReceipt)
        if receipt.outputs is None:
            return
        tools = self._job.tools
        if receipt.outputs.size_bytes > self._job.spec.resources.disk:
            raise RemoteProtocolError(
                "outputs: larger than the disk of the job", code="bundle_mismatch", rule="EXE-35"
            )
        try:
            await self._fetch(receipt.outputs, receipt.worker, self.outputs_owner, self._moved)
            await tools.shelf.check_tree(receipt.outputs, key=self._job.secrets.content_key)
        except RemoteProtocolError:
            await tools.shelf.release(self.outputs_owner)
            raise

    def has_whole_log(self, envelope: bytes, facts: LeaseFacts) -> bool:
        """Tell whether all of the log is here that a result's receipt counts."""
        receipt = check_result(envelope, facts).message
        return self.log.next_number(facts.epoch) >= receipt.log_count

    def is_log_proven(self, receipt: ResultReceipt) -> bool:
        """Tell whether the log here is the one that the worker signed for."""
        if self.log.next_number(receipt.epoch) != receipt.log_count:
            return False
        return self.log.head(receipt.epoch) == (receipt.log_head if receipt.log_count else START)

    def keepers(self, worker: PeerId) -> list[Holder]:
        """Return who may have copies of what a worker saved: those that were asked to, then those that others ask."""
        parts = (*self._chosen(worker), *self._job.tools.likely_keepers(worker))
        addrs: dict[bytes, tuple[str, ...]] = {}
        for part in parts:
            addrs.setdefault(part.peer, part.addrs)
        return [
            Holder(PeerId(peer_id_from_bytes(peer)), tuple(Multiaddr(addr) for addr in known))
            for peer, known in addrs.items()
        ][: limits.HOLDERS_MAX]

    @staticmethod
    def digest(envelope: bytes) -> bytes:
        """Return the name of a receipt."""
        return sha256(envelope)

    async def _fetch(self, bundle: BundleRef, worker: bytes, owner: str, progress: Progress) -> None:
        peer = PeerId(peer_id_from_bytes(worker))
        holders = [Holder(peer, ()), *self.keepers(peer)]
        await self._job.tools.shelf.fetch(bundle, holders, owner=owner, progress=progress)

    def _tell_lie(self, receipt: CheckpointReceipt, error: RemoteProtocolError) -> None:
        worker = PeerId(peer_id_from_bytes(receipt.worker))
        text = (
            f"{self._job.short}: checkpoint {receipt.sequence} does not count: {error.message} ({error.code})"
        )
        self._job.tools.tell("job", worker, text)

    def _moved(self, done: int, total: int) -> None:
        self.progress = (done, total)

    @staticmethod
    def _ignore(_done: int, _total: int) -> None:
        """Take progress that nobody watches."""
