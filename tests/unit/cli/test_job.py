"""`skyops job`: check, schema and new, in process."""

import json
from pathlib import Path

import pytest

from skyops_p2p.cli.job import TEMPLATES
from skyops_p2p.cli.main import run_main
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import NetworkError
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.job_files import read_job
from skyops_p2p.node.job_preview import CandidateView, MismatchView, PreviewView, ReasonView
from skyops_p2p.node.run_file import RunFile
from tests.unit.core.jobs.examples import ALICE, BOB, PUBLISHED

Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[3]

PREVIEW = PreviewView(
    spec_digest="00" * 32,
    workers=2,
    qualified=1,
    price_min=1_000_000,
    price_median=1_000_000,
    price_max=1_500_000,
    cost_min=1_000_000,
    cost_max=1_500_000,
    reasons=(ReasonView(code="vram", nodes=1, meaning="Too little memory.", change="Lower it."),),
    candidates=(
        CandidateView(peer_id=ALICE, price_microcredits_per_hour=1_000_000, round_trip_ms=12, mismatches=()),
        CandidateView(
            peer_id=BOB,
            price_microcredits_per_hour=1_500_000,
            round_trip_ms=None,
            mismatches=(
                MismatchView(code="vram", detail="needs 40000 MiB"),
                MismatchView(code="denied", detail=""),
            ),
        ),
    ),
)


def run(*arguments: object) -> int:
    return run_main([str(argument) for argument in arguments])


@pytest.fixture
def published(tmp_path: Path) -> Path:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(PUBLISHED))
    return path


@pytest.fixture
def node_that_previews(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Stand a node in front of the command; return the jobs that it was asked about."""
    asked: list[object] = []

    class Client(ControlClient):
        def preview(self, spec: object) -> PreviewView:  # type: ignore[override] # the test's own node
            asked.append(spec)
            return PREVIEW

    entry = RunFile(url="http://127.0.0.1:1", token="x", pid=1, process_start="0")
    monkeypatch.setattr(ControlClient, "of", classmethod(lambda cls, data_dir: Client(data_dir, entry)))
    return asked


@pytest.mark.parametrize(
    ("is_by_lot", "text"),
    [
        (False, "2 workers compute it, to compare their results: at most 1.5 credits in all."),
        (True, "1 worker computes it, and 1 more if the lot of the spot checks falls on it: at most 1.5"),
    ],
)
def test_what_is_computed_more_than_once_says_so(
    published: Path,
    node_that_previews: list[object],
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    is_by_lot: bool,
    text: str,
) -> None:
    preview = PREVIEW.model_copy(update={"computing": 2, "is_by_lot": is_by_lot})
    monkeypatch.setattr("tests.unit.cli.test_job.PREVIEW", preview)
    assert run("job", "check", published) == 0
    assert text in capsys.readouterr().out


def test_what_this_machine_computes_itself_is_said_with_the_chance(
    published: Path, node_that_previews: list[object], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    preview = PREVIEW.model_copy(update={"canaries": 10, "canary_permille": 669})
    monkeypatch.setattr("tests.unit.cli.test_job.PREVIEW", preview)
    assert run("job", "check", published) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "This machine computes 10 of the shards, too, one after the other (canaries);" in out
    assert "a tenth of all shards is caught at one with a chance of 0.67." in out


# --- check ------------------------------------------------------------------------------------------------------
def test_without_a_node_the_job_is_checked_all_the_same(published: Path, capsys: Capture) -> None:
    assert run("job", "check", published) == 0
    out = capsys.readouterr().out
    assert "valid, digest 1817fd7a74f5cbe1" in out
    assert "python train.py --epochs 50" in out
    assert "remark: inputs.0.uri: ipfs://QmDataHash" in out
    assert "No screening preview: no node is running" in out


def test_defaults_are_marked(published: Path, capsys: Capture) -> None:
    run("job", "check", published)
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.split()}
    assert lines["timeouts.execution"] == ["timeouts.execution", "1h", "default"]
    assert lines["resources.memory"] == ["resources.memory", "16Gi"]


def test_json_holds_the_effective_specification(published: Path, capsys: Capture) -> None:
    assert run("job", "check", published, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert JobSpec.model_validate(answer["spec"]) == JobSpec.model_validate(PUBLISHED)
    assert answer["preview"] is None
    assert "no node is running" in answer["preview_missing"]
    assert len(answer["remarks"]) == 5


def test_a_running_node_screens_the_job(
    published: Path, node_that_previews: list[object], capsys: Capture
) -> None:
    assert run("job", "check", published) == 0
    out = capsys.readouterr().out
    assert "1 of 2 known workers qualify." in out
    assert "1 to 1.5 credits an hour, median 1." in out
    assert "Estimated cost if the execution time-out is used up: 1 to 1.5 credits." in out
    assert "Too little memory. Lower it." in out
    assert "vram: needs 40000 MiB; denied" in out
    assert "qualifies" in out
    assert JobSpec.model_validate(node_that_previews[0]) == JobSpec.model_validate(PUBLISHED)


def test_json_holds_the_preview(published: Path, node_that_previews: list[object], capsys: Capture) -> None:
    assert run("job", "check", published, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert PreviewView.model_validate(answer["preview"]) == PREVIEW
    assert (answer["preview_missing"], len(node_that_previews)) == ("", 1)


def test_a_wrong_job_ends_with_code_2_and_names_its_mistakes(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "job.toml"
    path.write_text('image = "x"\nshards = 0\ncomand = "x"\n')
    assert run("job", "check", path) == 2
    err = capsys.readouterr().err
    assert "error[job_invalid]: 2 fields are wrong:" in err
    assert f"{path}:2: shards: found 0" in err
    assert f"{path}:3: comand: there is no such field: did you mean command?" in err


def test_no_file_is_an_error_with_a_code(tmp_path: Path, capsys: Capture) -> None:
    assert run("job", "check", tmp_path / "no.toml") == 2
    assert "error[job_unreadable]" in capsys.readouterr().err


# --- schema and templates ---------------------------------------------------------------------------------------
def test_the_schema_is_json(capsys: Capture) -> None:
    assert run("job", "schema") == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "resources" in schema["properties"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_a_valid_job(template: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / f"{template}.toml"
    assert run("job", "new", "--template", template, "-o", path) == 0
    assert read_job(path).name == template
    assert run("job", "check", path) == 0
    assert "#" in path.read_text()


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_examples_are_the_templates(template: str, capsys: Capture) -> None:
    assert run("job", "new", "--template", template) == 0
    assert capsys.readouterr().out == (ROOT / f"examples/jobs/{template}.toml").read_text()


def test_an_existing_file_is_left_alone(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("mine")
    assert run("job", "new", "--template", "train", "-o", path) == 2
    assert path.read_text() == "mine"
    assert "error[config_exists]" in capsys.readouterr().err


def test_a_preview_that_fails_says_why(
    published: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def broken(cls: type[ControlClient], data_dir: Path) -> ControlClient:
        raise NetworkError("the node did not answer within 30 s", code="node_not_answering", hint="Look.")

    monkeypatch.setattr(ControlClient, "of", classmethod(broken))
    assert run("job", "check", published) == 0
    assert "No screening preview: the node did not answer within 30 s. Look." in capsys.readouterr().out
