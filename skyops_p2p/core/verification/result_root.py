"""What a result comes down to: a small tree over how the program ended, its outputs, its log and its meters. Pure.

All of it stands in the ResultReceipt, so anybody who has the receipt can work out the root: no file has to be shown.
The outputs are there by the CID of their bundle, which is a tree over the sealed files itself; sealing is
deterministic, so bundles under one content key are alike exactly if their files are. Trees as in RFC 6962.
Spec: protocol/06-verification.md, "Answers".
"""

from typing import Any

from skyops_p2p.core.auction.merkle import MerkleTree, leaf_hash
from skyops_p2p.wire import canonical
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import ResultReceipt

ANSWER_CODES = frozenset(
    {
        "succeeded",
        "program_failed",
        "program_trapped",
        "out_of_fuel",
        "module_invalid",
        "output_missing",
        "output_unsafe",
        "output_too_large",
        "output_too_many",
    }
)
"""Ends that follow from the program and its inputs: on every honest worker they are the same. Time, memory and
signals are the machine's, `requeue_asked` asks for another attempt."""


def has_answer(receipt: ResultReceipt) -> bool:
    """Tell whether a result is one that can be compared with others'. Rules: VER-2."""
    return receipt.code in ANSWER_CODES


def result_tree(receipt: ResultReceipt) -> MerkleTree:
    """Return the tree of a result: end, outputs, log, meters, in this order. Rules: VER-3."""
    return MerkleTree([leaf_hash(canonical.encode(leaf)) for leaf in _leaves(receipt)])


def result_root(receipt: ResultReceipt) -> bytes:
    """Return the 32 bytes that a worker commits itself to. Rules: VER-3."""
    return result_tree(receipt).root


def answer_root(receipt: ResultReceipt) -> bytes:
    """Return the 32 bytes that are equal for equal answers: the inner node over end and outputs. Rules: VER-3."""
    return answer_root_of(end_of(receipt), receipt.outputs)


def answer_root_of(end: tuple[str, str, int | None, int | None], outputs: BundleRef | None) -> bytes:
    """Return the answer root of an end and its outputs, 32 bytes.

    Args:
        end: Code, exit kind, exit code and signal, as a ResultReceipt has them.
        outputs: None: there are none.

    Rules: VER-3.
    """
    return MerkleTree([leaf_hash(canonical.encode(leaf)) for leaf in _answer_leaves(end, outputs)]).root


def end_of(receipt: ResultReceipt) -> tuple[str, str, int | None, int | None]:
    """Return how the program ended: code, kind, exit code, signal."""
    return receipt.code, receipt.exit_kind, receipt.exit_code, receipt.signal


def _leaves(receipt: ResultReceipt) -> list[dict[int, Any]]:
    """Return the contents of the four leaves; what is absent is left out."""
    log = {1: receipt.log_count, 2: receipt.log_head}
    meters = {
        **receipt.usage.to_wire(),
        254: receipt.started_unix_ms,
        255: receipt.ended_unix_ms,
    }
    return [*_answer_leaves(end_of(receipt), receipt.outputs), log, meters]


def _answer_leaves(
    end: tuple[str, str, int | None, int | None], outputs: BundleRef | None
) -> list[dict[int, Any]]:
    numbered = dict(enumerate(end, 1))
    said: dict[int, Any] = {key: value for key, value in numbered.items() if value is not None}
    return [said, {} if outputs is None else outputs.to_wire()]
