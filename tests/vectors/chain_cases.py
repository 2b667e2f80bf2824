"""Vectors of chapter 06 about single pieces of work: hidden items, chains of states, and games of bisection."""

from collections.abc import Callable
from typing import Any

from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.verification import bisection as game
from skyops_p2p.core.verification.bisection import Bisection, Link, Side
from skyops_p2p.core.verification.canaries import canary_shards
from skyops_p2p.core.verification.chain import ChainShape, chain_of, shape_of_results
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import LocalProtocolError
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.model import encode_message
from tests.vectors.execution_examples import bundle, checkpoint_receipt

Case = dict[str, Any]
ORIGIN, START = sha256(b"specification"), bytes(32)
EXECUTOR, CHALLENGER = Side.EXECUTOR, Side.CHALLENGER


# --- canaries -------------------------------------------------------------------------------------------------------
def canary_cases() -> list[Case]:
    rows = [
        ("ten of a hundred", 100, 10, sha256(b"a job")),
        ("of another job", 100, 10, sha256(b"another job")),
        ("all", 3, 3, bytes(32)),
        ("none", 4, 0, bytes(32)),
        ("as many as may be", 1024, 64, sha256(b"many")),
        ("more than shards", 2, 3, bytes(32)),
        ("more than may be", 100, 65, bytes(32)),
    ]
    return [
        {
            "name": name,
            "shards": shards,
            "canaries": canaries,
            "secret": secret.hex(),
            **_drawn(shards, canaries, secret),
        }
        for name, shards, canaries, secret in rows
    ]


def _drawn(shards: int, canaries: int, secret: bytes) -> Case:
    """Return which shards are canaries, in the order in which they are drawn."""
    try:
        return {"drawn": list(canary_shards(secret, shards=shards, canaries=canaries))}
    except LocalProtocolError as refused:
        return {"code": refused.code}


# --- chains ---------------------------------------------------------------------------------------------------------
def chain_cases() -> list[Case]:
    shapes = [
        ("one step", ORIGIN, 1, 1),
        ("stretches of ten", ORIGIN, 40, 10),
        ("the last is shorter", ORIGIN, 35, 10),
        ("one stretch, not filled", ORIGIN, 7, 10),
        ("of another specification", bytes(32), 35, 10),
        ("numbers of more than four bytes", ORIGIN, 3 * 2**40, 2**40),
        ("no step", ORIGIN, 0, 10),
        ("no stride", ORIGIN, 10, 0),
        ("too many stretches", ORIGIN, 2**24 + 1, 1),
    ]
    results: list[tuple[str, int, list[int], list[int]]] = [
        ("two results", 10, [10, 20, 30], [10, 20, 30]),
        ("one that ended early", 10, [10, 20, 30], [10]),
        ("without checkpoints", 10, [], []),
        ("a checkpoint is missing", 10, [10, 30], [10, 20, 30]),
        ("a checkpoint twice", 10, [10, 10, 20], [10, 20]),
        ("after other steps", 10, [10, 20], [9, 18]),
    ]
    return [_shape_case(*row) for row in shapes] + [_results_case(*row) for row in results]


def _shape_case(name: str, origin: bytes, total: int, stride: int) -> Case:
    case = {"name": name, "origin": origin.hex(), "start": START.hex(), "total": total, "stride": stride}
    try:
        shape = ChainShape(origin, START, total, stride)
    except LocalProtocolError as refused:
        return {**case, "code": refused.code}
    roots = honest_roots(shape.stretches)[1:]
    return {**case, "roots": _hex(roots), "heads": _hex(shape.heads(roots))}


def _results_case(name: str, stride: int, *reached: list[int]) -> Case:
    """Receipts of two leases, whose second checkpoints differ, and the heads of each."""
    receipts = [
        [
            checkpoint_receipt(done=done, total=0, bundle=bundle(done + 100 * side * (done > stride)))
            for done in steps
        ]
        for side, steps in enumerate(reached)
    ]
    answers = [sha256(b"answer %d" % side) for side in range(2)]
    case = {
        "name": name,
        "origin": ORIGIN.hex(),
        "stride": stride,
        "receipts": [_hex(map(encode_message, one)) for one in receipts],
        "answers": _hex(answers),
    }
    try:
        chains = [chain_of(stride, one, answer) for one, answer in zip(receipts, answers, strict=True)]
    except LocalProtocolError as refused:
        return {**case, "code": refused.code}
    shape = shape_of_results(ORIGIN, stride, *chains)
    return {**case, "heads_of_each": [_hex(shape.heads(one.roots(shape.stretches))) for one in chains]}


# --- bisection ------------------------------------------------------------------------------------------------------
def execute(number: int, root: bytes) -> bytes:
    """One stretch of the program that all cases are about."""
    return sha256(b"stretch %d" % number + root)


def honest_roots(count: int) -> list[bytes]:
    """Return the state roots before the first stretch and after each."""
    roots = [START]
    for number in range(1, count + 1):
        roots.append(execute(number, roots[-1]))
    return roots


def wrong_roots(count: int, wrong_from: int, claim: bytes = b"made up") -> list[bytes]:
    """Return state roots that are wrong from a stretch on, and follow from each other after it."""
    roots = [*honest_roots(count)[:wrong_from], sha256(claim)]
    while len(roots) <= count:
        roots.append(execute(len(roots), roots[-1]))
    return roots


class Match:
    """A game, played event by event."""

    def __init__(self, name: str, executor: list[bytes], challenger: list[bytes]) -> None:
        self.shape = ChainShape(ORIGIN, START, total=10 * (len(executor) - 1), stride=10)
        self.roots = {EXECUTOR: executor, CHALLENGER: challenger}
        self.heads = {side: self.shape.heads(roots[1:]) for side, roots in self.roots.items()}
        ends = {side: heads[-1] for side, heads in self.heads.items()}
        self.machine = Bisection(self.shape, ends)
        self.case: Case = {
            "name": name,
            "origin": ORIGIN.hex(),
            "start": START.hex(),
            "total": self.shape.total,
            "stride": self.shape.stride,
            "ends": {side.value: end.hex() for side, end in ends.items()},
        }
        self.steps: list[Case] = []
        self.effects: list[Effect] = []
        self.tell({"begun": True}, game.Begun())

    def tell(self, said: Case, event: Event) -> "Match":
        self.effects = self.machine.handle(event, MonotonicS(0.0))
        self.machine.check_invariants()
        self.steps.append({**said, "then": [_effect(effect) for effect in self.effects]})
        return self

    def claim(self, side: Side, heads: list[bytes] | None = None) -> "Match":
        found = [self.heads[side][point] for point in self.machine.points] if heads is None else heads
        return self.tell({"side": side.value, "heads": _hex(found)}, game.HeadsClaimed(side, tuple(found)))

    def search(self) -> "Match":
        """Have both answer until one stretch is left."""
        while isinstance(self.effects[0], game.AskHeads):
            self.claim(EXECUTOR).claim(CHALLENGER)
        return self

    def open(self, side: Side, change: Callable[[Link], Link] = lambda link: link) -> "Match":
        ask = next(step["then"][0] for step in reversed(self.steps) if step["then"])
        number = ask["open"]
        heads, roots = self.heads[side], self.roots[side]
        link = change(Link(heads[number - 2] if number > 1 else b"", roots[number - 1], roots[number]))
        opened = [link.before_previous, link.before_root, link.after_root]
        return self.tell({"side": side.value, "link": _hex(opened)}, game.LinkOpened(side, link))

    def silence(self) -> "Match":
        return self.tell({"time_is_over": True}, DeadlineReached())

    def decide(self) -> "Match":
        """Have the referee execute what is asked for."""
        (effect,) = self.effects
        assert isinstance(effect, game.ExecuteStretch)
        root = execute(effect.number, effect.root)
        return self.tell({"executed": root.hex()}, game.StretchExecuted(root))

    def missing(self) -> "Match":
        return self.tell({"state_is_missing": True}, game.StateMissing())

    def done(self) -> Case:
        return {**self.case, "steps": self.steps}


def _effect(effect: Effect) -> Case:
    match effect:
        case game.AskHeads(points=points):
            return {"ask": list(points)}
        case game.AskLink(number=number):
            return {"open": number}
        case game.ExecuteStretch(number=number, root=root):
            return {"execute": number, "root": root.hex()}
        case game.Settle(losers=losers, number=found):
            return {"losers": sorted(side.value for side in losers), "stretch": found}
        case _:
            raise AssertionError(effect)


def bisection_cases() -> list[Case]:
    right, wrong = honest_roots(40), wrong_roots(40, 23)
    few, few_wrong, first_wrong = honest_roots(9), wrong_roots(9, 5), wrong_roots(9, 1)
    single = honest_roots(1), wrong_roots(1, 1)

    def forged(name: str) -> Callable[[Link], Link]:
        changes = {"previous": (0, 32), "before": (1, 32), "after": (2, 32)}
        place, length = changes[name]

        def change(link: Link) -> Link:
            parts = [link.before_previous, link.before_root, link.after_root]
            parts[place] = bytes([7] * length)
            return Link(*parts)

        return change

    return [
        Match("the challenger is wrong", right, wrong).search().open(EXECUTOR).open(CHALLENGER).decide().done(),
        Match("the executor is wrong", wrong, right).search().open(EXECUTOR).open(CHALLENGER).decide().done(),
        Match("three rounds", honest_roots(300), wrong_roots(300, 77))
        .search().open(CHALLENGER).open(EXECUTOR).decide().done(),
        Match("one stretch", *single).open(EXECUTOR).open(CHALLENGER).decide().done(),
        Match("wrong from the first stretch on", few, first_wrong)
        .search().open(EXECUTOR).open(CHALLENGER).decide().done(),
        Match("wrong at the end alone", few, wrong_roots(9, 9))
        .search().open(EXECUTOR).open(CHALLENGER).decide().done(),
        Match("both are wrong", wrong_roots(9, 5, b"one"), wrong_roots(9, 5, b"other"))
        .search().open(EXECUTOR).open(CHALLENGER).decide().done(),
        Match("the first word of a side counts", few, few_wrong)
        .claim(EXECUTOR).claim(EXECUTOR, [bytes(32)] * 8).claim(CHALLENGER).open(EXECUTOR)
        .open(EXECUTOR, forged("after")).open(CHALLENGER).decide().done(),
        Match("one side is silent", right, wrong).claim(EXECUTOR).silence().done(),
        Match("both sides are silent", right, wrong).silence().done(),
        Match("one side does not open", few, few_wrong).search().open(CHALLENGER).silence().done(),
        Match("heads for other points", right, wrong).claim(CHALLENGER, [bytes(32)]).done(),
        Match("another head before the agreed one", few, few_wrong)
        .search().open(EXECUTOR).open(CHALLENGER, forged("previous")).done(),
        Match("another state before the stretch", few, few_wrong)
        .search().open(EXECUTOR, forged("before")).open(CHALLENGER).done(),
        Match("another state after the stretch", few, few_wrong)
        .search().open(EXECUTOR).open(CHALLENGER, forged("after")).done(),
        Match("a head before the first stretch", few, first_wrong)
        .search().open(EXECUTOR, forged("previous")).open(CHALLENGER).done(),
        Match("neither gives the state", few, few_wrong)
        .search().open(EXECUTOR).open(CHALLENGER).missing().done(),
    ]  # fmt: skip


def _hex(parts: Any) -> list[str]:
    return [bytes(part).hex() for part in parts]


FAMILIES = {
    "canaries": ("06-verification.md, Canaries", canary_cases),
    "chains": ("06-verification.md, Chain", chain_cases),
    "bisections": ("06-verification.md, Bisection", bisection_cases),
}
