"""`node prove`: what a person reads of a proof, old and new."""

import json
import time

import pytest

from skyops_p2p.cli.main import run_main
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.views import ProofView
from tests.gateway.conftest import BOB, proof_view
from tests.unit.cli.fake_client import ENTRY

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool, int]]:
    """Have the node answer with a proof; return what it was asked."""
    calls: list[tuple[str, bool, int]] = []

    class Client(ControlClient):
        def prove(self, peer: str, *, again: bool = False, memory_mib: int = 0) -> ProofView:
            calls.append((peer, again, memory_mib))
            if peer == "mallory":
                raise SkyopsError("it refused", code="proof_spent", hint="Try again in half an hour.")
            return proof_view(BOB, is_new=again or memory_mib > 0, memory_mib=memory_mib)

    monkeypatch.setattr(ControlClient, "of", classmethod(lambda cls, data_dir: Client(data_dir, ENTRY)))
    monkeypatch.setattr(time, "time", lambda: 1_700_007_200.0)
    return calls


def test_proof_of_the_last_day_is_shown_with_its_age(
    asked: list[tuple[str, bool, int]], capsys: Capture
) -> None:
    assert run_main(["node", "prove", "bob"]) == 0
    assert asked == [("bob", False, 0)]
    told = capsys.readouterr().out
    assert "14,250 million operations a second" in told
    assert "2h ago" in told
    assert "challenge" not in told


def test_new_proof_says_what_was_asked_and_how_long_it_took(
    asked: list[tuple[str, bool, int]], capsys: Capture
) -> None:
    assert run_main(["node", "prove", "bob", "--again", "--memory", "2"]) == 0
    assert asked == [("bob", True, 2)]
    told = capsys.readouterr().out
    for text in ("just now", "1,073,741,824 operations", "512 rows", "75 ms", "2 MiB"):
        assert text in told


def test_proof_as_json(asked: list[tuple[str, bool, int]], capsys: Capture) -> None:
    assert run_main(["node", "prove", "bob", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["throughput"] == 14_250


def test_refusal_and_too_much_memory(asked: list[tuple[str, bool, int]], capsys: Capture) -> None:
    assert run_main(["node", "prove", "mallory"]) == 1
    assert "error[proof_spent]: it refused" in capsys.readouterr().err
    assert run_main(["node", "prove", "bob", "--memory", "3"]) == 2
    assert len(asked) == 1
