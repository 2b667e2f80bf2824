"""Verdicts that one stretch has decided, right ones and others: what alice's workers signed on their way."""

from dataclasses import replace
from typing import Any

from skyops_p2p.core.verification.result_root import answer_root
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages import verification as msg
from tests.vectors.execution_examples import bundle, checkpoint_receipt
from tests.vectors.people import BOB, RULES, Person
from tests.vectors.verification_examples import Part, drawn_after, sealed_verdict

STRIDE = 10
BOBS = Part(BOB)
FIRST, SECOND, THIRD = (Part(who) for who in drawn_after(BOBS)[:3])
OTHER = replace(FIRST, output=2)
"""It came to another result than bob."""


def saved(part: Part, number: int, state: int, signer: Person | None = None, **changes: Any) -> bytes:
    """Return what a worker signs about its state after so many stretches.

    Args:
        part: Whose lease it is.
        number: Of the stretch that it ends.
        state: Number of the bundle.
        signer: Who signs; None: the worker.
        changes: Fields that take the place of right ones.
    """
    result = part.receipt().message
    fields = {
        "worker": result.worker,
        "job_id": result.job_id,
        "shard": result.shard,
        "epoch": result.epoch,
        "sequence": number,
        "bundle": bundle(state),
        "label": f"step-{number * STRIDE}",
        "done": number * STRIDE,
        "total": 0,
        **changes,
    }
    return seal(checkpoint_receipt(**fields), (signer or part.who).node_key, RULES.network)


def state(number: int) -> bytes:
    """Return the state root that a bundle's name holds."""
    return bundle(number).root[-32:]


def stretch(**changes: Any) -> msg.StretchPart:
    """Return the third stretch, where bob came to state 30 and the other one to 31; alice to 30."""
    fields = {
        "first": 0,
        "second": 1,
        "stride": STRIDE,
        "number": 3,
        "first_before": saved(BOBS, 2, 20),
        "second_before": saved(OTHER, 2, 20),
        "first_after": saved(BOBS, 3, 30),
        "second_after": saved(OTHER, 3, 31),
        "executed": state(30),
        **changes,
    }
    return msg.StretchPart.model_validate(fields)


def decided(part: msg.StretchPart, *parts: Part, **changes: Any) -> bytes:
    """Return alice's verdict on bob and the other one, or on these."""
    return sealed_verdict(list(parts) or [BOBS, OTHER], stretch=part, **changes)


def stretch_rows() -> list[tuple[str, bytes]]:
    """Return verdicts with a stretch, by their names in verdicts.json."""
    bobs_answer = answer_root(BOBS.receipt().message)
    no_states = {"first_before": None, "second_before": None, "first_after": None, "second_after": None}
    first = {"number": 1, "first_before": None, "second_before": None}
    firsts = {"first_after": saved(BOBS, 1, 10), "second_after": saved(OTHER, 1, 11), "executed": state(11)}
    numeric = [replace(part, verification="numeric") for part in (BOBS, OTHER)]
    apart = (msg.ComparisonPart(first=0, second=1, is_equal=False, elements=1000, within=0),)
    lost: dict[str, Any] = {"outcome": "unresolved"}
    return [
        ("one stretch decides", decided(stretch())),
        ("one stretch decides for the other one", decided(stretch(executed=state(31)))),
        ("the first stretch decides", decided(stretch(**first, **firsts))),
        ("the way to the end decides", decided(stretch(first_after=None, second_after=None, executed=bobs_answer))),
        ("one had ended before the stretch did", decided(stretch(first_after=None, executed=state(31)))),
        ("one stretch decides between two and two",
         decided(stretch(), BOBS, OTHER, SECOND, replace(THIRD, output=2))),
        ("one stretch decides, and a third worker showed nothing",
         decided(stretch(), BOBS, OTHER, replace(SECOND, is_silent=True))),
        ("a stretch that comes to what nobody claimed", decided(stretch(executed=state(32)), **lost)),
        ("a stretch from states that differ", decided(stretch(second_before=saved(OTHER, 2, 21)))),
        ("a stretch to the same state", decided(stretch(second_after=saved(OTHER, 3, 30)))),
        ("a stretch without the state before it", decided(stretch(**{**no_states, "executed": bobs_answer}))),
        ("a stretch after other steps", decided(stretch(first_after=saved(BOBS, 4, 30)))),
        ("a checkpoint of another lease", decided(stretch(first_after=saved(BOBS, 3, 30, epoch=2)))),
        ("a checkpoint that another worker signed", decided(stretch(first_after=saved(BOBS, 3, 30, OTHER.who)))),
        ("a stretch where there is a majority", decided(stretch(), BOBS, OTHER, SECOND)),
        ("a stretch among three results",
         decided(stretch(), BOBS, OTHER, replace(SECOND, output=3))),
        ("a stretch of an answer that is not there", decided(stretch(second=2), **lost)),
        ("a stretch of an answer that was not opened",
         decided(stretch(), BOBS, replace(OTHER, is_silent=True))),
        ("a stretch of numbers", decided(stretch(), *numeric, comparisons=apart)),
        ("a stretch, and not what follows from it", decided(stretch(), **lost)),
    ]  # fmt: skip
