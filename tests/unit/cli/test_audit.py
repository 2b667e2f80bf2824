"""`skyops audit`: a good book, a bad one, and the ways to name one; without a node and without a network."""

import json
from pathlib import Path

import pytest

from skyops_p2p.cli.main import run_main
from skyops_p2p.core.auction.audit import claimed_network
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import StoreError
from skyops_p2p.limits import BOOK_BYTES_MAX
from skyops_p2p.node.book_files import books_directory, save_book
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.auction import CommitAck
from tests.unit.core.auction.market import Worker, book_of, evidence_of, sign, signed_tender
from tests.unit.core.people import ALICE, BOB, CAROL, RULES

Capture = pytest.CaptureFixture[str]
JOB = bytes([1] * 16)


def good(**changes: object) -> bytes:
    workers = [Worker(BOB, price=600_000), Worker(CAROL, price=1_900_000)]
    return sign(book_of(evidence_of(signed_tender(**changes), workers)))


def audit(data_dir: Path, *arguments: object) -> int:
    return run_main(["--data-dir", str(data_dir), "audit", *(str(argument) for argument in arguments)])


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "copy.book"
    path.write_bytes(good())
    return path


def test_good_book_is_ok_on_a_machine_without_a_node(book: Path, tmp_path: Path, capsys: Capture) -> None:
    assert audit(tmp_path / "nothing-here", book) == 0
    out = capsys.readouterr().out
    assert "OK: the award follows from the bids" in out
    assert BOB.peer in out
    assert f"{RULES.network}, chain {RULES.chain_id}" in out


def test_report_as_json(book: Path, tmp_path: Path, capsys: Capture) -> None:
    assert audit(tmp_path, book, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["requester"], report["bids"]) == (True, ALICE.peer, 2)
    assert report["ranking"] == [BOB.peer, CAROL.peer]
    assert report["findings"] == []
    assert report["digest"] == sha256(book.read_bytes()).hex()


def test_award_against_the_rule_names_it(tmp_path: Path, capsys: Capture) -> None:
    workers = [Worker(BOB, price=600_000), Worker(CAROL, price=1_900_000)]
    honest = book_of(evidence_of(signed_tender(), workers))
    path = tmp_path / "bad.book"
    path.write_bytes(sign(honest.model_copy(update={"ranking": honest.ranking[::-1]})))
    assert audit(tmp_path, path) == 9
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert "AUC-20" in out
    assert "OK" not in out


@pytest.mark.parametrize("at", [0, 100, -1])
def test_tampered_copy_fails(book: Path, tmp_path: Path, at: int, capsys: Capture) -> None:
    data = bytearray(book.read_bytes())
    data[at] ^= 1
    book.write_bytes(data)
    assert audit(tmp_path, book) == 9
    assert "FAILED" in capsys.readouterr().out


def test_garbage_and_an_empty_file_fail(tmp_path: Path) -> None:
    for data in (b"", b"\n", bytes(1000)):
        (tmp_path / "x").write_bytes(data)
        assert audit(tmp_path, tmp_path / "x") == 9
        assert claimed_network(data) == ("", 0)


def test_insisting_on_a_network(book: Path, tmp_path: Path) -> None:
    assert audit(tmp_path, book, "--network", RULES.network, "--chain-id", RULES.chain_id) == 0
    assert audit(tmp_path, book, "--network", "skyops") == 9
    assert audit(tmp_path, book, "--chain-id", 1) == 9


def test_broken_acknowledgement_is_found(book: Path, tmp_path: Path, capsys: Capture) -> None:
    ack = tmp_path / "ack"
    ack.write_bytes(seal(CommitAck(commit=bytes(32)), ALICE.node_key, RULES.network))
    assert audit(tmp_path, book, "--ack", ack) == 9
    assert "AUC-10" in capsys.readouterr().out


def test_books_of_this_node_are_found_by_job(tmp_path: Path, capsys: Capture) -> None:
    first = save_book(tmp_path, good(), job_id=JOB, round_number=0)
    second = save_book(tmp_path, good(round=1), job_id=JOB, round_number=1)
    save_book(tmp_path, good(job_id=bytes([2] * 16)), job_id=bytes([2] * 16), round_number=0)
    assert first.read_bytes() == good()
    assert audit(tmp_path, JOB.hex()[:8]) == 0
    assert second.name in capsys.readouterr().out
    assert audit(tmp_path, sha256(good()).hex()[:10]) == 0
    assert first.name in capsys.readouterr().out
    assert [path.suffix for path in sorted(books_directory(tmp_path).iterdir())] == [".book"] * 3


def test_unknown_ambiguous_and_unreadable_books(tmp_path: Path, capsys: Capture) -> None:
    save_book(tmp_path, good(), job_id=bytes([0x11, 0x22, *bytes(14)]), round_number=0)
    save_book(tmp_path, good(), job_id=bytes([0x11, 0x33, *bytes(14)]), round_number=0)
    assert audit(tmp_path, "11") == 9
    assert "book_ambiguous" in capsys.readouterr().err
    for name in ("44", "no such book", ""):
        assert audit(tmp_path, name) == 9
        assert "book_missing" in capsys.readouterr().err
    large = tmp_path / "large.book"
    with large.open("wb") as file:
        file.truncate(BOOK_BYTES_MAX + 1)
    assert audit(tmp_path, large) == 9
    assert "book_unreadable" in capsys.readouterr().err


def test_book_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "books").write_text("a file where the directory should be")
    with pytest.raises(StoreError) as caught:
        save_book(tmp_path, b"x", job_id=JOB, round_number=0)
    assert caught.value.code == "book_unwritable"
