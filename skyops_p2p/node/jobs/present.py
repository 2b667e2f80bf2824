"""Turn a job's tasks into views. Reads, never changes."""

import trio

from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.node.jobs.check_words import discrepancy_text
from skyops_p2p.node.jobs.job_views import (
    AttemptView,
    CheckpointView,
    GpuLoadView,
    ReplicaView,
    ShardView,
    UsageView,
    meaning_of,
)
from skyops_p2p.node.jobs.records import ReplicaPart
from skyops_p2p.node.jobs.search_views import search_view
from skyops_p2p.node.jobs.shard_task import ShardTask
from skyops_p2p.wire.envelope import peek
from skyops_p2p.wire.messages.execution import CheckpointReceipt, ResultReceipt, UsagePart, WorkerBeat

MILLION = 1_000_000


def replica_view(job_id: bytes, task: ShardTask, part: ReplicaPart) -> ReplicaView:
    """Return how a replica of a shard stands.

    Args:
        job_id: Its own, 16 bytes.
        task: Its shard.
        part: For which comparison it was drawn.
    """
    record = task.record
    worker = record.attempts[-1].worker if record.attempts else ""
    return ReplicaView(
        job_id=job_id.hex(),
        worker=worker,
        state=record.state.value,
        code=record.code,
        round=part.round,
        epoch=part.of_epoch,
    )


def shard_view(task: ShardTask, replicas: tuple[ReplicaView, ...] = ()) -> ShardView:
    """Return how a shard stands, and those that compute it too."""
    record, beat = task.record, task.watch.beat
    last = record.attempts[-1].receipt if record.attempts else None
    told = record.result or last
    result = peek(told, ResultReceipt) if told else None
    estimate = task.watch.estimate(trio.current_time())
    meaning, change = meaning_of(record.code)
    usage = result.usage if result else (beat.usage if beat else None)
    attempts = tuple(
        AttemptView(
            epoch=one.epoch,
            worker=one.worker,
            price_microcredits_per_hour=one.price,
            tender_job=one.tender_job.hex(),
            code=one.code,
            text=one.text,
        )
        for one in record.attempts
    )
    return ShardView.model_validate(
        {
            "index": task.index,
            "state": record.state.value,
            "text": record.text or task.text,
            "code": record.code,
            "meaning": meaning,
            "change": change,
            "epoch": record.epoch,
            "worker": task.machine.worker or (record.attempts[-1].worker if record.attempts else ""),
            **_moment(None if task.is_over else beat),
            "remaining_s": estimate.remaining_s if estimate else None,
            "estimate_basis": estimate.basis if estimate else "",
            "usage": _usage(usage),
            "attempts": attempts,
            "checkpoints": tuple(_checkpoint(data) for data in record.checkpoints),
            "log_records": task.content.log.next_number(record.epoch),
            "is_log_proven": _is_log_proven(task, result),
            "result_bytes": result.outputs.size_bytes if result and result.outputs else None,
            "exit_code": result.exit_code if result else None,
            "checked": record.checked,
            "replicas": replicas,
            "discrepancy": discrepancy_text(attempts, replicas, record.code, record.checked),
            "search": None if task.is_one_of_many else search_view(task.searches, task.steps, task.match),
        }
    )


def _is_log_proven(task: ShardTask, result: ResultReceipt | None) -> bool | None:
    """Tell whether the log is the one that belongs to the result; None before there is one, or if it is another's."""
    last = task.record.attempts[-1] if task.record.attempts else None
    if result is None or last is None or peer_id_from_bytes(result.worker) != last.worker:
        return None
    return task.content.is_log_proven(result)


def _moment(beat: WorkerBeat | None) -> dict[str, object]:
    """Return what the newest beat says; empty values without one."""
    if beat is None:
        return {
            "phase": "",
            "phase_done": 0,
            "phase_total": 0,
            "done": 0,
            "total": 0,
            "metrics": {},
            "gpus": (),
        }
    return {
        "phase": beat.phase,
        "phase_done": beat.phase_done,
        "phase_total": beat.phase_total,
        "done": beat.done,
        "total": beat.total,
        "metrics": {metric.name: metric.millionths / MILLION for metric in beat.metrics},
        "gpus": tuple(
            GpuLoadView(
                index=gpu.index,
                utilisation_permille=gpu.utilisation_permille,
                memory_mib=gpu.memory_mib,
                power_mw=gpu.power_mw,
                temperature_c=gpu.temperature_c,
            )
            for gpu in beat.gpus
        ),
    }


def _usage(usage: UsagePart | None) -> UsageView | None:
    return None if usage is None else UsageView.model_validate(usage.model_dump())


def _checkpoint(envelope: bytes) -> CheckpointView:
    receipt = peek(envelope, CheckpointReceipt)
    return CheckpointView(
        sequence=receipt.sequence,
        epoch=receipt.epoch,
        worker=peer_id_from_bytes(receipt.worker),
        label=receipt.label,
        size_bytes=receipt.bundle.size_bytes,
        done=receipt.done,
        total=receipt.total,
        made_unix_ms=receipt.made_unix_ms,
    )
