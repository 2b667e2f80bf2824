"""Vectors of chapter 06: roots, commitments, draws, numbers compared, verdicts, and whole conversations."""

import struct
from dataclasses import replace
from typing import Any

from skyops_p2p.core.verification.arrays import compare_files
from skyops_p2p.core.verification.charge import charges_of
from skyops_p2p.core.verification.check import check_verdict
from skyops_p2p.core.verification.commit import commitment_of
from skyops_p2p.core.verification.draw import draw, draw_commitment, seed_of
from skyops_p2p.core.verification.policy import check_lot
from skyops_p2p.core.verification.result_root import answer_root, has_answer, result_root
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.wire.messages import verification as msg
from skyops_p2p.wire.messages.execution import ResultReady
from skyops_p2p.wire.model import Message, encode_message
from tests.vectors.canary_examples import known_rows
from tests.vectors.execution_examples import result_receipt
from tests.vectors.people import ALICE, BOB, CAROL, MALLORY, NOW, RULES, Person
from tests.vectors.stretch_examples import stretch_rows
from tests.vectors.verification_examples import (
    CANDIDATES,
    PRICE,
    SECRET,
    WORKERS,
    Part,
    candidate,
    drawn_after,
    raw,
    sealed_verdict,
)

Case = dict[str, Any]
BOBS = Part(BOB)
FIRST, SECOND, THIRD, *_ = (Part(who) for who in drawn_after(BOBS))
THREE = [BOBS, FIRST, SECOND]


# --- roots and commitments ------------------------------------------------------------------------------------------
def root_cases() -> list[Case]:
    plain = result_receipt()
    rows = [
        ("a success", plain),
        ("a failure without outputs", result_receipt(code="program_failed", exit_code=3, outputs=None)),
        ("a trap", result_receipt(code="program_trapped", exit_kind="trapped", exit_code=None, outputs=None)),
        ("a signal", result_receipt(code="program_killed", exit_kind="signalled", exit_code=None, signal=11)),
        ("out of time", result_receipt(code="execution_timeout", exit_kind="timed_out", exit_code=None)),
        ("another attempt is asked for", result_receipt(code="requeue_asked", exit_code=75, outputs=None)),
        ("no output", result_receipt(code="output_missing", outputs=None)),
        ("of another log", result_receipt(log_count=9, log_head=bytes(32))),
        ("of another length", result_receipt(ended_unix_ms=plain.ended_unix_ms + 1)),
        ("by another worker", result_receipt(worker=raw(CAROL))),
        ("with other words", result_receipt(text="done")),
    ]
    return [
        {
            "name": name,
            "bytes": encode_message(receipt).hex(),
            "is_answer": has_answer(receipt),
            "answer": answer_root(receipt).hex(),
            "root": result_root(receipt).hex(),
            "salt": sha256(name.encode()).hex(),
            "commitment": commitment_of(receipt, sha256(name.encode())).hex(),
        }
        for name, receipt in rows
    ]


# --- draws ----------------------------------------------------------------------------------------------------------
def draw_cases() -> list[Case]:
    commit, other = BOBS.commit().digest, FIRST.commit().digest
    uneven = tuple(candidate(who, 10**place) for place, who in enumerate(WORKERS))
    own = candidate(BOB).wallet
    rows = [
        ("all alike", CANDIDATES, commit, SECRET, [own]),
        ("after another commitment", CANDIDATES, other, SECRET, [own]),
        ("with another secret", CANDIDATES, commit, bytes(32), [own]),
        ("by weight", tuple(sorted(uneven, key=lambda one: one.peer)), commit, SECRET, []),
        ("without weight", tuple(one.model_copy(update={"weight": 0}) for one in CANDIDATES), commit, SECRET, []),
        ("all compute already", CANDIDATES, commit, SECRET, [one.wallet for one in CANDIDATES]),
    ]  # fmt: skip
    return [
        *(
            {
                "name": name,
                "commit": digest.hex(),
                "secret": secret.hex(),
                "draw": draw_commitment(secret).hex(),
                "candidates": [[one.peer.hex(), one.wallet.hex(), one.weight] for one in candidates],
                "computing": [wallet.hex() for wallet in computing],
                "drawn": [
                    one.peer.hex() for one in draw(candidates, seed_of(digest, secret), computing=computing)
                ],
            }
            for name, candidates, digest, secret, computing in rows
        ),
        {"name": "a spot check", "secret": SECRET.hex(), "commit": commit.hex(),
         "lot": str(check_lot(SECRET, commit))},
    ]  # fmt: skip


# --- numbers --------------------------------------------------------------------------------------------------------
def npy(values: list[float], kind: str, shape: str) -> bytes:
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head = head.ljust(117) + b"\n"
    letter = {"<f2": "e", "<f4": "f", "<f8": "d"}[kind]
    packed = struct.pack(f"<{len(values)}{letter}", *values)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + packed


def number_cases() -> list[Case]:
    def f32(*values: float) -> bytes:
        return struct.pack(f"<{len(values)}f", *values)

    nan, inf = float("nan"), float("inf")
    many = [1.0 + place / 1000 for place in range(1000)]
    rows = [
        ("rounding", "a.f32", f32(1, 2, 3), f32(1.00005, 2, 3), 0),
        ("too far", "a.f32", f32(1, 2, 3), f32(1.001, 2, 3), 0),
        ("far enough for the specification", "a.f32", f32(1, 2, 3), f32(1.001, 2, 3), 2000),
        ("too far for the specification", "a.f32", f32(1, 2, 3), f32(1.00005, 2, 3), 10),
        ("zero but for rounding", "a.f32", f32(0, 1), f32(1e-6, 1), 0),
        ("one of a thousand", "a.f32", f32(*many), f32(*many[:-1], 2.01), 0),
        ("two of a thousand", "a.f32", f32(*many), f32(*many[:-2], 2.01, 2.01), 0),
        ("one of a thousand, which turns the array", "a.f32", f32(*many), f32(*many[:-1], 900), 0),
        ("not a number in both", "a.f32", f32(nan, 1), f32(nan, 1.00005), 0),
        ("not a number in one", "a.f32", f32(nan, 1), f32(1, 1), 0),
        ("infinities", "a.f32", f32(inf, -inf, 1), f32(inf, -inf, 1.00005), 0),
        ("an infinity of the other sign", "a.f32", f32(inf, 1), f32(-inf, 1), 0),
        ("more elements", "a.f32", f32(1), f32(1, 1), 0),
        ("half an element", "a.f32", f32(1), f32(1) + b"\0\0", 0),
        ("doubles", "a.f64", struct.pack("<2d", 1, 2), struct.pack("<2d", 1.00005, 2), 0),
        ("beyond squares", "a.f64", struct.pack("<2d", 1e300, 1), struct.pack("<2d", 1.00005e300, 1), 0),
        ("arrays of numpy", "out/a.npy", npy([1, 2, 3, 4], "<f4", "(2, 2)"),
         npy([1.00005, 2, 3, 4], "<f4", "(2, 2)"), 0),
        ("halves", "a.npy", npy([1, 2], "<f2", "(2,)"), npy([1.01, 2], "<f2", "(2,)"), 0),
        ("another shape", "a.npy", npy([1, 2, 3, 4], "<f4", "(2, 2)"), npy([1, 2, 3, 4], "<f4", "(4,)"), 0),
        ("another kind", "a.npy", npy([1, 2], "<f4", "(2,)"), npy([1, 2], "<f8", "(2,)"), 0),
        ("JSON", "a.json", b'{"loss": 0.5, "of": [1, 2]}', b'{"of": [1, 2.00005], "loss": 0.5}', 0),
        ("JSON of another text", "a.json", b'{"loss": 0.5, "by": "a"}', b'{"loss": 0.5, "by": "b"}', 0),
        ("JSON with true for a number", "a.json", b"[1]", b"[true]", 0),
        ("JSON with a name twice", "a.json", b'{"a": 1}', b'{"a": 1, "a": 1}', 0),
        ("equal bytes of no known kind", "a.bin", b"bytes", b"bytes", 0),
        ("other bytes of no known kind", "a.bin", b"bytes", b"bytez", 0),
    ]  # fmt: skip
    cases = []
    for name, path, first, second, asked in rows:
        found, is_equal = compare_files(path, first, second, asked=asked)
        cases.append(
            {"name": name, "path": path, "first": first.hex(), "second": second.hex(), "asked": asked,
             "elements": found.elements, "within": found.within, "is_equal": is_equal}
        )  # fmt: skip
    return cases


# --- verdicts -------------------------------------------------------------------------------------------------------
def comparison(first: int, second: int, within: int, *, is_equal: bool) -> msg.ComparisonPart:
    return msg.ComparisonPart(first=first, second=second, is_equal=is_equal, elements=1000, within=within)


def charges_in(data: bytes) -> list[dict[str, Any]]:
    """Return what a verdict charges its workers with, as the file has it."""
    return [
        {
            "requester": one.requester.hex(),
            "worker": one.worker.hex(),
            "amount": str(one.amount),
            "made_unix_s": one.made_unix_s,
            "commitment": one.commitment.hex(),
            "proof": one.proof.hex(),
            "dispute": one.dispute.hex(),
        }
        for one in charges_of(check_verdict(data))
    ]


def verdict_cases() -> list[Case]:
    near = [
        replace(part, verification="numeric", output=number)
        for number, part in enumerate((BOBS, FIRST, SECOND), 1)
    ]
    apart = (comparison(0, 1, 1000, is_equal=True), comparison(0, 2, 0, is_equal=False),
             comparison(1, 2, 0, is_equal=False))  # fmt: skip
    over = (comparison(0, 1, 998, is_equal=True), *apart[1:])
    wrong = replace(BOBS, output=2)
    others = [Part(who) for who in drawn_after(wrong)[:3]]
    rows: list[tuple[str, bytes]] = [
        ("three agree", sealed_verdict(THREE)),
        ("the primary is wrong", sealed_verdict([wrong, *others[:2]])),
        ("a further replica decides", sealed_verdict([BOBS, replace(FIRST, output=2), replace(SECOND, round=1)])),
        ("each says something else", sealed_verdict([BOBS, replace(FIRST, output=2), replace(SECOND, output=3)])),
        ("one does not show its result", sealed_verdict([*THREE[:2], replace(SECOND, is_silent=True)])),
        ("one shows another result than it committed to", sealed_verdict([*THREE[:2], replace(SECOND, shows=9)])),
        ("one worker alone", sealed_verdict([BOBS])),
        ("one was passed over", sealed_verdict([BOBS, SECOND])),
        ("two were passed over for one", sealed_verdict([BOBS, THIRD])),
        ("nobody was drawn", sealed_verdict(THREE, candidates=())),
        ("numbers, two of three near", sealed_verdict(near, comparisons=apart)),
        ("numbers that are not compared", sealed_verdict(near)),
        ("numbers too far apart to be equal", sealed_verdict(near, comparisons=over)),
        ("signed by somebody else", sealed_verdict(THREE, MALLORY)),
        ("says more than follows", sealed_verdict(THREE, outcome="decided")),
        ("another secret", sealed_verdict(THREE, secret=bytes(32))),
        ("candidates out of order", sealed_verdict(THREE, candidates=CANDIDATES[::-1])),
        ("a result was shown before the others had committed",
         sealed_verdict([replace(BOBS, reveal_changes=(("seen", ()),)), *THREE[1:]])),
        ("one worker twice", sealed_verdict([BOBS, BOBS])),
        ("the requester's own worker", sealed_verdict([BOBS, Part(ALICE)])),
        ("other work", sealed_verdict([*THREE[:2], replace(SECOND, commit_changes=(("shard", 2),))])),
        ("a result that is no answer",
         sealed_verdict([*THREE[:2], replace(SECOND, receipt_changes=(("code", "out_of_memory"),))])),
        ("a round is missing", sealed_verdict([*THREE[:2], replace(SECOND, round=2)])),
        ("a reveal of another commitment",
         sealed_verdict([*THREE[:2], replace(SECOND, reveal_changes=(("commit", bytes(32)),))])),
        *stretch_rows(),
        *known_rows(),
    ]  # fmt: skip
    return [
        {"name": name, "network": RULES.network, "bytes": data.hex(), **_found(data)} for name, data in rows
    ]


def _found(data: bytes) -> Case:
    found = check_verdict(data)
    if not found.holds:
        return {"rules": sorted({finding.rule for finding in found.findings})}
    assert found.verdict is not None
    return {
        "outcome": found.verdict.outcome,
        "winner": found.winner,
        "faults": [one.fault for one in found.judged],
        "wallets": [None if one.wallet is None else one.wallet.hex() for one in found.judged],
        "is_drawn": found.is_drawn,
        "is_reworked": found.is_reworked,
    }


# --- charges --------------------------------------------------------------------------------------------------------
def charge_cases() -> list[Case]:
    wrong = replace(BOBS, output=2)
    others = [Part(who) for who in drawn_after(wrong)[:2]]
    two = [Part(who, output=2) for who in drawn_after(BOBS)[:2]]
    right = [Part(who) for who in drawn_after(BOBS)[2:4]]
    run = result_receipt().usage.model_copy(update={"wall_ms": 5_400_001})
    free = replace(wrong, commit_changes=(("price", 0),))
    rows: list[tuple[str, bytes]] = [
        ("three agree", sealed_verdict(THREE)),
        ("the primary is wrong", sealed_verdict([wrong, *others])),
        ("a run of more than an hour", sealed_verdict(_drawn(replace(wrong, receipt_changes=(("usage", run),))))),
        ("two are wrong", sealed_verdict([BOBS, *two, *right])),
        ("one shows another result than it committed to", sealed_verdict([*THREE[:2], replace(SECOND, shows=9)])),
        ("one does not show its result", sealed_verdict([*THREE[:2], replace(SECOND, is_silent=True)])),
        ("each says something else", sealed_verdict([BOBS, replace(FIRST, output=2), replace(SECOND, output=3)])),
        ("work that was free", sealed_verdict(_drawn(free))),
        ("it does not say whose the requester is", sealed_verdict([wrong, *others], binding=None)),
        ("made half a second later", sealed_verdict([wrong, *others], made_unix_ms=NOW + 1500)),
        ("it does not hold", sealed_verdict([wrong, *others], MALLORY)),
    ]  # fmt: skip
    return [
        {
            "name": name,
            "network": RULES.network,
            "bytes": data.hex(),
            "charges": charges_in(data),
        }
        for name, data in rows
    ]


def _drawn(primary: Part) -> list[Part]:
    return [primary, *(Part(who) for who in drawn_after(primary)[:2])]


# --- conversations --------------------------------------------------------------------------------------------------
class Talk:
    """One shard of alice's, told message by message, from the first commitment to the verdict."""

    def __init__(self, name: str, *parts: Part) -> None:
        self.name = name
        self.parts = parts
        self.steps: list[Case] = []

    def say(self, sender: Person, to: Person, message: Message, code: str | None = None) -> "Talk":
        refused = {} if code is None else {"code": code}
        self.steps.append(
            {"from": sender.name, "to": to.name, "bytes": encode_message(message).hex(), **refused}
        )
        return self

    def commit(self, part: Part, code: str | None = None) -> "Talk":
        return self.say(part.who, ALICE, msg.ResultCommitted(commit=part.commit().data), code)

    def ask(self, part: Part, *others: Part, code: str | None = None) -> "Talk":
        shown = tuple(other.commit().data for other in others)
        return self.say(ALICE, part.who, msg.RevealResult(epoch=1, others=shown), code)

    def show(self, part: Part, *others: Part, code: str | None = None) -> "Talk":
        reveal = part.reveal([part, *others]).data
        ready = ResultReady(receipt=part.receipt(part.shows).data, reveal=reveal)
        return self.say(part.who, ALICE, ready, code)

    def show_bare(self, part: Part) -> "Talk":
        return self.say(part.who, ALICE, ResultReady(receipt=part.receipt().data), "worker_lied")

    def all_commit(self) -> "Talk":
        for part in self.parts:
            self.commit(part)
        return self

    def all_show(self) -> "Talk":
        for part in self.parts:
            others = [other for other in self.parts if other is not part]
            self.ask(part, *others).show(part, *others)
        return self

    def case(self, *judged: Part) -> Case:
        verdict = sealed_verdict(list(judged or self.parts))
        leases = {
            part.who.name: {
                "worker": raw(part.who).hex(),
                "job_id": part.commit().message.job_id.hex(),
                "award": part.commit().message.award.hex(),
                "draw": part.commit().message.draw.hex(),
                "verification": "exact",
                "redundancy": 3,
                "price": PRICE,
            }
            for part in self.parts
        }
        its = BOBS.commit().message
        shared = {
            "network": RULES.network,
            "requester": raw(ALICE).hex(),
            "shard": its.shard,
            "epoch": its.epoch,
        }
        return {
            "name": self.name, "lease": {**shared, "spec_digest": its.spec_digest.hex()}, "leases": leases,
            "steps": self.steps, "verdict": verdict.hex(), **_found(verdict),
        }  # fmt: skip


def conversation_cases() -> list[Case]:
    bad, decider = replace(FIRST, output=2), replace(SECOND, round=1)
    liar = replace(SECOND, shows=9)
    copier = replace(SECOND, commit_changes=(("commitment", BOBS.commit().message.commitment),))
    changed = replace(BOBS, output=5)
    foreign = replace(FIRST, commit_changes=(("spec_digest", bytes(32)),))
    return [
        Talk("three agree", *THREE).all_commit().all_show().case(),
        Talk("commitments come again after a break", *THREE).commit(BOBS).all_commit().all_show().case(),
        Talk("one is wrong, a further replica decides", BOBS, bad, decider)
        .commit(BOBS).commit(bad).ask(BOBS, bad).show(BOBS, bad).ask(bad, BOBS).show(bad, BOBS)
        .commit(decider).ask(decider, BOBS, bad).show(decider, BOBS, bad)
        .case(),
        Talk("a copied commitment opens for nobody", BOBS, FIRST, copier)
        .all_commit().ask(BOBS, FIRST, copier).show(BOBS, FIRST, copier)
        .ask(FIRST, BOBS, copier).show(FIRST, BOBS, copier)
        .ask(copier, BOBS, FIRST).show(copier, BOBS, FIRST, code="worker_lied")
        .case(),
        Talk("another result than was committed to", BOBS, FIRST, liar)
        .all_commit().ask(BOBS, FIRST, liar).show(BOBS, FIRST, liar).ask(FIRST, BOBS, liar).show(FIRST, BOBS, liar)
        .ask(liar, BOBS, FIRST).show(liar, BOBS, FIRST, code="worker_lied")
        .case(),
        Talk("a second commitment", *THREE).commit(BOBS).commit(changed, code="worker_lied")
        .commit(FIRST).commit(SECOND).all_show()
        .case(),
        Talk("a result without a commitment", *THREE).show_bare(BOBS).all_commit().show_bare(FIRST).all_show().case(),
        Talk("workers who are asked too early, or with what proves nothing", *THREE)
        .all_commit()
        .ask(BOBS, BOBS, code="proof_fails")
        .ask(BOBS, foreign, code="proof_fails")
        .ask(BOBS, FIRST, FIRST, code="proof_fails")
        .all_show()
        .case(),
        Talk("commitments for other leases", *THREE)
        .commit(replace(BOBS, commit_changes=(("draw", bytes(32)),)), code="worker_lied")
        .commit(replace(BOBS, commit_changes=(("epoch", 2),)), code="worker_lied")
        .commit(replace(BOBS, commit_changes=(("redundancy", 2),)), code="worker_lied")
        .commit(replace(BOBS, commit_changes=(("verification", "numeric"),)), code="worker_lied")
        .commit(replace(BOBS, commit_changes=(("price", 1),)), code="worker_lied")
        .all_commit().all_show()
        .case(),
    ]  # fmt: skip


FAMILIES = {
    "result-roots": ("06-verification.md, Answers and Commit", root_cases),
    "draws": ("06-verification.md, Draw and Spot checks", draw_cases),
    "numbers": ("06-verification.md, Tolerance", number_cases),
    "charges": ("06-verification.md, Charging the loser", charge_cases),
    "verdicts": ("06-verification.md, Checking a verdict", verdict_cases),
    "replicas": ("06-verification.md, Commit, Reveal and Verdict", conversation_cases),
}
