"""The vectors about canaries, chains and bisection, by skyops_p2p and by the second reader."""

from skyops_p2p.core.machine import DeadlineReached, Event
from skyops_p2p.core.verification import bisection as game
from skyops_p2p.core.verification.bisection import Bisection, Link, Side
from skyops_p2p.core.verification.canaries import canary_shards
from skyops_p2p.core.verification.chain import ChainShape, chain_of, shape_of_results
from skyops_p2p.errors import LocalProtocolError
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.messages.execution import CheckpointReceipt
from skyops_p2p.wire.model import decode_message
from tests.vectors import second_chain as second
from tests.vectors.test_vectors import Case, cases, everything, raw


@everything("canaries")
def test_canaries(case: Case) -> None:  # VER-22
    shards, canaries, secret = case["shards"], case["canaries"], raw(case, "secret")
    drawn: list[int] | None = None
    code = None
    try:
        drawn = list(canary_shards(secret, shards=shards, canaries=canaries))
    except LocalProtocolError as refused:
        code = refused.code
    assert (drawn, code) == (case.get("drawn"), case.get("code"))
    assert second.canaries_of(shards, canaries, secret) == case.get("drawn")


@everything("chains")
def test_chains(case: Case) -> None:  # VER-19, VER-24
    if "receipts" in case:
        _check_results(case)
        return
    roots = _bytes(case.get("roots", []))
    shared = (raw(case, "origin"), case["total"], case["stride"], roots)
    found, code = None, None
    try:
        shape = ChainShape(raw(case, "origin"), raw(case, "start"), case["total"], case["stride"])
        found = shape.heads(roots)
    except LocalProtocolError as refused:
        code = refused.code
    wanted = _bytes(case["heads"]) if "heads" in case else None
    assert (found, code) == (wanted, case.get("code"))
    assert second.heads(*shared) == wanted


def _check_results(case: Case) -> None:
    leases, answers = [_bytes(one) for one in case["receipts"]], _bytes(case["answers"])
    found, code = None, None
    try:
        chains = [
            chain_of(case["stride"], [decode_message(CheckpointReceipt, data) for data in lease], answer)
            for lease, answer in zip(leases, answers, strict=True)
        ]
        shape = shape_of_results(raw(case, "origin"), case["stride"], *chains)
        found = [shape.heads(chain.roots(shape.stretches)) for chain in chains]
    except LocalProtocolError as refused:
        code = refused.code
    wanted = [_bytes(one) for one in case["heads_of_each"]] if "heads_of_each" in case else None
    assert (found, code) == (wanted, case.get("code"))
    assert second.heads_of_results(raw(case, "origin"), case["stride"], leases, answers) == wanted


@everything("bisections")
def test_bisections(case: Case) -> None:  # VER-20, VER-21
    shape = ChainShape(raw(case, "origin"), raw(case, "start"), case["total"], case["stride"])
    ours = Bisection(shape, {Side(side): bytes.fromhex(end) for side, end in case["ends"].items()})
    theirs = second.Game(case)
    for step in case["steps"]:
        effects = [_said(effect) for effect in ours.handle(_event(step), MonotonicS(0.0))]
        assert effects == theirs.take(step) == step["then"], step


def test_games_end_in_every_way() -> None:
    ends = [case["steps"][-1]["then"] for case in cases("bisections")]
    losers = {tuple(end["losers"]) for (end,) in ends}
    assert losers == {("executor",), ("challenger",), ("challenger", "executor")}
    assert {end["stretch"] is None for (end,) in ends} == {True, False}


def _event(step: Case) -> Event:
    match step:
        case {"begun": True}:
            return game.Begun()
        case {"side": side, "heads": heads}:
            return game.HeadsClaimed(Side(side), tuple(_bytes(heads)))
        case {"side": side, "link": link}:
            return game.LinkOpened(Side(side), Link(*_bytes(link)))
        case {"executed": root}:
            return game.StretchExecuted(bytes.fromhex(root))
        case {"state_is_missing": True}:
            return game.StateMissing()
        case {"time_is_over": True}:
            return DeadlineReached()
        case _:
            raise AssertionError(step)


def _said(effect: object) -> Case:
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


def _bytes(values: list[str]) -> list[bytes]:
    return [bytes.fromhex(value) for value in values]
