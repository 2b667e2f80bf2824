"""Plain examples of the messages of chapter 05, by the people of the vectors."""

from typing import Any

from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages import execution, gang
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.model import Message
from tests.vectors.people import ALICE, BOB, CAROL, NOW, RULES

JOB = bytes(range(16))
AWARD = bytes([0xA0] * 32)
SPEC = b"\x82\x00\x90\x01\x90"
"""Not a job that anybody runs: an empty map in its canonical form."""


def bundle(number: int) -> BundleRef:
    """Name a bundle of one file."""
    root = b"\x01\x70\x12\x20" + sha256(bytes([number]))
    return BundleRef(root=root, size_bytes=1000 * number, files=1, blocks=4)


USAGE = execution.UsagePart(
    wall_ms=61_000,
    cpu_ms=59_500,
    memory_bytes=300 << 20,
    memory_peak_bytes=412 << 20,
    written_bytes=1 << 20,
    gpu_ms=48_000,
)
LOG = (
    execution.LogPart(unix_ms=NOW + 1000, stream="stdout", data="step 1: Verlust 0,31 €\n".encode()),
    execution.LogPart(unix_ms=NOW + 1001, stream="stderr", data=b"\xff not UTF-8"),
    execution.LogPart(unix_ms=NOW + 1002, stream="skyops", data=b""),
)


def checkpoint_receipt(**changes: Any) -> execution.CheckpointReceipt:
    fields = {
        "network": RULES.network,
        "requester": peer_id_to_bytes(ALICE.node_key.peer_id),
        "worker": peer_id_to_bytes(BOB.node_key.peer_id),
        "job_id": JOB,
        "shard": 3,
        "epoch": 1,
        "sequence": 1,
        "previous": bytes(32),
        "bundle": bundle(1),
        "label": "step-120",
        "done": 120,
        "total": 500,
        "wall_ms": 61_000,
        "log_count": 3,
        "log_head": bytes([0xB0] * 32),
        "logs": bundle(2),
        "made_unix_ms": NOW + 61_000,
    }
    return execution.CheckpointReceipt.model_validate({**fields, **changes})


def result_receipt(**changes: Any) -> execution.ResultReceipt:
    fields = {
        "network": RULES.network,
        "requester": peer_id_to_bytes(ALICE.node_key.peer_id),
        "worker": peer_id_to_bytes(BOB.node_key.peer_id),
        "job_id": JOB,
        "shard": 3,
        "epoch": 1,
        "award": AWARD,
        "spec_digest": sha256(b"skyops/job/1" + SPEC),
        "code": "succeeded",
        "exit_kind": "exited",
        "exit_code": 0,
        "text": "",
        "outputs": bundle(5),
        "log_count": 3,
        "log_head": bytes([0xB0] * 32),
        "usage": USAGE,
        "started_unix_ms": NOW,
        "ended_unix_ms": NOW + 61_000,
    }
    return execution.ResultReceipt.model_validate({**fields, **changes})


GANG = gang.GangPart(
    token=bytes([0xD0] * 32),
    attempt=2,
    members=tuple(
        gang.GangMemberPart(
            rank=rank, peer=peer_id_to_bytes(who.node_key.peer_id), addrs=("/ip4/127.0.0.1/tcp/4003",)
        )
        for rank, who in ((3, BOB), (5, CAROL))
    ),
)


def lease_open(**changes: Any) -> execution.LeaseOpen:
    holder = execution.HolderPart(
        peer=peer_id_to_bytes(CAROL.node_key.peer_id), addrs=("/ip4/127.0.0.1/tcp/4003",)
    )
    fields = {
        "award": AWARD,
        "job_id": JOB,
        "shard": 3,
        "shards": 8,
        "epoch": 1,
        "spec": SPEC,
        "content_key": bytes([0xC0] * 32),
        "inputs": (execution.InputPart(path="/data", bundle=bundle(7), is_file=False),),
        "secrets": (execution.SecretPart(name="API_TOKEN", value=b"hush", path="/secrets/token"),),
        "ttl_ms": 120_000,
        "holders": (holder,),
        "replicas": (),
        "is_warm": False,
    }
    return execution.LeaseOpen.model_validate({**fields, **changes})


def execution_examples() -> list[Message]:
    checkpoint = seal(checkpoint_receipt(), BOB.node_key, RULES.network)
    result = seal(result_receipt(), BOB.node_key, RULES.network)
    metric = execution.MetricPart(name="loss", millionths=310_000)
    gpu = execution.GpuLoadPart(
        index=0, utilisation_permille=870, memory_mib=20_480, power_mw=310_000, temperature_c=71
    )
    return [
        lease_open(gang=GANG),
        execution.LeaseAttach(job_id=JOB, shard=3, epoch=1, log_next=17),
        execution.LeaseReady(epoch=1, phase="fetching", log_count=0),
        execution.LeaseRefused(code="stale_epoch", text="epoch 2 is known"),
        execution.Beat(epoch=1, log_next=17),
        execution.WorkerBeat(
            epoch=1, sequence=61, phase="running", phase_done=0, phase_total=0, done=120, total=500,
            metrics=(metric,), usage=USAGE, gpus=(gpu,),
        ),
        execution.LogBatch(epoch=1, first=17, head=bytes([0xB0] * 32), records=LOG),
        checkpoint_receipt(),
        execution.CheckpointSaved(receipt=checkpoint),
        result_receipt(),
        execution.ResultReady(receipt=result),
        execution.ResultTaken(receipt=sha256(result)),
        execution.LeaseStop(epoch=1, code="cancelled", grace_ms=20_000),
        execution.PreemptionNotice(epoch=1, code="preempted", grace_ms=30_000),
        execution.TaskStart(epoch=1, task=9, arguments=("square", "12"), stdin=b"12\n"),
        execution.TaskEnded(
            epoch=1, task=9, exit_kind="exited", exit_code=0, stdout=b"144\n", stderr=b"", wall_us=1800
        ),
        gang.GangConnect(
            token=GANG.token, line=bytes([0xE0] * 16), from_rank=5, to_rank=3, taken=0, is_new=True
        ),
        gang.GangReady(taken=0),
        gang.GangData(offset=4096, data=b"gradients", is_last=False),
        gang.GangTaken(taken=4105),
    ]  # fmt: skip
