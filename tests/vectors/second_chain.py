"""Canaries, chains and the game of chapter 06 read a second time, without the package."""

import hashlib
from typing import Any

from tests.vectors import second_wire as wire
from tests.vectors.second_crypto import peer_id_text

SIDES = ("executor", "challenger")
Case = dict[str, Any]


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def canaries_of(shards: int, canaries: int, secret: bytes) -> list[int] | None:
    """Return which shards are canaries, as they are drawn; None: there are too many. VER-22."""
    if canaries > shards or canaries > 64:
        return None
    hashes = {sha(b"skyops/canary/2", secret, shard.to_bytes(8, "big")): shard for shard in range(shards)}
    return [hashes[digest] for digest in sorted(hashes)[:canaries]]


def heads(origin: bytes, total: int, stride: int, roots: list[bytes]) -> list[bytes] | None:
    """Return the heads of a chain, the origin first; None: it is none. VER-19."""
    if min(total, stride) < 1 or (total + stride - 1) // stride > 1 << 24:
        return None
    found, first = [origin], 0
    for root in roots:
        behind = min(first + stride, total)
        steps = first.to_bytes(8, "big") + behind.to_bytes(8, "big")
        found.append(sha(b"skyops/chain/1", found[-1], root, steps))
        first = behind
    return found


def heads_of_results(
    origin: bytes, stride: int, leases: list[list[bytes]], answers: list[bytes]
) -> list[list[bytes] | None] | None:
    """Return the heads of each result's chain; None: a checkpoint is not where it must be. VER-24."""
    chains = []
    for receipts in leases:
        opened = [wire.message(data, "checkpoint-receipt") for data in receipts]
        if any(receipt["done"] != stride * number for number, receipt in enumerate(opened, 1)):
            return None
        chains.append([receipt["bundle"]["root"][4:] for receipt in opened])
    most = max(map(len, chains))
    return [
        heads(origin, most * stride + 1, stride, chain + [answer] * (most + 1 - len(chain)))
        for chain, answer in zip(chains, answers, strict=True)
    ]


# --- what a referee found ------------------------------------------------------------------------------------------
ENDS = ("first_before", "second_before", "first_after", "second_after")


def opened_stretch(part: Case, network: str) -> Case:
    """Open the receipts in a stretch; (fields, signer) takes the place of each."""
    found = {name: wire.envelope(part[name], "checkpoint-receipt", network) for name in ENDS if name in part}
    return {**part, **found}


def claims(part: Case, answers: list[bytes | None]) -> list[bytes | None]:
    """Return what both have after the stretch: a state, or their answer."""
    found = []
    for side in ("first", "second"):
        after = part.get(f"{side}_after")
        place = part[side]
        answer = answers[place] if place < len(answers) else None
        found.append(answer if after is None or answer is None else after[0]["bundle"]["root"][4:])
    return found


def right_root(part: Case, answers: list[bytes | None]) -> bytes | None:
    """Return the answer root that the executed stretch leads to. VER-25."""
    for side, claim in zip(("first", "second"), claims(part, answers), strict=True):
        if claim == part["executed"]:
            return answers[part[side]]
    return None


def is_sound(part: Case, receipts: list[Case | None], answers: list[bytes | None]) -> bool:
    """Tell whether a stretch is between two answers, and of their leases. VER-25."""
    if not part["first"] < part["second"] < len(answers):
        return False
    known = {answer for answer in answers if answer is not None}
    if len(known) != 2 or {answers[part["first"]], answers[part["second"]]} != known:
        return False
    states = []
    for side in ("first", "second"):
        result = receipts[part[side]]
        before, after = part.get(f"{side}_before"), part.get(f"{side}_after")
        if result is None or (before is None) != (part["number"] == 1):
            return False
        states.append(None if before is None else before[0]["bundle"])
        for receipt, number in ((before, part["number"] - 1), (after, part["number"])):
            if receipt is not None and not is_of(receipt, result, number * part["stride"]):
                return False
    first, second = claims(part, answers)
    return states[0] == states[1] and first != second and part["executed"] in (first, second)


def is_of(receipt: tuple[Case, str], result: Case, done: int) -> bool:
    """Tell whether a checkpoint is of a result's lease, after so many steps."""
    fields, signer = receipt
    lease = ("requester", "worker", "job_id", "shard", "epoch")
    is_its = all(fields[name] == result[name] for name in lease) and signer == peer_id_text(result["worker"])
    return is_its and fields["done"] == done


# --- bisection ------------------------------------------------------------------------------------------------------
class Game:
    """A game of bisection, as a referee that reads VER-20 and VER-21 plays it."""

    def __init__(self, case: Case) -> None:
        self.origin, self.start = bytes.fromhex(case["origin"]), bytes.fromhex(case["start"])
        self.total, self.stride = case["total"], case["stride"]
        self.agreed_after, self.differ_after = 0, -(-self.total // self.stride)
        self.agreed = self.origin
        self.ends = {side: bytes.fromhex(case["ends"][side]) for side in SIDES}
        self.heard: dict[str, Any] = {}

    def take(self, step: Case) -> list[Case]:
        """Hear one step; return what follows from it."""
        if "begun" in step:
            return self.ask()
        if "time_is_over" in step:
            return self.over([side for side in SIDES if side not in self.heard])
        if "state_is_missing" in step:
            return self.over(list(SIDES))
        if "executed" in step:
            return self.over([side for side in SIDES if self.heard[side][2].hex() != step["executed"]])
        said = [bytes.fromhex(one) for one in step.get("heads", step.get("link"))]
        if "heads" in step and len(said) != len(self.points()):
            return self.over([step["side"]])
        self.heard.setdefault(step["side"], said)
        if len(self.heard) < len(SIDES):
            return []
        return self.narrow() if "heads" in step else self.opened()

    def points(self) -> list[int]:
        between = self.differ_after - self.agreed_after
        cuts = [self.agreed_after + between * part // 16 for part in range(1, 16)]
        return sorted({cut for cut in cuts if cut != self.agreed_after})

    def ask(self) -> list[Case]:
        self.heard = {}
        if self.differ_after == self.agreed_after + 1:
            return [{"open": self.differ_after}]
        return [{"ask": self.points()}]

    def narrow(self) -> list[Case]:
        points = [*self.points(), self.differ_after]
        claims = {side: [*self.heard[side], self.ends[side]] for side in SIDES}
        for place, point in enumerate(points):
            one, other = (claims[side][place] for side in SIDES)
            if one != other:
                self.differ_after = point
                self.ends = {side: claims[side][place] for side in SIDES}
                break
            self.agreed_after, self.agreed = point, one
        return self.ask()

    def opened(self) -> list[Case]:
        liars = [side for side in SIDES if not self.fits(side)]
        if liars:
            return self.over(liars)
        return [{"execute": self.differ_after, "root": self.heard[SIDES[0]][1].hex()}]

    def fits(self, side: str) -> bool:
        previous, before, after = self.heard[side]
        if self.agreed_after == 0:
            is_before = (previous, before) == (b"", self.start)
        else:
            is_before = self.link(self.agreed_after, previous, before) == self.agreed
        return is_before and self.link(self.differ_after, self.agreed, after) == self.ends[side]

    def link(self, number: int, previous: bytes, root: bytes) -> bytes:
        steps = ((number - 1) * self.stride, min(number * self.stride, self.total))
        return sha(b"skyops/chain/1", previous, root, *(step.to_bytes(8, "big") for step in steps))

    def over(self, losers: list[str]) -> list[Case]:
        is_found = self.differ_after == self.agreed_after + 1
        return [{"losers": sorted(losers), "stretch": self.differ_after if is_found else None}]
