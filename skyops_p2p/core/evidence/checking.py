"""Check receipts that somebody has exported, with nothing but the file: signatures, chains, and places in a tree. Pure.

Spec: protocol/07-settlement.md, "Receipts"; protocol/07b-receipts.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skyops_p2p.core.evidence.items import Scope, open_evidence
from skyops_p2p.core.settlement.receipts import ReceiptWatch, leaf_of
from skyops_p2p.core.settlement.trees import Inclusion
from skyops_p2p.errors import RemoteProtocolError


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a receipt."""

    index: int
    """Of the receipt, from 0."""
    code: str
    """As open_evidence refuses; or `double_history`, `broken_chain`, `not_included`."""


def check_receipts(
    scope: Scope, receipts: Sequence[bytes], proofs: Mapping[int, tuple[Inclusion, bytes]]
) -> list[Finding]:
    """Return what is wrong with receipts; nothing if all is right.

    Args:
        scope: The market that they are said to be of.
        receipts: Encoded SignedReceipts.
        proofs: Index of a receipt -> its place in its pair's tree, and the tree's root, 32 bytes.

    Rules: SET-14, SET-15, SET-17, RCP-3.
    """
    findings: list[Finding] = []
    watch = ReceiptWatch(scope.domain, places_max=2 * len(receipts) + 1)
    links: dict[tuple[bytes, int], bytes] = {}
    behind: list[tuple[int, bytes, int, bytes]] = []
    for index, data in enumerate(receipts):
        try:
            item, receipt, signed = open_evidence(data, scope)
        except RemoteProtocolError as error:
            findings.append(Finding(index, error.code))
            continue
        if watch.see_checked(receipt, signed) is not None:
            findings.append(Finding(index, "double_history"))
        for account, place in item.places:
            links[account, place.sequence] = place.link
        for account, half in ((receipt.requester, signed.requester), (receipt.worker, signed.worker)):
            if half is not None:
                behind.append((index, account, half.sequence - 1, half.previous))
        proof = proofs.get(index)
        if proof is not None and not proof[0].holds(proof[1], leaf_of(receipt)):
            findings.append(Finding(index, "not_included"))
    for index, account, sequence, previous in behind:
        if links.get((account, sequence), previous) != previous:
            findings.append(Finding(index, "broken_chain"))
    return findings
