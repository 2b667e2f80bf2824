"""The vectors of chapter 05, by skyops_p2p and by the second reader that shares no code with it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.faults import RetryPolicy
from skyops_p2p.core.execution.log_chain import head_after
from skyops_p2p.core.execution.log_segments import decode_segment
from skyops_p2p.core.execution.opening import EpochMemory
from skyops_p2p.core.execution.receipts import LeaseFacts, check_checkpoint, check_result, follows
from skyops_p2p.core.execution.shard import ShardRun
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.node.jobs.log_files import ShardLog
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.envelope import Signed, open_envelope
from skyops_p2p.wire.messages import execution as msg
from skyops_p2p.wire.messages.execution import CheckpointReceipt, LogBatch
from skyops_p2p.wire.model import Message, decode_fields, decode_message
from skyops_p2p.wire.registry import message_of
from tests.vectors import second_execution as second
from tests.vectors.test_vectors import Case, cases, everything, expect, raw

NOW = MonotonicS(0.0)


def facts_of(lease: Case) -> LeaseFacts:
    return LeaseFacts(
        network=lease["network"],
        requester=PeerId(lease["requester"]),
        worker=PeerId(lease["worker"]),
        job_id=raw(lease, "job_id"),
        shard=lease["shard"],
        epoch=lease["epoch"],
        award=raw(lease, "award"),
        spec_digest=raw(lease, "spec_digest"),
    )


@everything("log-chains")
def test_log_chains(case: Case, tmp_path: Path) -> None:  # EXE-11, EXE-14
    batches = [bytes.fromhex(data) for data in case["batches"]]

    def ours(_: Case) -> Any:
        log = ShardLog(tmp_path / "log")
        for data in batches:
            log.append(decode_message(LogBatch, data))
        return log.next_number(1), log.head(1).hex()

    def theirs(_: Case) -> Any:
        count, head = second.read_log(batches)
        return count, head.hex()

    expect(case, (case.get("count"), case.get("head")), ours, theirs)


@everything("log-segments")
def test_log_segments(case: Case) -> None:  # EXE-14
    def ours(case: Case) -> Any:
        one = decode_segment(raw(case))
        return {
            "epoch": one.epoch,
            "first": one.first,
            "head": one.head.hex(),
            "head_after": head_after(one.head, one.first, one.records).hex(),
            "records": len(one.records),
            **({"previous": one.previous.root.hex()} if one.previous else {}),
        }

    def theirs(case: Case) -> Any:
        found = second.read_segment(raw(case)).items()
        return {
            key: value.hex() if isinstance(value, bytes) else value
            for key, value in found
            if value is not None
        }

    wanted = {key: value for key, value in case.items() if key not in ("name", "bytes", "code")}
    expect(case, wanted, ours, theirs)


@everything("receipts")
def test_receipts(case: Case) -> None:  # EXE-12, EXE-13
    facts = facts_of(case["lease"])
    check = check_result if case["message"] == "result-receipt" else check_checkpoint
    expect(
        case,
        case["lease"]["epoch"],
        lambda case: check(raw(case), facts).message.epoch,
        lambda case: second.check_receipt(raw(case), case["message"], case["lease"])["epoch"],
    )
    if "follows" not in case:
        return
    previous = raw(case, "previous") if "previous" in case else None
    before = None if previous is None else open_envelope(previous, CheckpointReceipt, facts.network)
    assert follows(check_checkpoint(raw(case), facts).message, before) == case["follows"]
    fields = second.check_receipt(raw(case), case["message"], case["lease"])
    assert second.follows(fields, previous, facts.network) == case["follows"]


# --- conversations ------------------------------------------------------------------------------------------------
class Talk:
    """The same conversation by our machines: alice's shard, and what each worker remembers of epochs."""

    def __init__(self, case: Case) -> None:
        self.facts = facts_of(case["lease"])
        self.people = {name: PeerId(peer) for name, peer in case["people"].items()}
        self.shard = ShardRun(RetryPolicy(attempts_max=16, is_after_loss=True, pause_s=0.0))
        self.memories = {name: EpochMemory() for name in case["people"]}
        self.asked: dict[str, int] = {}
        self.last: Signed[CheckpointReceipt] | None = None
        self.taken: list[bytes] = []
        self.feed(ev.ShardBegun(MonotonicS(600), None))

    def feed(self, event: Event) -> list[Effect]:
        effects = list(self.shard.handle(event, NOW))
        self.shard.check_invariants()
        self.taken += [effect.receipt for effect in effects if isinstance(effect, ev.TakeResult)]
        return effects

    def lose(self) -> None:
        self.feed(ev.LeaseLost(self.shard.record.epoch, "worker_lost"))

    def hear(self, step: Case) -> bool:
        data = raw(step)
        kind = message_of(decode_fields(data, bytes_max=1 << 18)[0])
        message: Message = decode_message(kind, data)
        if step["from"] == "alice":
            return self.to_worker(step["to"], message)
        return self.to_alice(step["from"], message)

    def to_worker(self, worker: str, message: Message) -> bool:
        """EXE-4, EXE-5."""
        key = (self.facts.requester, self.facts.job_id, self.facts.shard)
        self.asked[worker] = getattr(message, "epoch", self.asked.get(worker, 0))
        memory = self.memories[worker]
        match message:
            case msg.LeaseOpen(epoch=epoch, resume=resume):
                if not memory.take(*key, epoch):
                    return False
                effects = self.feed(ev.MatchFound(self.people[worker], self.facts.award, 1, bytes(16)))
                (opened,) = [effect for effect in effects if isinstance(effect, ev.OpenLease)]
                assert (opened.epoch, opened.resume) == (epoch, resume)
                return True
            case msg.LeaseAttach(epoch=epoch):
                return memory.newest(*key) == epoch
            case msg.ResultTaken(receipt=digest):
                return digest == second.sha(self.taken[-1])
        raise AssertionError(message)

    def to_alice(self, worker: str, message: Message) -> bool:
        """EXE-6: whoever does not hold the newest lease changes nothing, whatever it says."""
        before = self.shard.record
        is_holder = self.shard.record.attempts[-1].worker == self.people[worker]
        epoch = self.shard.record.epoch if is_holder else 0
        facts = replace(self.facts, worker=self.people[worker], epoch=epoch)
        match message:
            case msg.LeaseReady(epoch=said):
                self.feed(ev.LeaseGranted(said))
                return said == epoch
            case msg.LeaseRefused(code=code):
                self.feed(ev.LeaseDenied(self.asked[worker], code, ""))
            case msg.WorkerBeat(epoch=said):
                return said == epoch
            case msg.CheckpointSaved(receipt=data):
                return self.checkpoint(data, facts)
            case msg.ResultReady(receipt=data):
                return self.result(data, facts)
        return self.shard.record != before

    def checkpoint(self, data: bytes, facts: LeaseFacts) -> bool:
        try:
            signed = check_checkpoint(data, facts)
        except RemoteProtocolError:
            return False
        if not follows(signed.message, self.last):
            return False
        self.last = signed
        effects = self.feed(ev.CheckpointReceived(facts.epoch, data, signed.message.sequence))
        return ev.StoreShard() in effects

    def result(self, data: bytes, facts: LeaseFacts) -> bool:
        try:
            message = check_result(data, facts).message
        except RemoteProtocolError:
            return False
        has_outputs = message.outputs is not None
        effects = self.feed(ev.ResultReceived(facts.epoch, data, message.code, "", has_outputs=has_outputs))
        return bool(effects)


@everything("leases")
def test_only_the_newest_epoch_counts(case: Case) -> None:  # EXE-4, EXE-5, EXE-6, EXE-15
    ours, theirs = Talk(case), second.Shard(case["lease"], case["people"])
    for number, step in enumerate(case["steps"]):
        if step.get("event") == "lost":
            ours.lose()
            theirs.lose(step["worker"])
            continue
        found = (ours.hear(step), theirs.hear(step["from"], step["to"], raw(step)))
        assert found == (step["counts"], step["counts"]), f"step {number}"
    assert ours.shard.record.epoch == theirs.epoch


def test_conversations_hold_both_kinds_of_messages() -> None:
    steps = [step for case in cases("leases") for step in case["steps"] if "counts" in step]
    assert {step["counts"] for step in steps} == {True, False}
