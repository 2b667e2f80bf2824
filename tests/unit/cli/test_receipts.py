"""`receipts`: the list, the file, and the check of the file that needs no node."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skyops_p2p.cli.main import run_main
from skyops_p2p.core.reputation.deals import Check
from skyops_p2p.core.settlement.receipts import leaf_of
from skyops_p2p.core.settlement.trees import GrowingTree, prove
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.evidence.views import checked_text
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.messages.settlement import Receipt, SignedReceipt
from skyops_p2p.wire.model import decode_message
from tests.gateway.fake_payments import RECEIPTS, FakePayments
from tests.unit.cli.fake_client import stand_in_front
from tests.vectors.people import MALLORY
from tests.vectors.signed_receipt_cases import receipt, signed_receipt


@pytest.fixture
def payments(monkeypatch: pytest.MonkeyPatch) -> FakePayments:
    stand_in_front(monkeypatch)
    fake = FakePayments()
    monkeypatch.setattr(ControlClient, "payments", property(lambda _client: fake))
    return fake


@pytest.fixture
def exported(payments: FakePayments, tmp_path: Path) -> Path:
    path = tmp_path / "receipts.json"
    assert run_main(["receipts", "--export", str(path)]) == 0
    return path


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    tree = json.loads(path.read_text(encoding="utf-8"))
    change(tree)
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def codes(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    ended = run_main(["receipts", "--verify", str(path), "--json"])
    found = [finding["code"] for finding in json.loads(capsys.readouterr().out)["findings"]]
    assert ended == (9 if found else 0)
    return found


def test_receipts_are_listed(payments: FakePayments, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(["receipts", "0x" + "11" * 20]) == 0
    out = capsys.readouterr().out
    assert "3 of 3 receipts" in out
    assert out.count("unverified") == 3
    assert "one side" in out
    assert payments.asked_for == "0x" + "11" * 20


def test_a_file_is_checked_without_a_node(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # SET-15
    monkeypatch.undo()
    assert codes(exported, capsys) == []


def first(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the first one of alice's chain: the file is in the order in which jobs ended."""
    found: dict[str, Any] = next(row for row in tree["receipts"] if row["receipt"] == RECEIPTS[0].hex())
    return found


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda tree: first(tree).update(receipt=signed_receipt(receipt(), worker=MALLORY.wallet).hex()),
         "bad_signature"),
        (lambda tree: first(tree).update(receipt=signed_receipt(receipt(9), worker=None).hex()), "broken_chain"),
        (lambda tree: tree["receipts"].append(first(tree) | {"receipt": signed_receipt(receipt(9), worker=None).hex()}),
         "double_history"),
        (lambda tree: tree.update(settlement="00" * 20), "wrong_contract"),
        (lambda tree: tree.update(network="elsewhere"), "wrong_network"),
    ],
)  # fmt: skip
def test_what_was_changed_in_a_file_is_found(
    exported: Path, change: Callable[[dict[str, Any]], None], code: str, capsys: pytest.CaptureFixture[str]
) -> None:  # SET-15, SET-17, RCP-3
    assert code in codes(changed(exported, change), capsys)


def test_a_place_in_the_tree_is_checked(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:  # SET-14
    ours = [decode_message(Receipt, decode_message(SignedReceipt, data).receipt) for data in RECEIPTS]
    leaves = tuple(leaf_of(one) for one in ours)
    place = {"index": 0, "count": 3, "path": [node.hex() for node in prove(leaves, 0).path]}
    tree = GrowingTree()
    for leaf in leaves:
        tree = tree.with_leaf(leaf)
    right = place | {"root": tree.root.hex()}
    assert codes(changed(exported, lambda file: first(file).update(inclusion=right)), capsys) == []
    wrong = place | {"root": "00" * 32}
    assert codes(changed(exported, lambda file: first(file).update(inclusion=wrong)), capsys) == [
        "not_included"
    ]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"network": 5}'])
def test_a_file_of_something_else_has_a_code(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    assert run_main(["receipts", "--verify", str(path)]) == 9
    assert "receipts_unreadable" in capsys.readouterr().err


def test_bytes_that_are_not_hexadecimal_have_a_code(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(exported, lambda tree: first(tree).update(receipt="xyz"))
    assert run_main(["receipts", "--verify", str(exported)]) == 9
    assert "receipts_unreadable" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("level", "is_right", "text"),
    [
        (1, True, "own check"),
        (1, False, "own check: wrong"),
        (2, True, "verified"),
        (2, False, "wrong"),
        (3, True, "verified"),
    ],
)
def test_what_is_known_of_a_result(level: int, is_right: bool, text: str) -> None:
    assert (
        checked_text(Check(bytes(32), bytes(32), level, is_right=is_right, decided_unix_ms=UnixMs(0))) == text
    )
    assert checked_text(None) == ""
