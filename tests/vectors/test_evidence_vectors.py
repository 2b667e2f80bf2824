"""The vectors of chapter 07b, by skyops_p2p and by the second reader that shares no code with it."""

from itertools import permutations
from typing import Any

from skyops_p2p.core.evidence.items import Scope, check_proof, joined, open_evidence
from skyops_p2p.core.evidence.shelf import Shelf
from skyops_p2p.wire.messages.evidence import DoubleHistoryProof
from skyops_p2p.wire.model import decode_message
from tests.vectors import second_evidence as second
from tests.vectors import second_wire as wire
from tests.vectors.evidence_cases import SCOPE, held
from tests.vectors.test_vectors import Case, cases, everything, expect, raw


def scope_of(case: Case) -> Scope:
    places = {name: raw(case, name) for name in ("settlement", "disputes", "token")}
    return Scope(case["network"], case["chain_id"], **places)


@everything("receipt-names")
def test_receipt_names(case: Case) -> None:  # RCP-2, RCP-3, SET-15
    def ours(case: Case) -> Any:
        return open_evidence(raw(case), scope_of(case))[0].name.hex()

    def theirs(case: Case) -> Any:
        return second.open_named(raw(case), case).hex()

    expect(case, case.get("is"), ours, theirs)


@everything("receipt-joins")
def test_receipt_joins(case: Case) -> None:  # RCP-4
    parts = [bytes.fromhex(part) for part in case["parts"]]
    for order in permutations(parts):
        opened = [open_evidence(part, SCOPE)[0] for part in order]
        whole = opened[0]
        for more in opened[1:]:
            whole = joined(whole, more)
        assert (whole.data.hex(), whole.name.hex()) == (case["bytes"], case["is"])
        theirs = second.join(list(order))
        assert theirs == wire.message(raw(case), "signed-receipt")
        assert second.name_of(theirs).hex() == case["is"]


@everything("receipt-sync")
def test_receipt_sync(case: Case) -> None:  # RCP-10
    names = [bytes.fromhex(name) for name in case["held"]]
    holder: Shelf = held(len(names))
    assert [item.name for item in holder.all()] == names
    assert holder.digests() == second.digests(names) == raw(case, "digests")
    asked, after = raw(case, "asked"), raw(case, "after")
    wanted = ([bytes.fromhex(name) for name in case["names"]], case["is_complete"])
    assert holder.differing(asked, after=after, count_max=512) == wanted
    assert second.differing(names, asked, after) == wanted


@everything("history-proofs")
def test_history_proofs(case: Case) -> None:  # RCP-12
    def ours(case: Case) -> Any:
        return check_proof(decode_message(DoubleHistoryProof, raw(case)), scope_of(case)).account.hex()

    def theirs(case: Case) -> Any:
        return second.check_proof(raw(case), case).hex()

    expect(case, case.get("account"), ours, theirs)


def test_families_have_both_outcomes() -> None:
    for family in ("receipt-names", "history-proofs"):
        assert {"code" in case for case in cases(family)} == {True, False}
