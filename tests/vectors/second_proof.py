"""Second verifier of proofs of compute, sharing no code with skyops_p2p. Written from protocol/04-auction.md."""

import hashlib
from typing import Any

from tests.vectors import second_wire as wire
from tests.vectors.second_auction import lot, peer_id_bytes_of, sha
from tests.vectors.second_crypto import RefusedError

Fields = dict[str, Any]
ROWS, PLACES = 16, 8
"""What an honest asker draws."""


def check_size(data: bytes) -> None:
    """AUC-36."""
    asked = wire.message(data, "proof-challenge")
    n, lanes, rows = asked["size"], asked["lanes"], asked["rows"]
    is_good = (
        (1 + 4 * asked["stride"]) * n <= 49_152
        and (asked["checkpoints"] + 1) * n * n <= 2**27
        and lanes * rows <= 65_536
        and (rows >= 2 if lanes else rows == 0)
    )
    if not is_good:
        raise RefusedError("challenge_refused")


def verify(peer: bytes, challenge: bytes, root: bytes, request: bytes, openings: list[bytes]) -> int:
    """AUC-24, AUC-25, AUC-38; returns how much was shown."""
    asked, answer = wire.message(challenge, "proof-challenge"), wire.message(root, "proof-root")
    wanted = wire.message(request, "opening-request")
    need((("memory" in answer) == (asked["lanes"] > 0)) and wanted["rows"] == ROWS)
    rows: list[Fields] = []
    places: list[Fields] = []
    for data in openings:
        shown = wire.message(data, "openings")
        need(shown["rows"] or shown["places"])
        rows += shown["rows"]
        places += shown["places"]
    need(len(rows) == ROWS and len(places) == (PLACES if asked["lanes"] else 0))
    c = sha(b"skyops/poc/1", sha(asked["beacon"]), peer)
    check_rows(c, asked, answer["root"], wanted["secret"], rows)
    if places:
        check_places(c, asked, answer["memory"], wanted["secret"], places)
    return len(rows) + len(places)


def need(condition: object) -> None:
    if not condition:
        raise RefusedError("proof_fails")


def signed(data: bytes) -> list[int]:
    return [byte - 256 if byte > 127 else byte for byte in data]


def number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big")


def in_tree(root: bytes, index: int, content: bytes, path: list[bytes], count: int) -> None:
    node, width, path = sha(b"\0", content), count, list(path)
    need(index < count)
    while width > 1:
        if index % 2:
            need(path)
            node = sha(b"\1", path.pop(0), node)
        elif index + 1 < width:
            need(path)
            node = sha(b"\1", node, path.pop(0))
        index, width = index // 2, -(-width // 2)
    need(node == root and not path)


def check_rows(c: bytes, asked: Fields, root: bytes, secret: bytes, rows: list[Fields]) -> None:
    """Multiply in full: with a size of a few rows there is no need for a random vector."""
    n, checkpoints, stride = asked["size"], asked["checkpoints"], asked["stride"]
    stream = hashlib.shake_128(b"skyops/poc/1" + c).digest(2 * n * n)
    first, b = stream[: n * n], signed(stream[n * n :])
    for i, row in enumerate(rows):
        index = number(sha(root, secret, i.to_bytes(4, "big"))) % (n * checkpoints)
        need(row["index"] == index and len(row["start"]) == n and len(row["products"]) == 4 * n * stride)
        need(index >= n or row["start"] == first[index * n : (index + 1) * n])
        in_tree(root, index, row["start"], row["start_path"], n * (checkpoints + 1))
        a = row["start"]
        for step in range(stride):
            x = [sum(p * q for p, q in zip(signed(a), b[j::n], strict=True)) for j in range(n)]
            told = row["products"][4 * n * step : 4 * n * (step + 1)]
            need(told == b"".join(value.to_bytes(4, "little", signed=True) for value in x))
            a = bytes(value * 2_654_435_761 % 2**32 >> 24 for value in x)
        in_tree(root, index + n, a, row["end_path"], n * (checkpoints + 1))


def check_places(c: bytes, asked: Fields, root: bytes, secret: bytes, places: list[Fields]) -> None:
    lanes, count = asked["lanes"], asked["lanes"] * asked["rows"]
    domain = b"skyops/pom/1"
    for k, place in enumerate(places):
        block, before, pointed = place["block"], place["before"], place["pointed"]
        i = lanes + number(sha(domain, root, secret, k.to_bytes(4, "big"))) % (count - lanes)
        above = before["block"]
        j = (
            int.from_bytes(above[4:12], "big") % (i // lanes) * lanes
            + int.from_bytes(above[:4], "big") % lanes
        )
        need((block["index"], before["index"], pointed["index"]) == (i, i - lanes, j))
        for shown in (block, before, pointed):
            in_tree(root, shown["index"], shown["block"], shown["path"], count)
        need(block["block"] == sha(domain, c, i.to_bytes(8, "big"), above, pointed["block"]))


def attestation(data: bytes, worker: str, network: str, now: int) -> Fields:
    """AUC-42, AUC-44."""
    said, verifier = wire.envelope(data, "proof-attestation", network)
    if now - said["sent_unix_ms"] >= 24 * 3600 * 1000:
        raise RefusedError("expired")
    if said["sent_unix_ms"] - now > 120_000:
        raise RefusedError("not_yet_valid")
    check_size(said["challenge"])
    asked = wire.message(said["challenge"], "proof-challenge")
    answer, signer = wire.envelope(said["answer"], "proof-answer", network)
    need(signer == worker != verifier and answer["asker"] == peer_id_bytes_of(verifier))
    need(answer["challenge"] == sha(said["challenge"]) and len(said["rows"]) == 2)
    c = sha(b"skyops/poc/1", sha(asked["beacon"]), peer_id_bytes_of(worker))
    check_rows(c, asked, answer["root"], said["secret"], said["rows"])
    work = 2 * asked["size"] ** 3 * asked["checkpoints"] * asked["stride"]
    return {
        "verifier": verifier, "throughput": max(1, work // (max(1, said["elapsed_ms"]) * 1000)),
        "unix_ms": said["sent_unix_ms"], "hardware": answer["hardware"].hex(), "devices": answer["devices"],
    }  # fmt: skip


def drawn(case: Fields) -> list[str]:
    """AUC-43, as VER-10 draws."""
    day = case["now_unix_ms"] // 86_400_000
    seed = sha(
        b"skyops/poc-verifier/1",
        case["network"].encode(),
        peer_id_bytes_of(case["worker"]),
        day.to_bytes(8, "big"),
    )
    heaviest: dict[str, tuple[str, int]] = {}
    for peer, wallet, weight in sorted(case["nodes"], key=lambda node: (-node[2], node[0])):
        heaviest.setdefault(wallet, (peer, weight))
    free = [(wallet, *its) for wallet, its in heaviest.items() if wallet != case["wallet"]]
    return [peer for _, peer in sorted((lot(seed, bytes.fromhex(w), n), peer) for w, peer, n in free)]
