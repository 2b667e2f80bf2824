"""A shard whose result is compared with others': it waits, computed, until somebody has said whose answer stands. Pure.

The worker has committed to its result and shows it when it is told to. Whether the result is taken, given up, or
replaced by another worker's is not decided here. Spec: protocol/06-verification.md, "Reveal".
"""

from dataclasses import replace

from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.outcomes import SUCCEEDED
from skyops_p2p.core.execution.shard_moves import ShardMoves
from skyops_p2p.core.execution.shard_record import ShardState
from skyops_p2p.core.machine import Effect
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.envelope import peek
from skyops_p2p.wire.messages.execution import ResultReceipt

_O, _R, _K = ShardState.OPENING, ShardState.RUNNING, ShardState.CHECKING
_F, _OK = ShardState.FETCHING, ShardState.SUCCEEDED


class CheckedResults(ShardMoves):
    """What a shard's machine does between a commitment and the word about it; see ShardMoves."""

    def _on_result_committed(self, event: ev.ResultCommitted, _now: MonotonicS) -> list[Effect]:
        if self.state not in (_O, _R) or not self._is_newest(event.epoch):
            return []
        self.record = self.record.with_commit(event.commit, is_spared=event.is_spared)
        self._move(_K)
        told = "its result is asked for" if event.is_spared else "the worker has committed to its result"
        return [ev.StoreShard(), ev.TellShard(f"computed; {told}")]

    def _on_reveal_wanted(self, event: ev.RevealWanted, _now: MonotonicS) -> list[Effect]:
        if self.state is not _K or not self._is_newest(event.epoch):
            return []
        return [ev.AskToReveal(event.epoch, event.others)]

    def _result_shown(self, event: ev.ResultReceived) -> list[Effect]:
        """Keep what a worker has shown; the first counts."""
        if self.record.attempts[-1].receipt is not None:
            return []
        self.record = self.record.with_receipt(event.receipt, event.reveal)
        return [ev.StoreShard(), ev.TellShard("the worker has shown its result")]

    def _committed_lost(self, epoch: int, code: str) -> list[Effect]:
        """Note that a worker is lost that has committed: what it computed still counts, if it was shown."""
        if not self._is_newest(epoch):
            return []
        self.is_gone = True
        return [ev.TellShard(f"the worker of a computed result is lost: {code}")]

    def _on_result_accepted(self, event: ev.ResultAccepted, now: MonotonicS) -> list[Effect]:
        receipt = self.record.attempts[-1].receipt if self.state is _K else None
        if receipt is None or not self._is_newest(event.epoch):
            return []
        self.record = replace(self.record, checked=event.checked)
        result = peek(receipt, ResultReceipt)
        if result.code != SUCCEEDED:
            taken = ev.TakeResult(event.epoch, receipt)
            return self._attempt_failed(event.epoch, result.code, result.text, now, then=taken)
        has_outputs = result.outputs is not None and event.keeps_outputs
        return self._won(event.epoch, receipt, has_outputs=has_outputs)

    def _on_result_rejected(self, event: ev.ResultRejected, now: MonotonicS) -> list[Effect]:
        if self.state is not _K or not self._is_newest(event.epoch):
            return []
        stop = ev.StopLease(event.epoch, "superseded", 0.0)
        if event.is_again:
            return self._attempt_failed(event.epoch, event.code, event.text, now, then=stop)
        self.record = self.record.tallied(event.code).closed(event.code, event.text)
        return self._fail(event.code, event.text, then=(stop,))

    def _on_result_replaced(self, event: ev.ResultReplaced, _now: MonotonicS) -> list[Effect]:
        if self.state is not _K or not self._is_newest(event.epoch) or self.record.lease is None:
            return []
        stop = ev.StopLease(event.epoch, "superseded", 0.0)
        record = self.record.tallied(event.code).excluding(self.record.lease.worker)
        record = replace(record.closed(event.code, event.text), checked=event.checked)
        result = peek(event.receipt, ResultReceipt)
        self.record = record
        if result.code != SUCCEEDED:
            return self._fail(result.code, result.text, then=(stop,))
        self.record = replace(record, result=event.receipt)
        if result.outputs is None:
            return self._end(_OK, SUCCEEDED, "", then=(stop,))
        self._move(_F)
        told = ev.TellShard("the result of another worker is taken in its place")
        return [ev.StoreShard(), stop, ev.FetchOutputs(event.epoch, event.receipt), told]

    def _on_result_doubted(self, event: ev.ResultDoubted, now: MonotonicS) -> list[Effect]:
        self._set_times(event.queue_until, event.total_until, now)
        self.record = self.record.doubted()
        return self._search("its worker was wrong at another shard, and nobody has checked this one")
