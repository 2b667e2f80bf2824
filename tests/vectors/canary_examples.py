"""Verdicts on shards that alice has computed, too, right ones and others."""

from dataclasses import replace

from skyops_p2p.core.verification.result_root import answer_root
from skyops_p2p.wire.messages import verification as msg
from tests.vectors.people import BOB
from tests.vectors.stretch_examples import stretch
from tests.vectors.verification_examples import Part, drawn_after, sealed_verdict

BOBS = Part(BOB)
FIRST, SECOND = (Part(who) for who in drawn_after(BOBS)[:2])
THREE = [BOBS, FIRST, SECOND]


def known_rows() -> list[tuple[str, bytes]]:
    """Return verdicts with a known answer, by their names in verdicts.json."""
    mine = answer_root(BOBS.receipt().message)
    silent = replace(BOBS, is_silent=True)
    numeric = [replace(part, verification="numeric") for part in (BOBS, replace(FIRST, output=2))]
    apart = (msg.ComparisonPart(first=0, second=1, is_equal=False, elements=1000, within=0),)
    alone = [replace(BOBS, commit_changes=(("redundancy", 1),))]
    both = {"stretch": stretch(), "outcome": "decided"}
    return [
        ("a canary is right", sealed_verdict(alone, known=mine)),
        ("a canary is wrong", sealed_verdict([BOBS], known=bytes(32))),
        ("all agree, and none with the canary", sealed_verdict(THREE, known=bytes(32))),
        ("the canary is with the minority",
         sealed_verdict([BOBS, replace(FIRST, output=2), replace(SECOND, output=2)], known=mine)),
        ("a canary, and one shows nothing", sealed_verdict([BOBS, replace(FIRST, is_silent=True)], known=mine)),
        ("a canary, and one lies", sealed_verdict([replace(BOBS, shows=9), FIRST], known=mine)),
        ("a canary where nobody shows anything", sealed_verdict([silent], known=mine)),
        ("a canary of numbers", sealed_verdict(numeric, comparisons=apart, known=mine)),
        ("a canary and a stretch", sealed_verdict([BOBS, replace(FIRST, output=2)], known=mine, **both)),
        ("a canary, and not what follows from it", sealed_verdict(THREE, known=bytes(32), outcome="agreed")),
    ]  # fmt: skip
