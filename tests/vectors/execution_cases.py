"""Vectors of chapter 05: logs and their segments, receipts, and conversations in which only the newest epoch counts."""

from collections.abc import Iterable
from typing import Any

from skyops_p2p.core.execution.log_chain import START, head_after
from skyops_p2p.core.execution.log_segments import LogSegment, encode_segment
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.wire import canonical
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages import execution
from skyops_p2p.wire.messages.execution import LogBatch, LogPart
from skyops_p2p.wire.model import Message, encode_message
from tests.vectors.execution_examples import (
    AWARD,
    JOB,
    LOG,
    SPEC,
    bundle,
    checkpoint_receipt,
    lease_open,
    result_receipt,
)
from tests.vectors.people import ALICE, BOB, CAROL, MALLORY, NOW, RULES, Person

Case = dict[str, Any]
PEOPLE = {who.name: who for who in (ALICE, BOB, CAROL, MALLORY)}
SHARD = 3


def raw(who: Person) -> bytes:
    return peer_id_to_bytes(who.node_key.peer_id)


# --- logs ---------------------------------------------------------------------------------------------------------
LINES = tuple(
    LogPart(unix_ms=NOW + number, stream="stdout", data=b"line %d\n" % number) for number in range(6)
)


def batch(first: int, records: Iterable[LogPart], head: bytes | None = None) -> bytes:
    """Write a batch whose head is right unless it is given."""
    before = head_after(START, 0, LINES[:first]) if head is None else head
    return encode_message(LogBatch(epoch=1, first=first, head=before, records=tuple(records)))


def log_cases() -> list[Case]:
    other = LINES[1].model_copy(update={"data": b"another line\n"})
    whole = head_after(START, 0, LINES)
    good = [
        ("one batch", [batch(0, LINES)], 6, whole),
        ("three batches", [batch(0, LINES[:1]), batch(1, LINES[1:4]), batch(4, LINES[4:])], 6, whole),
        ("streams, bytes that are no text, an empty record", [batch(0, LOG)], 3, head_after(START, 0, LOG)),
        ("an empty batch", [batch(0, LINES[:2]), batch(2, ())], 2, head_after(START, 0, LINES[:2])),
        ("what is known comes again", [batch(0, LINES[:3]), batch(1, LINES[1:])], 6, whole),
        ("nothing yet", [], 0, START),
    ]
    bad = [
        ("a gap", [batch(0, LINES[:2]), batch(3, LINES[3:])]),
        ("begins in the middle", [batch(1, LINES[1:])]),
        ("another head", [batch(0, LINES[:2]), batch(2, LINES[2:], bytes(32))]),
        ("a head from before", [batch(0, LINES[:2]), batch(2, LINES[2:], head_after(START, 0, LINES[:1]))]),
        ("a first head that is not zero", [batch(0, LINES, bytes([1] * 32))]),
        ("a known record was changed", [batch(0, LINES[:3]), batch(1, (other, *LINES[2:]))]),
    ]
    return [
        *(
            {"name": name, "batches": [data.hex() for data in batches], "count": count, "head": head.hex()}
            for name, batches, count, head in good
        ),
        *({"name": name, "batches": [data.hex() for data in batches], "code": "log_broken"}
          for name, batches in bad),
    ]  # fmt: skip


def segment_cases() -> list[Case]:
    head = head_after(START, 0, LINES[:2])
    first = LogSegment(1, 0, START, LINES[:2], None)
    second = LogSegment(1, 2, head, LINES[2:], bundle(1))
    fields = canonical.decode(encode_segment(second))
    assert isinstance(fields, dict)
    good = [
        {"name": name, "bytes": encode_segment(one).hex(), "epoch": one.epoch, "first": one.first,
         "head": one.head.hex(), "head_after": head_after(one.head, one.first, one.records).hex(),
         "records": len(one.records), **({"previous": one.previous.root.hex()} if one.previous else {})}
        for name, one in (("the first", first), ("one behind another", second))
    ]  # fmt: skip
    bad = {
        "without an epoch": {key: value for key, value in fields.items() if key != 1},
        "without records": {key: value for key, value in fields.items() if key != 4},
        "epoch is a bool": fields | {1: True},
        "a short head": fields | {3: bytes(31)},
        "a negative number": fields | {2: -1},
        "a record without text": fields | {4: [{1: NOW, 2: "stdout"}]},
        "previous is a CID alone": fields | {5: bytes(36)},
        "a sixth field": fields | {6: 0},
        "an array": list(fields.values()),
    }
    return [
        *good,
        *(
            {"name": name, "bytes": canonical.encode(value).hex(), "code": "malformed"}
            for name, value in bad.items()
        ),
    ]


# --- receipts -----------------------------------------------------------------------------------------------------
LEASE = {
    "network": RULES.network,
    "requester": ALICE.node_key.peer_id,
    "worker": BOB.node_key.peer_id,
    "job_id": JOB.hex(),
    "shard": SHARD,
    "epoch": 1,
    "award": AWARD.hex(),
    "spec_digest": sha256(b"skyops/job/1" + SPEC).hex(),
}
ANOTHER_LEASE: dict[str, dict[str, Any]] = {
    "for another requester": {"requester": raw(CAROL)},
    "of another worker": {"worker": raw(CAROL)},
    "of another job": {"job_id": bytes(16)},
    "of another shard": {"shard": 2},
    "of another epoch": {"epoch": 2},
}


def checkpoint(who: Person = BOB, **changes: Any) -> bytes:
    return seal(checkpoint_receipt(**{"worker": raw(who)} | changes), who.node_key, RULES.network)


def result(who: Person = BOB, **changes: Any) -> bytes:
    return seal(result_receipt(**{"worker": raw(who)} | changes), who.node_key, RULES.network)


def receipt_cases() -> list[Case]:
    first = checkpoint()
    second = checkpoint(sequence=2, previous=sha256(first))
    carols = {"worker": raw(BOB)}
    rows: list[tuple[str, bytes, str | None]] = [
        ("a checkpoint", first, None),
        *((f"a checkpoint {name}", checkpoint(**changes), "worker_lied") for name, changes in ANOTHER_LEASE.items()),
        ("a checkpoint signed by somebody else", checkpoint(CAROL, **carols), "worker_lied"),
        ("checkpoint number 0", checkpoint(sequence=0), "worker_lied"),
        ("a checkpoint with a byte changed", first[:-1] + bytes([first[-1] ^ 1]), "bad_signature"),
        ("a checkpoint for another network", seal(checkpoint_receipt(network="skyops"), BOB.node_key, "skyops"),
         "wrong_network"),
        ("a result", result(), None),
        *((f"a result {name}", result(**changes), "worker_lied") for name, changes in ANOTHER_LEASE.items()),
        ("a result under another award", result(award=bytes(32)), "worker_lied"),
        ("a result for another specification", result(spec_digest=bytes(32)), "worker_lied"),
        ("a failure", result(code="program_failed", exit_code=1, outputs=None), None),
        ("a run that never began", result(code="input_unavailable", exit_kind="none", exit_code=None, outputs=None),
         None),
        ("a success with exit code 1", result(exit_code=1), "worker_lied"),
        ("a success of a program that was stopped", result(exit_kind="stopped", exit_code=None), "worker_lied"),
        ("a result that ended before it began", result(ended_unix_ms=NOW - 1), "worker_lied"),
    ]  # fmt: skip
    cases = []
    for name, data, code in rows:
        kind = "result-receipt" if "result-receipt" in str(data) else "checkpoint-receipt"
        cases.append(
            {"name": name, "message": kind, "lease": LEASE, "bytes": data.hex(), **({"code": code} if code else {})}
        )  # fmt: skip
    chains = [
        ("the first of all follows nothing", first, None, True),
        ("the second follows the first", second, first, True),
        ("the second follows nothing", second, None, False),
        ("the first follows itself", first, first, False),
        ("a gap in the numbers", checkpoint(sequence=3, previous=sha256(first)), first, False),
        ("another one before it", checkpoint(sequence=2, previous=bytes(32)), first, False),
        ("a first one with something before it", checkpoint(previous=sha256(first)), None, False),
    ]
    for name, data, previous, does_follow in chains:
        before = {} if previous is None else {"previous": previous.hex()}
        cases.append(
            {"name": name, "message": "checkpoint-receipt", "lease": LEASE, "bytes": data.hex(), **before,
             "follows": does_follow}
        )  # fmt: skip
    return cases


# --- conversations ------------------------------------------------------------------------------------------------
class Talk:
    """One shard of alice's, told message by message; `counts` says whether its receiver takes notice of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.steps: list[Case] = []
        self.chain: list[bytes] = []
        """Enveloped checkpoint receipts that counted."""

    def say(self, sender: Person, to: Person, message: Message, *, counts: bool = True) -> "Talk":
        self.steps.append(
            {"from": sender.name, "to": to.name, "bytes": encode_message(message).hex(), "counts": counts}
        )
        return self

    def lose(self, who: Person) -> "Talk":
        """Alice gives a worker up."""
        self.steps.append({"event": "lost", "worker": who.name})
        return self

    def open(self, who: Person, epoch: int, *, counts: bool = True) -> "Talk":
        resume = self.chain[-1] if self.chain else None
        self.say(ALICE, who, lease_open(epoch=epoch, resume=resume), counts=counts)
        if counts:
            return self.say(who, ALICE, execution.LeaseReady(epoch=epoch, phase="fetching", log_count=0))
        return self.refuse(who, "stale_epoch")

    def attach(self, who: Person, epoch: int, *, counts: bool = True) -> "Talk":
        ask = execution.LeaseAttach(job_id=JOB, shard=SHARD, epoch=epoch, log_next=0)
        self.say(ALICE, who, ask, counts=counts)
        if counts:
            return self.say(who, ALICE, execution.LeaseReady(epoch=epoch, phase="running", log_count=0))
        return self.refuse(who, "stale_epoch")

    def refuse(self, who: Person, code: str, *, counts: bool = False) -> "Talk":
        """Let a worker refuse; what does not count is the answer to an older epoch."""
        return self.say(who, ALICE, execution.LeaseRefused(code=code, text=""), counts=counts)

    def save(self, who: Person, epoch: int, *, counts: bool = True, **changes: Any) -> "Talk":
        number = len(self.chain) + 1
        previous = sha256(self.chain[-1]) if self.chain else bytes(32)
        fields = {"epoch": epoch, "sequence": number, "previous": previous} | changes
        receipt = checkpoint(who, **fields)
        if counts:
            self.chain.append(receipt)
        return self.say(who, ALICE, execution.CheckpointSaved(receipt=receipt), counts=counts)

    def finish(self, who: Person, epoch: int, *, counts: bool = True, **changes: Any) -> "Talk":
        receipt = result(who, **{"epoch": epoch, "outputs": None} | changes)
        self.say(who, ALICE, execution.ResultReady(receipt=receipt), counts=counts)
        if counts:
            self.say(ALICE, who, execution.ResultTaken(receipt=sha256(receipt)))
        return self

    def case(self) -> Case:
        people = {name: who.node_key.peer_id for name, who in PEOPLE.items()}
        return {"name": self.name, "lease": LEASE, "people": people, "steps": self.steps}


def lease_cases() -> list[Case]:
    beat = execution.WorkerBeat(
        epoch=1, sequence=9, phase="running", phase_done=0, phase_total=0, done=9, total=10, metrics=(), gpus=()
    )  # fmt: skip
    talks = [
        Talk("one lease to its end").open(BOB, 1).save(BOB, 1).save(BOB, 1).finish(BOB, 1),
        Talk("a result that is offered again is taken again").open(BOB, 1).finish(BOB, 1).attach(BOB, 1).finish(
            BOB, 1
        ),
        Talk("a lease that is refused, and the next one elsewhere")
        .say(ALICE, BOB, lease_open(epoch=1)).refuse(BOB, "busy", counts=True)
        .open(CAROL, 2)
        .finish(BOB, 1, counts=False)
        .finish(CAROL, 2),
        Talk("a lost worker's result comes late")
        .open(BOB, 1).lose(BOB).open(CAROL, 2)
        .finish(BOB, 1, counts=False)
        .finish(CAROL, 2),
        Talk("a lost worker's checkpoints come late and are in no chain")
        .open(BOB, 1).save(BOB, 1).lose(BOB).open(CAROL, 2)
        .save(BOB, 1, counts=False)
        .save(CAROL, 2)
        .save(BOB, 1, counts=False)
        .finish(CAROL, 2),
        Talk("a lost worker beats on").open(BOB, 1).lose(BOB).open(CAROL, 2).say(BOB, ALICE, beat, counts=False),
        Talk("a worker refuses an older epoch, and the same again")
        .open(BOB, 1).lose(BOB).open(CAROL, 2).lose(CAROL).open(BOB, 3)
        .open(BOB, 2, counts=False)
        .open(BOB, 1, counts=False)
        .attach(BOB, 1, counts=False)
        .attach(BOB, 3)
        .finish(BOB, 3),
        Talk("the same worker under a newer epoch drops its older run")
        .open(BOB, 1).lose(BOB).open(BOB, 2)
        .finish(BOB, 1, counts=False)
        .finish(BOB, 2),
        Talk("receipts of others and of other jobs")
        .open(BOB, 1)
        .save(MALLORY, 1, counts=False)
        .save(BOB, 1, counts=False, job_id=bytes(16))
        .save(BOB, 1, counts=False, shard=2)
        .save(BOB, 2, counts=False)
        .save(BOB, 1, counts=False, sequence=2)
        .save(BOB, 1, counts=False, previous=bytes([1] * 32))
        .save(BOB, 1)
        .finish(MALLORY, 1, counts=False)
        .finish(BOB, 2, counts=False)
        .finish(BOB, 1, counts=False, exit_code=1)
        .finish(BOB, 1),
    ]  # fmt: skip
    return [talk.case() for talk in talks]


FAMILIES = {
    "log-chains": ("05-execution.md, Logs", log_cases),
    "log-segments": ("05-execution.md, Logs", segment_cases),
    "receipts": ("05-execution.md, Receipts", receipt_cases),
    "leases": ("05-execution.md, Epochs", lease_cases),
}
