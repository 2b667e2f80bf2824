"""Chapter 06 read a second time, without the package: roots, commitments, draws, numbers, verdicts and what is said."""

import hashlib
import itertools
import json
import math
import struct
from typing import Any

from tests.vectors import second_auction, second_chain, second_handshake
from tests.vectors import second_wire as wire
from tests.vectors.second_crypto import RefusedError, peer_id_text
from tests.vectors.second_handshake import Network

Fields = dict[str, Any]
ANSWERS = (
    *("succeeded", "program_failed", "program_trapped", "out_of_fuel", "module_invalid"),
    *("output_missing", "output_unsafe", "output_too_large", "output_too_many"),
)
LEASE = ("requester", "worker", "job_id", "shard", "epoch", "award", "spec_digest")
WORK = ("network", "requester", "shard", "spec_digest", "verification", "redundancy")


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def pack(value: Any) -> bytes:
    """Write canonical MessagePack, with short bytes."""
    if isinstance(value, bytes):
        return bytes([0xC4, len(value)]) + value
    if isinstance(value, list):
        return bytes([0x90 | len(value)]) + b"".join(map(pack, value))
    if isinstance(value, dict):
        return bytes([0x80 | len(value)]) + b"".join(pack(key) + pack(value[key]) for key in sorted(value))
    return second_auction.pack(value)


def numbered(part: str, fields: Fields) -> dict[int, Any]:
    schema = wire.SCHEMA["parts"][part]["fields"]
    return {schema[name]["number"]: value for name, value in fields.items()}


# --- roots ----------------------------------------------------------------------------------------------------------
def roots(receipt: Fields) -> tuple[bytes, bytes]:
    """Return answer root and result root. VER-3."""
    end = {
        n: receipt[name]
        for n, name in enumerate(("code", "exit_kind", "exit_code", "signal"), 1)
        if name in receipt
    }
    outputs = numbered("bundleref", receipt["outputs"]) if "outputs" in receipt else {}
    log = {1: receipt["log_count"], 2: receipt["log_head"]}
    dates = {254: receipt["started_unix_ms"], 255: receipt["ended_unix_ms"]}
    meters = {**numbered("usage", receipt["usage"]), **dates}
    a, b, c, d = (sha(b"\0", pack(leaf)) for leaf in (end, outputs, log, meters))
    answer = sha(b"\1", a, b)
    return answer, sha(b"\1", answer, sha(b"\1", c, d))


def commitment(receipt: Fields, salt: bytes) -> bytes:
    """VER-4."""
    lease = [receipt[name] for name in ("worker", "job_id", "shard", "epoch", "award")]
    return sha(b"skyops/result/1", salt, roots(receipt)[1], pack(lease))


# --- draws ----------------------------------------------------------------------------------------------------------
def drawn(
    candidates: list[tuple[bytes, bytes, int]], commit: bytes, secret: bytes, computing: set[bytes]
) -> list[bytes]:
    """Return peers in the order of their lots. VER-9, VER-10."""
    seed = sha(b"skyops/draw/1", commit, secret)
    free = [one for one in candidates if one[1] not in computing]
    return [
        peer
        for peer, _, _ in sorted(free, key=lambda one: (second_auction.lot(seed, one[1], one[2]), one[1]))
    ]


# --- numbers --------------------------------------------------------------------------------------------------------
def compare(path: str, first: bytes, second: bytes, asked: int) -> tuple[int, int, bool]:
    """Return elements, those within, and whether the files are equal. VER-17."""
    if first == second:
        return 1, 1, True
    try:
        one, other = numbers(path, first), numbers(path, second)
    except (ValueError, SyntaxError, struct.error):
        return 1, 0, False
    if one[:2] != other[:2]:
        return 1, 0, False
    r, gap = (0.02, 0.001) if one[0] == "e" else (0.0001, 0.000001)
    if asked:
        r = asked / 10**6
        gap = max(gap, r**2)
    pairs = list(zip(one[2], other[2], strict=True))
    finite = [[x for x in side if math.isfinite(x)] for side in (one[2], other[2])]
    scale = max((abs(x) for side in finite for x in side), default=0) or 1
    mean = max(
        (scale * math.sqrt(sum((x / scale) ** 2 for x in side) / len(side)) for side in finite if side),
        default=0,
    )
    within = sum(is_near(a, b, 1e-5 * mean, r) for a, b in pairs)
    both = [(a / scale, b / scale) for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    lengths = [math.sqrt(sum(pair[side] ** 2 for pair in both)) for side in (0, 1)]
    cosine = (
        sum(a * b for a, b in both) / (lengths[0] * lengths[1]) if all(lengths) else float(not any(lengths))
    )
    return len(pairs), within, within * 1000 >= 999 * len(pairs) and 1 - cosine <= gap


def is_near(a: float, b: float, atol: float, r: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if math.isinf(a) or math.isinf(b):
        return a == b
    return abs(a - b) <= atol + r * max(abs(a), abs(b))


def numbers(path: str, data: bytes) -> tuple[str, Any, list[float]]:
    """Return the kind of element, what else must be equal, and the elements."""
    match path.rsplit(".", 1)[-1]:
        case "f32":
            letter, rest, shape = "f", data, None
        case "f64":
            letter, rest, shape = "d", data, None
        case "npy":
            size = int.from_bytes(data[8:10], "little")
            words = (
                data[10 : 10 + size].decode().replace("'", '"').replace("False", "false").replace("(", "[")
            )
            head = json.loads(words.replace(",)", "]").replace(")", "]").replace(", }", "}"))
            letter = {"<f2": "e", "<f4": "f", "<f8": "d"}[head["descr"]]
            rest, shape = data[10 + size :], head["shape"]
        case "json":
            found: list[float] = []
            return "d", outline(json.loads(data, object_pairs_hook=pairs_of), found), found
        case _:
            raise ValueError
    count = len(rest) // struct.calcsize(letter)
    values = list(struct.unpack(f"<{count}{letter}", rest))
    return letter, shape or count, values


def pairs_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError
    return dict(sorted(pairs))


def outline(value: Any, found: list[float]) -> Any:
    if isinstance(value, dict):
        return {name: outline(item, found) for name, item in value.items()}
    if isinstance(value, list):
        return [outline(item, found) for item in value]
    if type(value) in (int, float):
        found.append(float(value))
        return None
    return str(type(value)), value


# --- verdicts -------------------------------------------------------------------------------------------------------
def check_verdict(data: bytes, network: str) -> Fields:
    """Return what a verdict says, or the rules that it breaks. VER-8 to VER-15, VER-25, VER-30."""
    verdict, signer = wire.envelope(data, "verdict", network)
    answers = [opened(part, network) for part in verdict["answers"]]
    broken = set(faults_of_commits(verdict, signer, answers))
    for number in range(len(answers)):
        broken |= set(faults_of_reveal(number, answers))
    broken |= set(faults_of_draw(verdict, answers))
    shown = [n for n, one in enumerate(answers) if root_of(one)]
    is_numeric = answers[0]["commit"]["verification"] == "numeric"
    wanted = list(itertools.combinations(shown, 2)) if is_numeric else []
    said = {(one["first"], one["second"]): one for one in verdict["comparisons"]}
    if [(one["first"], one["second"]) for one in verdict["comparisons"]] != wanted:
        broken.add("VER-12")
    if any(one["is_equal"] and one["within"] / one["elements"] < 0.999 for one in said.values()):
        broken.add("VER-12")
    outcome, winner, faults = judged(answers, shown, said)
    if "stretch" in verdict:
        receipts = [one["receipt"] if root_of(one) else None for one in answers]
        answer_roots = [root_of(one) for one in answers]
        part = second_chain.opened_stretch(verdict["stretch"], network)
        if winner is not None or is_numeric or not second_chain.is_sound(part, receipts, answer_roots):
            broken.add("VER-25")
        right = None if winner is not None else second_chain.right_root(part, answer_roots)
        if right is not None:
            outcome, winner = "decided", answer_roots.index(right)
            for n in shown:
                faults[n] = "none" if answer_roots[n] == right else "wrong"
    known = verdict.get("known")
    if known is not None and ("stretch" in verdict or is_numeric or not shown):
        broken.add("VER-30")
    if known is not None and shown:
        outcome, winner = by_known(known, [root_of(one) for one in answers], faults)
    if (verdict["outcome"], [part["fault"] for part in verdict["answers"]]) != (outcome, faults):
        broken.add("VER-13")
    if broken:
        return {"rules": sorted(broken)}
    wallets = [
        wallet_of(part, answer, verdict) for part, answer in zip(verdict["answers"], answers, strict=True)
    ]
    roots_shown = {root_of(answers[n]) for n in shown}
    return {
        "outcome": outcome, "winner": winner, "faults": faults,
        "wallets": [None if wallet is None else wallet.hex() for wallet in wallets],
        "is_drawn": is_drawn(verdict, answers, wallets),
        "is_reworked": "stretch" not in verdict and known is None and (not is_numeric or len(roots_shown) < 2),
    }  # fmt: skip


def by_known(known: bytes, found: list[bytes | None], faults: list[str]) -> tuple[str, int | None]:
    """VER-30: whoever has shown something else than the requester came to is wrong; the faults are changed."""
    for n in (n for n, root in enumerate(found) if root):
        faults[n] = "none" if found[n] == known else "wrong"
    return "decided", next((n for n, root in enumerate(found) if root == known), None)


def opened(part: Fields, network: str) -> Fields:
    commit, signer = wire.envelope(part["commit"], "result-commit", network)
    found: Fields = {
        "commit": commit,
        "signer": signer,
        "digest": sha(part["commit"]),
        "round": part["round"],
    }
    if "reveal" in part:
        found["reveal"], found["revealer"] = wire.envelope(part["reveal"], "result-reveal", network)
    if "receipt" in part:
        found["receipt"], found["author"] = wire.envelope(part["receipt"], "result-receipt", network)
        found["named"] = sha(part["receipt"])
    return found


def root_of(answer: Fields) -> bytes | None:
    if "reveal" not in answer or "receipt" not in answer:
        return None
    is_open = commitment(answer["receipt"], answer["reveal"]["salt"]) == answer["commit"]["commitment"]
    return roots(answer["receipt"])[0] if is_open else None


def faults_of_commits(verdict: Fields, signer: str, answers: list[Fields]) -> Any:
    first = answers[0]["commit"]
    if peer_id_text(verdict["requester"]) != signer or first["requester"] != verdict["requester"]:
        yield "VER-14"
    for answer in answers:
        worker = answer["commit"]["worker"]
        if peer_id_text(worker) != answer["signer"] or worker == verdict["requester"]:
            yield "VER-4"
        if any(answer["commit"][name] != first[name] for name in WORK):
            yield "VER-14"
    wallets = [wallet_of(part, one, verdict) for part, one in zip(verdict["answers"], answers, strict=True)]
    owners = [
        who
        for who in (wallet_of(verdict, {"signer": peer_id_text(verdict["requester"])}, verdict), *wallets)
        if who is not None
    ]
    if len(set(owners)) < len(owners):
        yield "VER-14"
    for name in ("worker", "job_id"):
        if len({answer["commit"][name] for answer in answers}) < len(answers):
            yield "VER-14"


def faults_of_reveal(number: int, answers: list[Fields]) -> Any:
    answer = answers[number]
    if "reveal" not in answer:
        return
    names = (answer["reveal"]["commit"], answer["reveal"]["receipt"])
    is_own = answer["signer"] == answer["revealer"] == answer["author"]
    is_lease = all(answer["receipt"][name] == answer["commit"][name] for name in LEASE)
    if names != (answer["digest"], answer["named"]) or not is_own or not is_lease:
        yield "VER-7"
    if answer["receipt"]["code"] not in ANSWERS:
        yield "VER-2"
    before = [
        one["digest"] for n, one in enumerate(answers) if n != number and one["round"] <= answer["round"]
    ]
    if not set(before) <= set(answer["reveal"]["seen"]):
        yield "VER-8"


def faults_of_draw(verdict: Fields, answers: list[Fields]) -> Any:
    if sha(b"skyops/draw-secret/1", verdict["secret"]) != answers[0]["commit"]["draw"]:
        yield "VER-9"
    peers = [one["peer"] for one in verdict["candidates"]]
    if peers != sorted(set(peers)):
        yield "VER-10"
    rounds = [answer["round"] for answer in answers]
    if any(later - before not in (0, 1) for before, later in itertools.pairwise([0, *rounds])) or rounds[0]:
        yield "VER-14"


def judged(answers: list[Fields], shown: list[int], said: Fields) -> tuple[str, int | None, list[str]]:
    """VER-11 to VER-13."""

    def is_equal(one: int, other: int) -> bool:
        if root_of(answers[one]) == root_of(answers[other]):
            return True
        found = said.get((min(one, other), max(one, other)))
        return found is not None and found["is_equal"]

    supporters = {n: [m for m in shown if is_equal(n, m)] for n in shown}
    most = max((len(found) for found in supporters.values()), default=0)
    is_decided = most >= 2 and most > len(shown) / 2
    winner = next((n for n in shown if len(supporters[n]) == most), None) if is_decided else None
    faults = []
    for number, answer in enumerate(answers):
        if "reveal" not in answer:
            faults.append("no_reveal")
        elif root_of(answer) is None:
            faults.append("lied")
        else:
            faults.append("none" if winner is None or number in supporters[winner] else "wrong")
    outcome = "unresolved" if winner is None else "agreed" if set(faults) == {"none"} else "decided"
    return outcome, winner, faults


def wallet_of(part: Fields, answer: Fields, verdict: Fields) -> bytes | None:
    if "binding" not in part:
        return None
    chain_id = wire.envelope(part["binding"], "binding", verdict["network"])[0]["chain_id"]
    network = Network(verdict["network"], chain_id, is_testnet=True)
    return second_handshake.check_binding(part["binding"], network, verdict["made_unix_ms"], answer["signer"])


def is_drawn(verdict: Fields, answers: list[Fields], wallets: list[bytes | None]) -> bool:
    """VER-15."""
    candidates = [(one["peer"], one["wallet"], one["weight"]) for one in verdict["candidates"]]
    if None in wallets or len(answers) < 2:
        return False
    order = drawn(candidates, answers[0]["digest"], verdict["secret"], {wallets[0] or b""})
    workers = [answer["commit"]["worker"] for answer in answers[1:]]
    if not set(workers) <= set(order):
        return False
    return max(order.index(worker) for worker in workers) < 2 * len(workers)


# --- conversations --------------------------------------------------------------------------------------------------
class Reader:
    """Follows what is said of one shard, and says what its receiver refuses. VER-4 to VER-8."""

    def __init__(self, case: Fields) -> None:
        self.network = case["lease"]["network"]
        self.shared = {name: from_text(value) for name, value in case["lease"].items()}
        self.leases = {
            who: {name: from_text(value) for name, value in lease.items()}
            for who, lease in case["leases"].items()
        }
        self.commits: dict[str, bytes] = {}

    def take(self, step: Fields) -> str | None:
        data, who = bytes.fromhex(step["bytes"]), step["from"]
        try:
            if who == "alice":
                self.request(step["to"], wire.message(data, "reveal-result"))
            elif data[2] == 96:
                self.commit(who, wire.message(data, "result-committed")["commit"])
            else:
                self.ready(who, wire.message(data, "result-ready"))
        except RefusedError as refused:
            return refused.code
        return None

    def commit(self, who: str, data: bytes) -> None:
        fields, signer = wire.envelope(data, "result-commit", self.network)
        wanted = {**self.shared, **self.leases[who]}
        is_right = all(fields[name] == value for name, value in wanted.items())
        if (
            not is_right
            or peer_id_text(fields["worker"]) != signer
            or self.commits.setdefault(who, data) != data
        ):
            raise RefusedError("worker_lied")

    def request(self, who: str, fields: Fields) -> None:
        own, _ = wire.envelope(self.commits[who], "result-commit", self.network)
        workers = [own["worker"]]
        for data in fields["others"]:
            other, signer = wire.envelope(data, "result-commit", self.network)
            if any(other[name] != own[name] for name in WORK) or peer_id_text(other["worker"]) != signer:
                raise RefusedError("proof_fails")
            workers.append(other["worker"])
        if len(set(workers)) < len(workers):
            raise RefusedError("proof_fails")

    def ready(self, who: str, fields: Fields) -> None:
        if who not in self.commits or "reveal" not in fields:
            raise RefusedError("worker_lied")
        part = {"commit": self.commits[who], "round": 0, **fields}
        answer = opened(part, self.network)
        names = (answer["reveal"]["commit"], answer["reveal"]["receipt"])
        is_own = answer["signer"] == answer["revealer"] == answer["author"]
        if root_of(answer) is None or names != (answer["digest"], answer["named"]) or not is_own:
            raise RefusedError("worker_lied")


def from_text(value: Any) -> Any:
    """Return the bytes of a hexadecimal text of 16 bytes or more; anything else as it is."""
    return bytes.fromhex(value) if isinstance(value, str) and len(value) >= 32 else value
