"""Second auditor of bid books, sharing no code with skyops_p2p. Written from protocol/04-auction.md.

It knows all policies but `vdf`, which needs a class group.
"""

import hashlib
import math
from fractions import Fraction
from typing import Any

from tests.vectors import second_wire as wire
from tests.vectors.second_crypto import ALPHABET, RefusedError, peer_id_text
from tests.vectors.second_handshake import Network
from tests.vectors.second_peering import check_record

M = 10**6
Fields = dict[str, Any]


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


# --- encoding ---------------------------------------------------------------------------------------------------
def pack(value: Any) -> bytes:
    """Write canonical MessagePack: non-negative ints, text, and arrays and maps of them."""
    if isinstance(value, int):
        for first, size, end in ((0xCC, 1, 8), (0xCD, 2, 16), (0xCE, 4, 32), (0xCF, 8, 64)):
            if value < 1 << end:
                return bytes([value]) if value < 128 else bytes([first]) + value.to_bytes(size, "big")
    if isinstance(value, str):
        data = value.encode()
        return (bytes([0xA0 | len(data)]) if len(data) < 32 else bytes([0xD9, len(data)])) + data
    if isinstance(value, list):
        head = bytes([0x90 | len(value)]) if len(value) < 16 else b"\xdc" + len(value).to_bytes(2, "big")
        return head + b"".join(map(pack, value))
    return bytes([0x80 | len(value)]) + b"".join(pack(key) + pack(value[key]) for key in sorted(value))


BID_FIELDS = {name: field["number"] for name, field in wire.SCHEMA["parts"]["bid"]["fields"].items()}


def commitment(tender: bytes, bidder: bytes, bid: Fields, salt: bytes) -> bytes:
    """AUC-8."""
    encoded = pack({BID_FIELDS[name]: value for name, value in bid.items()})
    return sha(b"skyops/bid/1", tender, bidder, encoded, salt)


# --- lots -------------------------------------------------------------------------------------------------------
def lot(seed: bytes, bidder: bytes, weight: int) -> int:
    """AUC-20."""
    u = int.from_bytes(sha(b"skyops/lot/1", seed, bidder)[:8], "big") + 1
    e = len(bin(u)) - 3
    m = u * 2**63 // 2**e
    digits = ""
    for _ in range(32):
        m = m * m // 2**63
        digits += "1" if m >= 2**64 else "0"
        m = m // 2 if m >= 2**64 else m
    return (64 * 2**32 - (e * 2**32 + int(digits, 2))) * 2**64 // max(1, weight)


# --- screening --------------------------------------------------------------------------------------------------
def plain_name(name: str) -> str:
    return "".join(c for c in name.lower() if c in "abcdefghijklmnopqrstuvwxyz0123456789")


def version(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split("."))
    except ValueError:
        return (-1,)


def gpu_tests(needs: Fields, gpu: Fields) -> dict[str, bool]:
    names = [plain_name(model) for model in needs["gpu_models"]]
    wanted = needs["compute_capability"]
    return {
        "gpu_model": not names or any(name in plain_name(gpu["model"]) for name in names),
        "vram": gpu["vram_mib"] >= needs["vram_mib"],
        "compute_capability": not wanted or version(gpu["compute_capability"]) >= version(wanted),
    }


def gpu_count(needs: Fields) -> int:
    return needs["gpu_count"] or (
        1 if needs["gpu_models"] or needs["vram_mib"] or needs["compute_capability"] else 0
    )


def screening(needs: Fields, record: Fields, round_trip_ms: int) -> list[str]:
    if not record["is_worker"]:
        return ["not_a_worker"]
    codes = []
    offered = [runtime["limits"] for runtime in record["runtimes"] if runtime["name"] == needs["runtime"]]
    if not offered:
        codes.append("runtime_missing")
    elif needs["needs_hard_limits"] and "hard" not in offered:
        codes.append("limits_soft")
    hardware, count = record["hardware"], gpu_count(needs)
    good = [gpu for gpu in hardware["gpus"] if all(gpu_tests(needs, gpu).values())]
    kinds = [(gpu["model"], gpu["vram_mib"]) for gpu in good]
    if count and all(kinds.count(kind) < count for kind in set(kinds)):
        tests = [gpu_tests(needs, gpu) for gpu in hardware["gpus"]]
        short = [name for name in ("gpu_model", "vram", "compute_capability")
                 if sum(test[name] for test in tests) < count]  # fmt: skip
        codes += ["gpu_count"] if len(hardware["gpus"]) < count else short or ["gpu_mix"]
    codes += ["cpu"] if hardware["cpu_cores"] < needs["cpu_cores"] else []
    codes += ["memory"] if hardware["memory_mib"] < needs["memory_mib"] else []
    codes += ["disk"] if hardware["disk_mib"] < needs["disk_mib"] else []
    codes += ["region"] if needs["regions"] and record["region"] not in needs["regions"] else []
    codes += ["label"] if set(needs["labels"]) - set(record["labels"]) else []
    codes += ["latency"] if needs["latency_ms_max"] and round_trip_ms > needs["latency_ms_max"] else []
    return codes


# --- the rule ---------------------------------------------------------------------------------------------------
def devices(record: Fields) -> dict[str, Fields]:
    probed = record["hardware"]["source"] == "nvml"
    return {
        gpu["uuid"] if probed and gpu["uuid"] else f"{peer_id_text(record['peer'])}/{index}": gpu
        for index, gpu in enumerate(record["hardware"]["gpus"])
    }


def class_index(gpu: Fields) -> int:  # AUC-41
    memory = gpu["vram_mib"]
    if (measured := gpu.get("benchmark")) is None:
        known = {"rtx3060": 1000, "rtx3090": 2600, "rtx4090": 4000, "a100": 6100, "h100": 12_600}
        model = "".join(sign for sign in gpu["model"].lower() if sign.isalnum())
        named = [index for part, index in known.items() if part in model]
        return named[0] if named else min(12_600, max(100, memory * 1000 // 12_288))
    wanted = Fraction(measured["mflops"], 51_000_000) ** 5 * Fraction(measured["mb_per_s"], 360_000) ** 3
    wanted *= Fraction(max(1, memory), 12_288) ** 2 * 1000**10
    low, high = 0, 10**8
    while high - low > 1:  # low^10 <= wanted < high^10
        middle = (low + high) // 2
        low, high = (middle, high) if middle**10 <= wanted else (low, middle)
    return max(1, low)


def is_own_hardware(tender: Fields, bid: Fields, record: Fields) -> bool:
    names, there = bid["devices"], devices(record)
    if len(names) != gpu_count(tender["needs"]) or len(set(names)) < len(names):
        return False
    if not names:
        return not (bid["vram_mib"] or bid["gpu_model"] or bid["speed_milli"])
    if not set(names) <= set(there) or bid["speed_milli"] != sum(class_index(there[name]) for name in names):
        return False
    return all(
        there[name]["model"] == bid["gpu_model"]
        and there[name]["vram_mib"] == bid["vram_mib"]
        and all(gpu_tests(tender["needs"], there[name]).values())
        for name in names
    )


def filtered(
    tender: Fields, seen: Fields, bid: Fields, sequence: int, record: Fields, closed: int
) -> list[str]:
    """AUC-16."""
    checks = [
        ("denied", seen["bidder"] in tender["deny"]),
        ("not_allowed", tender["allow"] != [] and seen["bidder"] not in tender["allow"]),
        ("reputation", seen["reputation"] < tender["reputation_min"]),
        ("record_missing", record["sequence"] < sequence),
        ("price_above_max", bid["price"] > tender["price_max"]),
        ("bid_expired", bid["valid_until_unix_ms"] < closed),
        ("hardware_mismatch", not is_own_hardware(tender, bid, record)),
        ("proof_stale", tender["policy"] == "poc" and seen["throughput"] == 0),
    ]
    found = [code for code, is_so in checks if is_so]
    return found + screening(tender["needs"], record, seen["round_trip_ms"])


def cut(value: int) -> int:
    return min(M, max(0, value))


def scored(tender: Fields, seen: Fields, bid: Fields) -> Fields:
    """AUC-18, AUC-19."""
    needs, have = tender["needs"], bid["vram_mib"]
    price = cut((tender["price_max"] - bid["price"]) * M // (tender["price_max"] - tender["price_floor"]))
    reputation = cut(seen["reputation"] * M // 700_000)
    size = math.isqrt(min(needs["vram_mib"] or 8192, have) * M * M // have) if have else M
    least = tender["speed_milli_min"]
    speed = cut(bid["speed_milli"] * M // least) if least else M
    cached = 500_000 + 500 * bid["cached_permille"] if tender["input_bytes"] else M
    fit = size * speed * cached // M**2
    longest = needs["latency_ms_max"] or 1000
    latency = (
        M
        - 500_000 * min(seen["round_trip_ms"], longest) // longest
        - 500_000 * min(seen["transfer_ms"], 60_000) // 60_000
    )
    hoarding = 0
    if tender["window_awards"]:
        fair = tender["window_awards"] * max(1, seen["stake_weight"])
        multiple = seen["recent_awards"] * max(1, tender["window_stake"]) * M // fair
        hoarding = min(3 * M, max(0, multiple - M)) * 150_000 // M
    w = tender["weights"]
    total = w["price"] * price + w["reputation"] * reputation + w["fit"] * fit + w["latency"] * latency
    return {
        "bidder": seen["bidder"], "price": price, "reputation": reputation, "fit": fit, "latency": latency,
        "hoarding": hoarding, "total": total // M - hoarding,
    }  # fmt: skip


def place(tender: Fields, seed: bytes, seen: Fields, bid: Fields, total: int) -> tuple[Any, ...]:
    """AUC-20, AUC-21."""
    who, stake = seen["bidder"], seen["stake_weight"]
    if tender["policy"] == "poc":
        return (lot(seed, who, seen["throughput"]), who)
    first: tuple[int, ...] = (-(total // 5000),)
    if tender["policy"] == "wrr":
        owed = max(1, stake) * M // (seen["recent_awards"] + 1)
        first = (bid["price"] * 3 > tender["price_floor"] * 5, -owed)
    return (*first, lot(seed, who, stake), who)


# --- the audit --------------------------------------------------------------------------------------------------
def audit(data: bytes, network: Network) -> list[str]:
    """Return the peer ids of the ranking; RefusedError if the book is wrong anywhere. AUC-9 to AUC-22."""
    book, requester = wire.envelope(data, "bid-book", network.network)
    tender, signer = wire.envelope(book["tender"], "tender", network.network)
    digest = sha(book["tender"])
    insist(signer == requester == peer_id_text(tender["requester"]))
    insist(sum(tender["weights"].values()) == M)
    insist(tender["price_floor"] < tender["price_max"])
    insist(sha(book["seed"]) == tender["seed_digest"])
    insist(book["proof"] == b"")
    for decline in book["declines"]:
        insist(wire.envelope(decline, "decline", network.network)[0]["tender"] == digest)
    commits = [wire.envelope(commit, "commit", network.network) for commit in book["commits"]]
    check_set(book, tender, digest, signer, network)
    insist(all(commit["tender"] == digest for commit, _ in commits))
    bidders = [peer_id_bytes_of(who) for _, who in commits]
    opened = match(book["reveals"], commits, bidders, digest)
    insist([seen["bidder"] for seen in book["observations"]] == sorted(opened))
    excluded = {
        bidder: ["equivocation"] if bidders.count(bidder) > 1 else ["reveal_missing"]
        for bidder in bidders
        if bidder not in opened
    }
    ranking, scores = judge(book, tender, opened, excluded, network)
    insist(book["exclusions"] == [{"bidder": who, "codes": excluded[who]} for who in sorted(excluded)])
    insist(book["scores"] == scores)
    insist(book["ranking"] == ranking)
    return [peer_id_text(who) for who in ranking]


def judge(
    book: Fields,
    tender: Fields,
    opened: dict[bytes, tuple[Fields, int]],
    excluded: dict[bytes, list[str]],
    network: Network,
) -> tuple[list[bytes], list[Fields]]:
    fit = []
    for seen in book["observations"]:
        owner, _ = check_record(seen["record"], network, book["closed_unix_ms"])
        insist(peer_id_bytes_of(owner) == seen["bidder"])
        record, _ = wire.envelope(seen["record"], "node-record", network.network)
        bid, sequence = opened[seen["bidder"]]
        codes = filtered(tender, seen, bid, sequence, record, book["closed_unix_ms"])
        if codes:
            excluded[seen["bidder"]] = codes
        else:
            fit.append((seen, bid))
    tier = max(tender["tier_mib"], min((bid["vram_mib"] for _, bid in fit), default=0))
    for seen, bid in fit:
        if bid["vram_mib"] > tier:
            excluded[seen["bidder"]] = ["tier_larger"]
    rows = [(seen, bid, scored(tender, seen, bid)) for seen, bid in fit if bid["vram_mib"] <= tier]
    rows.sort(key=lambda row: place(tender, book["seed"], row[0], row[1], row[2]["total"]))
    taken: set[str] = set()
    ranking, scores = [], []
    for seen, bid, found in rows:
        if taken & set(bid["devices"]):
            excluded[seen["bidder"]] = ["device_twice"]
            continue
        taken |= set(bid["devices"])
        ranking.append(seen["bidder"])
        scores.append(found)
    return ranking, scores


def check_set(book: Fields, tender: Fields, digest: bytes, signer: str, network: Network) -> None:
    """AUC-11, AUC-13, AUC-14."""
    digests = [sha(commit) for commit in book["commits"]]
    insist(digests == sorted(set(digests)))
    closed, who = wire.envelope(book["commit_set"], "commit-set", network.network)
    insist((closed["tender"], who, closed["root"]) == (digest, signer, sha(*digests)))
    insist(closed["count"] == len(digests))
    dates = [
        tender["issued_unix_ms"],
        closed["closed_unix_ms"],
        book["closed_unix_ms"],
        tender["expires_unix_ms"],
    ]
    insist(dates == sorted(dates))


def match(
    reveals: list[Fields], commits: list[tuple[Fields, str]], bidders: list[bytes], tender: bytes
) -> dict[bytes, tuple[Fields, int]]:
    """AUC-12: each reveal belongs to one commit behind that of the reveal before."""
    opened: dict[bytes, tuple[Fields, int]] = {}
    at = 0
    for reveal in reveals:
        insist(reveal["tender"] == tender)
        while at < len(commits):
            (commit, _), bidder = commits[at], bidders[at]
            at += 1
            wanted = commitment(tender, bidder, reveal["bid"], reveal["salt"])
            if bidders.count(bidder) == 1 and wanted == commit["commitment"]:
                opened[bidder] = (reveal["bid"], commit["record_sequence"])
                break
        else:
            raise RefusedError("book")
    return opened


def peer_id_bytes_of(text: str) -> bytes:
    """Read base58."""
    value = 0
    for character in text:
        value = value * 58 + ALPHABET.index(character)
    return value.to_bytes(38, "big")


def insist(is_so: bool) -> None:
    if not is_so:
        raise RefusedError("book")
