"""Chapter 07 read a second time, without the package: lanes, vouchers, meters, costs, receipts and prices."""

import hashlib
from typing import Any

from tests.vectors import second_crypto as crypto
from tests.vectors import second_wire as wire
from tests.vectors.second_crypto import RefusedError

Fields = dict[str, Any]
HOUR_MS = 3_600_000
READINGS = {
    "runtime_ms": 2000,
    "gpu_ms": 32_000,
    "cpu_ms": 512_000,
    "memory_mib_s": 2048,
    "moved_bytes": 1_048_576,
}
FIRST_MS, AFTER_MS = 10_000, 6000
"""The first interval, and what may be unpaid beyond one."""


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def wei(data: bytes, bits: int = 256) -> int:
    """SET-1."""
    number = int.from_bytes(data, "big")
    if number >> bits:
        raise RefusedError("malformed")
    return number


# --- lanes --------------------------------------------------------------------------------------------------------
def lane_name(job_id: bytes, shard: int, epoch: int) -> bytes:
    """SET-3."""
    return sha(b"skyops/lane/1", job_id, shard.to_bytes(4, "big"), epoch.to_bytes(8, "big"))


def check_offer(offer: Fields, pair: Fields, agreed: dict[bytes, Fields]) -> None:
    """Hold a LaneOffer against the pair and the offers that the worker waits for. SET-1, SET-3, SET-5."""
    if wei(offer["rate"], 96) == 0:
        raise RefusedError("malformed")
    if offer["lane"] != lane_name(offer["job_id"], offer["shard"], offer["epoch"]):
        raise RefusedError("wrong_terms")
    if offer["chain_id"] != pair["chain_id"]:
        raise RefusedError("wrong_network")
    if offer["contract"].hex() != pair["contract"]:
        raise RefusedError("wrong_contract")
    if (offer["requester"].hex(), offer["token"].hex()) != (pair["requester"], pair["token"]):
        raise RefusedError("wrong_pair")
    if offer["lane"] not in agreed:
        raise RefusedError("unknown_lane")
    if offer != agreed[offer["lane"]] or offer["holdback_bps"] != pair["holdback_bps"]:
        raise RefusedError("wrong_terms")


def need(rate: int, pace_ms: int, prepaid_ms: int) -> int:
    """What the deposit must hold for a lane beyond what is promised. SET-12."""
    return rate * (pace_ms + AFTER_MS + prepaid_ms) // HOUR_MS


# --- meters -------------------------------------------------------------------------------------------------------
def smaller(first: Fields, second: Fields) -> Fields:
    return {name: min(first[name], second[name]) for name in READINGS}


def are_apart(first: Fields, second: Fields) -> bool:
    """SET-6."""
    for name, slack in READINGS.items():
        low, high = sorted((first[name], second[name]))
        is_compared = name == "runtime_ms" or low > 0
        if is_compared and high - low > slack and 100 * (high - low) > 2 * high:
            return True
    return False


class Bill:
    """What one lane has cost. SET-7, SET-14."""

    def __init__(self, rate: int, prepaid_ms: int) -> None:
        self.rate, self.prepaid_ms = rate, prepaid_ms
        self.runtime_ms = self.amount = 0
        self.leaves: list[bytes] = []

    def add(self, requester: Fields, worker: Fields, *, is_last: bool, least: int) -> int:
        """Take one more interval in; return what the lane has cost with it."""
        self.runtime_ms = max(self.runtime_ms, min(requester["runtime_ms"], worker["runtime_ms"]))
        paid_ms = self.runtime_ms + (0 if is_last else self.prepaid_ms)
        self.amount = max(self.rate * paid_ms // HOUR_MS, self.amount + least)
        row = [
            _integer(len(self.leaves) + 1),
            _counts(requester),
            _counts(worker),
            b"\xc4\x20" + word(self.amount),
        ]
        self.leaves.append(sha(b"\0skyops/interval/1\x94", *row))
        return self.amount


def _integer(number: int) -> bytes:
    """MessagePack's shortest form. CNV-1."""
    for limit, mark, size in (
        (1 << 7, b"", 1),
        (1 << 8, b"\xcc", 1),
        (1 << 16, b"\xcd", 2),
        (1 << 32, b"\xce", 4),
    ):
        if number < limit:
            return mark + number.to_bytes(size, "big")
    return b"\xcf" + number.to_bytes(8, "big")


def _counts(counts: Fields) -> bytes:
    return b"\x85" + b"".join(bytes([key]) + _integer(counts[name]) for key, name in enumerate(READINGS, 1))


def tree_root(nodes: list[bytes]) -> bytes:
    """SET-14."""
    while len(nodes) > 1:
        nodes = [_join(nodes[at : at + 2]) for at in range(0, len(nodes), 2)]
    return nodes[0] if nodes else bytes(32)


def is_in_tree(root: bytes, leaf: bytes, index: int, count: int, path: list[bytes]) -> bool:
    """Walk up; a node without a sibling moves up as it is. SET-14."""
    rest = list(path)
    while count > 1:
        if index ^ 1 < count:
            if not rest:
                return False
            other = rest.pop(0)
            leaf = _join([other, leaf] if index & 1 else [leaf, other])
        index, count = index >> 1, (count + 1) >> 1
    return not rest and leaf == root


def _join(nodes: list[bytes]) -> bytes:
    return sha(b"\x01", *nodes) if len(nodes) == 2 else nodes[0]


# --- vouchers -----------------------------------------------------------------------------------------------------
def voucher_digest(voucher: Fields) -> bytes:
    """SET-9."""
    members = "address worker,address token,uint96 cumulative,uint16 holdbackBps,bytes32 receiptsRoot"
    words = [voucher["worker"].rjust(32, b"\0"), voucher["token"].rjust(32, b"\0"), voucher["cumulative"],
             word(voucher["holdback_bps"]), voucher["receipts_root"]]  # fmt: skip
    return crypto.typed_digest(
        voucher["chain_id"],
        f"Voucher({members})",
        words,
        name=b"Skyops Settlement",
        contract=voucher["contract"],
    )


def check_voucher(voucher: Fields, pair: Fields) -> int:
    """SET-10, up to the signature."""
    for names, code in (
        (("chain_id",), "wrong_network"),
        (("contract",), "wrong_contract"),
        (("requester", "worker", "token"), "wrong_pair"),
        (("holdback_bps",), "wrong_terms"),
    ):
        said = [voucher[name].hex() if isinstance(voucher[name], bytes) else voucher[name] for name in names]
        if said != [pair[name] for name in names]:
            raise RefusedError(code)
    amount = wei(voucher["cumulative"], 96)
    if crypto.recover(voucher_digest(voucher), voucher["signature"]).hex() != pair["requester"]:
        raise RefusedError("bad_signature")
    return amount


# --- receipts -----------------------------------------------------------------------------------------------------
CHAIN = sha(b"skyops/receipts/1")


def link(receipt: bytes, previous: bytes) -> bytes:
    """SET-15."""
    return sha(b"skyops/receipt/1", previous, sha(receipt))


def statement_digest(sequence: int, content: bytes, chain_id: int, disputes: bytes) -> bytes:
    """SET-15."""
    words = [CHAIN, word(sequence), content]
    kind = "Statement(bytes32 lane,uint64 sequence,bytes32 content)"
    return crypto.typed_digest(chain_id, kind, words, name=b"Skyops Disputes", contract=disputes)


def check_half(receipt: bytes, half: Fields, account: bytes, chain_id: int, disputes: bytes) -> Fields:
    """SET-15."""
    content = link(receipt, half["previous"])
    digest = statement_digest(half["sequence"], content, chain_id, disputes)
    if crypto.recover(digest, half["signature"]) != account:
        raise RefusedError("bad_signature")
    if (half["sequence"] == 1) != (half["previous"] == bytes(32)):
        raise RefusedError("bad_receipt")
    return {"sequence": half["sequence"], "link": content.hex(), "digest": digest.hex()}


def open_receipt(data: bytes, chain_id: int, disputes: bytes) -> tuple[Fields, Fields]:
    """Return a receipt's fields, and what each half of it comes to. SET-14, SET-15."""
    signed = wire.message(data, "signed-receipt")
    receipt = wire.message(signed["receipt"], "receipt")
    wei(receipt["cumulative"], 96)
    if receipt["chain_id"] != chain_id:
        raise RefusedError("wrong_network")
    parties = [party for party in ("requester", "worker") if party in signed]
    if not parties:
        raise RefusedError("bad_receipt")
    halves = {
        party: check_half(signed["receipt"], signed[party], receipt[party], chain_id, disputes)
        for party in parties
    }
    return receipt, halves


def receipt_leaf(receipt: Fields) -> bytes:
    """SET-14."""
    names = ("lane", "result", "log_head", "metering_root", "amount")
    return sha(b"\0", *(receipt[name] for name in names), word(receipt["ended_unix_ms"] // 1000))


def double_history(first: bytes, second: bytes, chain_id: int, disputes: bytes) -> Fields | None:
    """SET-17."""
    opened = [open_receipt(data, chain_id, disputes) for data in (first, second)]
    signed = [wire.message(data, "signed-receipt") for data in (first, second)]
    places = [
        [
            (receipt[party], place["sequence"], place["link"], said[party]["signature"])
            for party, place in halves.items()
        ]
        for (receipt, halves), said in zip(opened, signed, strict=True)
    ]
    for mine in places[0]:
        for theirs in places[1]:
            if mine[:2] == theirs[:2] and mine[2] != theirs[2]:
                return {"account": mine[0].hex(), "lane": CHAIN.hex(), "sequence": mine[1],
                        "contents": [mine[2], theirs[2]],
                        "signatures": [mine[3].hex(), theirs[3].hex()]}  # fmt: skip
    return None


# --- prices -------------------------------------------------------------------------------------------------------
def price(formula: str, g: dict[str, int]) -> dict[str, int]:
    """SET-2, SET-8, SET-22, SET-23, SET-26."""
    match formula:
        case "credits":
            return {"wei": g["microcredits"] * 10**12}
        case "redemption":
            return _redemption(g)
        case "fee_shares":  # one half, one third, and what is left
            pool, fund = g["fee"] // 2, g["fee"] // 3
            return {"pool": pool, "fund": fund, "burned": g["fee"] - pool - fund}
        case (
            "holdback_bps"
        ):  # 20 % up to a trust of 0.5, then 3.75 hundredths of a per cent less a thousandth
            wanted = 2000 - -(-375 * (g["trust_permille"] - 500) // 100)
            return {"bps": min(max(wanted, 500), 2000)}
        case "refund":
            owed = g["cumulative"] - g["redeemed"]
            return {"wei": g["funds"] - min(owed, g["funds"]) if owed > 0 else g["funds"]}
        case "runway_s":
            return {"seconds": max(0, g["funds"] - g["promised"]) * 3600 // g["rate_wei"]}
        case "exposure":
            return {"worker": _time(g["rate_wei"], g["interval_ms"] + g["grace_ms"]),
                    "requester": _time(g["rate_wei"], g["prepaid_ms"])}  # fmt: skip
        case "early_exit":
            fee = -(-(g["prepaid"] - g["used"]) * 30 // 100)
            return {"refund": g["prepaid"] - g["used"] - fee, "fee": fee}
        case "no_show":
            return {"wei": g["rate_wei"]}
        case "late_start":
            first, steps = _time(g["rate_wei"], g["interval_ms"]), -(-g["late_ms"] // 10_000)
            return {"wei": min(first * steps // 5, first)}
        case "preemption":
            return {"wei": _time(g["rate_wei"], min(g["unsaved_ms"], 60_000))}
    raise AssertionError(formula)


def _time(rate: int, ms: int) -> int:
    return rate * ms // HOUR_MS


def _redemption(g: dict[str, int]) -> dict[str, int]:
    unit = g["unit"]
    units = min(max(0, g["cumulative"] // unit - g["redeemed"] // unit), g["funds"] // unit)
    fee = units * g["fee_bps"] // 10_000
    share = sorted((500, g["holdback_bps"], 2000))[1]
    held = (units - fee) * share // 10_000
    parts = {"taken": units, "fee": fee, "held": held, "credited": units - fee - held}
    return {name: part * unit for name, part in parts.items()}
