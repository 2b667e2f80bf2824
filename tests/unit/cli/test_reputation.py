"""`reputation`: the table, one account with its reasons, and a picture."""

import importlib.util
import json
from pathlib import Path

import pytest

from skyops_p2p.cli.main import run_main
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.reputation.views import ReputationView
from tests.gateway.fake_payments import WALLET, reputation_view
from tests.unit.cli.fake_client import stand_in_front

Capture = pytest.CaptureFixture[str]


class Scores:
    """Answers with bob's scores."""

    def __init__(self) -> None:
        self.asked = ""
        self.view: ReputationView | None = None

    def reputation(self, who: str = "") -> ReputationView:
        self.asked = who
        return self.view or reputation_view(is_explained=bool(who))


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> Scores:
    stand_in_front(monkeypatch)
    fake = Scores()
    monkeypatch.setattr(ControlClient, "payments", property(lambda _client: fake))
    return fake


def test_everybody_is_listed(scores: Scores, capsys: Capture) -> None:
    assert run_main(["reputation"]) == 0
    out = capsys.readouterr().out
    assert scores.asked == ""
    assert [word in out for word in ("498", "above the gate", "288", "1.2345", "From 1 receipt ")] == [
        True
    ] * 5
    assert "What would change it" not in out


def test_one_account_is_explained(scores: Scores, capsys: Capture) -> None:
    assert run_main(["reputation", WALLET, "--explain"]) == 0
    out = capsys.readouterr().out
    assert scores.asked == WALLET
    assert "accuracy      0.497000   (without evidence 0.450000)" in out
    assert "goes by 512" in out
    assert (
        "availability  0.500000   (answered 140 of 144 slots, 2 as announced, by 4.9 witnesses each)" in out
    )
    assert " 560 (+62)  one more job of 1 credit that others have checked" in out
    assert " 101 (-397)  one wrong result of 1 credit" in out
    assert "abababababab" in out
    assert [word in out for word in ("found", "result_wrong", "efefefefefef")] == [True] * 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"slots_probed": 0, "slots_announced": 0}, "(nobody has been drawn to look yet)"),
        ({"slots_voices": 730}, "by 5 witnesses each"),
        ({"has_contradicted": True}, "(as a witness it has signed two statements of one watch)"),
    ],
)
def test_what_witnesses_saw_is_said(
    scores: Scores, capsys: Capture, changes: dict[str, object], words: str
) -> None:
    view = reputation_view(is_explained=True)
    (why,) = view.explanations
    scores.view = view.model_copy(update={"explanations": (why.model_copy(update=changes),)})
    assert run_main(["reputation", WALLET, "--explain"]) == 0
    assert words in capsys.readouterr().out


def test_without_a_name_it_explains_the_node_itself(scores: Scores) -> None:
    assert run_main(["reputation", "--explain"]) == 0
    assert scores.asked == "self"


def test_nothing_known_is_said(scores: Scores, capsys: Capture) -> None:
    scores.view = reputation_view(is_explained=False).model_copy(
        update={"rows": (), "waiting": 2, "is_behind": True, "is_chain_away": True}
    )
    assert run_main(["reputation"]) == 0
    out = capsys.readouterr().out
    told = (
        "No scores yet",
        "Not counted yet are 2 of them",
        "not in these scores yet",
        "chain does not answer",
    )
    assert [text in out for text in told] == [True] * 4


def test_json_has_all_of_it(scores: Scores, capsys: Capture) -> None:
    assert run_main(["reputation", WALLET, "--json"]) == 0
    assert ReputationView.model_validate(json.loads(capsys.readouterr().out)) == reputation_view(
        is_explained=True
    )


def test_a_picture_without_matplotlib_is_refused_before_the_node_is_asked(
    scores: Scores, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    scores.asked = "nobody"
    assert run_main(["reputation", "--plot", str(tmp_path / "scores.png")]) != 0
    assert "plots_unavailable" in capsys.readouterr().err
    assert scores.asked == "nobody"


@pytest.mark.parametrize("who", ["", WALLET])
def test_a_picture_is_drawn(scores: Scores, tmp_path: Path, who: str) -> None:
    pytest.importorskip("matplotlib")
    target = tmp_path / "scores.png"
    assert run_main(["reputation", *([who] if who else []), "--plot", str(target)]) == 0
    assert target.read_bytes().startswith(b"\x89PNG")
    assert run_main(["reputation", "--plot", str(tmp_path / "no" / "scores.png")]) != 0
