"""What goes to the node: changed fields, secrets from where the job says, batches in order."""

import json
from pathlib import Path

import pytest

from skyops_p2p.core.jobs.parts import Secret
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ConfigError
from skyops_p2p.node.batches import in_order, naming_ids
from skyops_p2p.node.job_changes import apply_changes, parse_change
from skyops_p2p.node.job_files import read_job
from skyops_p2p.node.submission import prepare, prepare_file

FILE = """
name = "train"
image = "python:3.12"
shards = 2
inputs = [{path = "/data", uri = "file:data"}]
secrets = ["TOKEN"]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKEN", "hunter2")
    path = tmp_path / "train.toml"
    path.write_text(FILE)
    return path


def changed(file: Path, *texts: str) -> JobSpec:
    return read_job(file, [parse_change(text) for text in texts])


# --- --set ------------------------------------------------------------------------------------------------------
def test_fields_are_replaced_and_missing_tables_made(file: Path) -> None:
    spec = changed(
        file,
        "shards=4",
        "gang=true",
        "resources.memory=16Gi",
        "resources.gpu=2xA100",
        "price.per_hour_max=2.5",
        "command=python train.py --epochs=50",
        "env.EPOCHS=50",
        "inputs.0.uri=file:other",
        'depends_on=["prepare"]',
        "deadline=2099-01-01T00:00:00Z",
    )
    assert (spec.shards, spec.gang, spec.resources.memory, spec.resources.gpu.count) == (4, True, 16 << 30, 2)
    assert (spec.price.per_hour_max, spec.env) == (2_500_000, {"EPOCHS": "50"})
    assert spec.command == ("python", "train.py", "--epochs=50")
    assert (spec.inputs[0].uri, spec.depends_on) == ("file:other", ("prepare",))
    assert spec.deadline is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shards", "found no field and value"),
        ("=4", "found no field and value"),
        ("a..b=4", "found no field and value"),
        ("name.first=x", "is no table"),
        ("inputs.1.uri=x", "items 0 to 0, not 1"),
        ("inputs.x.uri=x", "not x"),
    ],
)
def test_a_change_that_has_no_place_is_refused(file: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        changed(file, text)
    assert caught.value.code == "set_invalid"


def test_a_wrong_value_is_told_apart_from_the_file(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(file, "shards=0", "gnag=true")
    assert caught.value.code == "job_invalid"
    lines = caught.value.message.splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["--set shards", "--set gnag"]


@pytest.mark.parametrize("value", ["[" * 5000, "1\nx = 2", "", "'", "9" * 5000])
def test_what_toml_does_not_read_is_text(value: str) -> None:
    assert apply_changes({}, [("env2", value)]) == {"env2": value}


# --- secrets ----------------------------------------------------------------------------------------------------
def test_secrets_come_from_where_the_job_says_and_are_not_shown(file: Path) -> None:
    made = prepare_file(file)
    assert (made.base_dir, made.secrets) == (file.parent, {"TOKEN": b"hunter2"})
    assert "hunter2" not in repr(made)
    assert "hunter2" not in json.dumps(made.tree)


def test_given_secrets_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    spec = JobSpec(image="x", secrets=(Secret(name="TOKEN"), Secret(name="OTHER", value="o")))  # type: ignore[arg-type]
    assert prepare(spec, base_dir=tmp_path, secrets={"TOKEN": b"t"}).secrets == {"TOKEN": b"t", "OTHER": b"o"}
    with pytest.raises(ConfigError) as missing:
        prepare(spec, base_dir=tmp_path)
    assert missing.value.code == "secret_missing"
    with pytest.raises(ConfigError) as unknown:
        prepare(spec, base_dir=tmp_path, secrets={"TOKEM": b"t"})
    assert unknown.value.code == "secret_unknown"


# --- batches ----------------------------------------------------------------------------------------------------
def spec(name: str, *depends_on: str, data: str = "") -> JobSpec:
    inputs = ({"path": "/data", "uri": data},) if data else ()
    return JobSpec.model_validate({"name": name, "image": "x", "depends_on": depends_on, "inputs": inputs})


def test_each_job_comes_after_those_that_it_needs() -> None:
    specs = [spec("c", "b"), spec("b", data="job:a/model"), spec("a", "earlier")]
    assert in_order(specs) == (2, 1, 0)
    assert in_order([spec("a"), spec("b"), spec("a")]) == (0, 1, 2)
    assert in_order([]) == ()


def test_jobs_that_need_each_other_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"a needs b needs a|b needs a needs b") as caught:
        in_order([spec("a", "b"), spec("b", "a")])
    assert caught.value.code == "batch_circular"
    with pytest.raises(ConfigError) as itself:
        in_order([spec("a", "a")])
    assert itself.value.code == "batch_circular"


def test_a_name_that_two_have_can_not_be_depended_on() -> None:
    with pytest.raises(ConfigError, match="2 jobs of this batch") as caught:
        in_order([spec("a"), spec("a"), spec("b", "a")])
    assert caught.value.code == "batch_ambiguous"


def test_jobs_of_the_batch_are_named_by_id_once_they_are_submitted() -> None:
    ids = {"a": "00ff"}
    named = naming_ids(spec("c", "a", "earlier", data="job:a/model"), ids)
    assert (named.depends_on, named.inputs[0].uri) == (("00ff", "earlier"), "job:00ff/model")
    assert naming_ids(spec("c", data="file:a/model"), ids).inputs[0].uri == "file:a/model"
