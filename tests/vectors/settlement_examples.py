"""Plain examples of the messages of chapter 07, by the people of the vectors."""

from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.wire.messages import settlement as msg
from skyops_p2p.wire.model import Message, encode_message
from tests.vectors.people import ALICE, BOB, NOW, RULES

COUNTS = msg.CountsPart(runtime_ms=10_000, gpu_ms=9500, cpu_ms=4000, memory_mib_s=20_480, moved_bytes=1 << 20)
LANE = sha256(b"skyops/lane/1" + bytes(range(16)) + bytes(11) + b"\x01")
CONTRACT, TOKEN = bytes([0x5E] * 20), bytes([0x70] * 20)
AMOUNT = (10**16).to_bytes(32, "big")
PAIR = {
    "chain_id": RULES.chain_id,
    "contract": CONTRACT,
    "token": TOKEN,
    "requester": address_to_bytes(ALICE.wallet.address),
}


def settlement_examples() -> list[Message]:
    """Return one message of every kind; the numbers inside need not make sense together."""
    half = msg.HalfPart(sequence=1, previous=bytes(32), signature=bytes(65))
    receipt = msg.Receipt(
        **PAIR, network=RULES.network, worker=address_to_bytes(BOB.wallet.address), lane=LANE,
        job_id=bytes(range(16)), shard=0, epoch=1, award=bytes([0xA0] * 32), spec_digest=bytes([4] * 32),
        mode="priority", class_milli=6100, outcome="succeeded", result=bytes([2] * 32), log_head=bytes([3] * 32),
        metering_root=bytes([5] * 32), started_unix_ms=NOW, ended_unix_ms=NOW + 10_000, requester_counts=COUNTS,
        worker_counts=COUNTS, rate=AMOUNT, amount=AMOUNT, cumulative=AMOUNT,
        verification="exact", redundancy=3,
    )  # fmt: skip
    item = msg.VoucherItemPart(lane=LANE, interval=1, counts=COUNTS)
    return [
        msg.LaneOffer(
            **PAIR, lane=LANE, job_id=bytes(range(16)), shard=0, epoch=1, award=bytes([0xA0] * 32), rate=AMOUNT,
            prepaid_ms=0, interval_ms_max=60_000, holdback_bps=1000,
        ),
        msg.LaneAnswer(lane=LANE, code="taken"),
        msg.Meter(lane=LANE, interval=1, counts=COUNTS, is_last=False),
        msg.Voucher(
            **PAIR, worker=address_to_bytes(BOB.wallet.address), cumulative=AMOUNT, holdback_bps=1000,
            receipts_root=bytes(32), signature=bytes(65), items=(item,), receipts=(),
        ),
        msg.VoucherAnswer(answers=AMOUNT, newest=AMOUNT, code="taken", halves=(half,)),
        msg.LaneStop(lane=LANE, code="meters_apart"),
        receipt,
        msg.SignedReceipt(receipt=encode_message(receipt), requester=half, worker=half),
    ]  # fmt: skip
