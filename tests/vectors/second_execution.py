"""Chapter 05 read a second time, without the package: logs, receipts, and which epoch counts."""

import hashlib
from typing import Any

from tests.vectors import second_crypto as crypto
from tests.vectors import second_wire as wire
from tests.vectors.second_crypto import RefusedError

Fields = dict[str, Any]
ZERO = bytes(32)


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


# --- logs ---------------------------------------------------------------------------------------------------------
def raw_records(data: bytes, key: int) -> list[bytes]:
    """Cut the encodings of the records out of a batch or a segment: their map's field `key` is the array."""
    reader = wire.Reader(data, 1 << 16)
    count = reader.take(1)[0] & 15
    for _ in range(count):
        if reader.value(1) != key:
            reader.value(1)
            continue
        first = reader.take(1)[0]
        records = first & 15 if first < 0xA0 else int.from_bytes(reader.take(2), "big")
        found = []
        for _ in range(records):
            start = reader.offset
            reader.value(2)
            found.append(data[start : reader.offset])
        return found
    raise RefusedError("malformed")


def chain(head: bytes, first: int, records: list[bytes]) -> bytes:
    """EXE-14."""
    for number, record in enumerate(records, first):
        head = sha(b"skyops/log/1", head, number.to_bytes(8, "big"), record)
    return head


def read_log(batches: list[bytes]) -> tuple[int, bytes]:
    """Take batches one behind the other; return how many records there are, and their chain. EXE-11."""
    heads = [ZERO]
    for data in batches:
        fields = wire.message(data, "log-batch")
        first, records = fields["first"], raw_records(data, 4)
        if first >= len(heads):
            raise RefusedError("log_broken")
        head = fields["head"]
        if head != heads[first]:
            raise RefusedError("log_broken")
        for number, record in enumerate(records, first):
            head = chain(head, number, [record])
            if number + 1 < len(heads) and heads[number + 1] != head:
                raise RefusedError("log_broken")
            heads[number + 1 :] = heads[number + 1 :] or [head]
    return len(heads) - 1, heads[-1]


def read_segment(data: bytes) -> Fields:
    """EXE-14."""
    value = wire.decode(data, 1 << 20, 1 << 16)
    kinds = {1: int, 2: int, 3: bytes, 4: list, 5: dict}
    if type(value) is not dict or not {1, 2, 3, 4} <= set(value) <= set(kinds):
        raise RefusedError("malformed")
    if any(type(item) is not kinds[key] for key, item in value.items()):
        raise RefusedError("malformed")
    if len(value[3]) != 32 or value[2] < 0:
        raise RefusedError("malformed")
    for record in value[4]:
        part(record, "log")
    previous = part(value[5], "bundleref")["root"] if 5 in value else None
    after = chain(value[3], value[2], raw_records(data, 4))
    return {"epoch": value[1], "first": value[2], "head": value[3], "records": len(value[4]),
            "previous": previous, "head_after": after}  # fmt: skip


def part(value: Any, name: str) -> Fields:
    return wire._named(value, wire.SCHEMA["parts"][name]["fields"])


# --- receipts -----------------------------------------------------------------------------------------------------
def check_receipt(data: bytes, name: str, lease: Fields) -> Fields:
    """Open a receipt and hold it against its lease. EXE-12, EXE-13."""
    fields, signer = wire.envelope(data, name, lease["network"])
    said = (signer, *(crypto.peer_id_text(fields[who]) for who in ("worker", "requester")))
    if said != (lease["worker"], lease["worker"], lease["requester"]):
        raise RefusedError("worker_lied")
    if (fields["job_id"].hex(), fields["shard"], fields["epoch"]) != (
        lease["job_id"],
        lease["shard"],
        lease["epoch"],
    ):
        raise RefusedError("worker_lied")
    if name == "checkpoint-receipt":
        is_good = fields["sequence"] > 0
    else:
        ours = (fields["award"].hex(), fields["spec_digest"].hex()) == (lease["award"], lease["spec_digest"])
        is_well = fields["code"] != "succeeded" or (fields["exit_kind"], fields.get("exit_code")) == (
            "exited",
            0,
        )
        is_good = ours and is_well and fields["started_unix_ms"] <= fields["ended_unix_ms"]
    if not is_good:
        raise RefusedError("worker_lied")
    return fields


def follows(receipt: Fields, previous: bytes | None, network: str) -> bool:
    """EXE-12."""
    if previous is None:
        return (receipt["sequence"], receipt["previous"]) == (1, ZERO)
    before, _ = wire.envelope(previous, "checkpoint-receipt", network)
    return bool((receipt["sequence"], receipt["previous"]) == (before["sequence"] + 1, sha(previous)))


# --- which epoch counts -------------------------------------------------------------------------------------------
class Shard:
    """What a requester and its workers know of one shard; says of each message whether it counts. EXE-4 to EXE-6."""

    def __init__(self, lease: Fields, people: dict[str, str]) -> None:
        self.lease = lease
        self.people = people
        self.epoch = 0
        self.worker = ""
        """Who has the newest lease, until it is given up."""
        self.newest: dict[str, int] = {}
        """Worker -> the newest epoch that it knows of."""
        self.asked: dict[str, int] = {}
        """Worker -> the epoch of the newest LeaseOpen or LeaseAttach to it."""
        self.last_checkpoint: bytes | None = None
        self.result: bytes | None = None

    def lose(self, worker: str) -> None:
        assert worker == self.worker
        self.worker = ""

    def hear(self, sender: str, to: str, data: bytes) -> bool:
        (name,) = [
            name
            for name, entry in wire.SCHEMA["messages"].items()
            if entry["number"] == wire.decode(data, 1 << 18)[0]
        ]
        fields = wire.message(data, name)
        return self.to_worker(to, name, fields) if sender == "alice" else self.to_alice(sender, name, fields)

    def to_worker(self, worker: str, name: str, fields: Fields) -> bool:
        known = self.newest.get(worker, 0)
        self.asked[worker] = fields.get("epoch", self.asked.get(worker, 0))
        if name == "lease-open":
            if fields["epoch"] <= known:
                return False
            assert fields["epoch"] > self.epoch, "EXE-4"
            assert not self.worker, "one lease at a time"
            assert fields.get("resume") == self.last_checkpoint
            self.newest[worker] = self.epoch = fields["epoch"]
            self.worker = worker
            return True
        if name == "lease-attach":
            return bool(fields["epoch"] == known)
        assert name == "result-taken"
        return self.result is not None and fields["receipt"] == sha(self.result)

    def to_alice(self, sender: str, name: str, fields: Fields) -> bool:
        if name in ("checkpoint-saved", "result-ready"):
            return self.receipt(name, fields["receipt"], sender)
        if name == "lease-refused":
            is_ours = sender == self.worker and self.asked[sender] == self.epoch
            self.worker = "" if is_ours else self.worker
            return is_ours
        return sender == self.worker and fields["epoch"] == self.epoch

    def receipt(self, name: str, data: bytes, sender: str) -> bool:
        kind = "checkpoint-receipt" if name == "checkpoint-saved" else "result-receipt"
        lease = self.lease | {"worker": self.people[self.worker], "epoch": self.epoch}
        try:
            fields = check_receipt(data, kind, lease)
        except RefusedError:
            return False
        if kind == "result-receipt":
            self.result = data
        elif follows(fields, self.last_checkpoint, lease["network"]):
            self.last_checkpoint = data
        else:
            return False
        return sender == self.worker
