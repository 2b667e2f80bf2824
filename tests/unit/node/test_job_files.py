"""Job files in three formats: the same job, and mistakes with file, line and field."""

import json
import textwrap
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p import limits
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ConfigError
from skyops_p2p.node.job_files import Format, parse_job, read_job
from tests.unit.core.jobs.examples import FULL, PUBLISHED

TOML = """
    image = "python:3.12"
    command = "python train.py"

    [resources]
    gpu = "1xRTX4090"
    memory = "16Gi"

    [[inputs]]
    path = "/data"
    uri = "cid:one"

    [[inputs]]
    path = "/more"
    uri = "cid:two"
"""


def parse(text: str, kind: Format) -> JobSpec:
    return parse_job(textwrap.dedent(text).strip().encode(), kind, name=f"job.{kind}")


def refused(text: str, kind: Format) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text, kind)
    return caught.value


# --- the same job -----------------------------------------------------------------------------------------------
def test_three_formats_and_python_make_one_job() -> None:
    tree = {
        "image": "python:3.12",
        "command": "python train.py",
        "resources": {"gpu": "1xRTX4090", "memory": "16Gi"},
        "inputs": [{"path": "/data", "uri": "cid:one"}, {"path": "/more", "uri": "cid:two"}],
    }
    wanted = JobSpec.model_validate(tree)
    assert parse(TOML, "toml") == wanted
    assert parse(json.dumps(tree), "json") == wanted
    assert parse(yaml.safe_dump(tree), "yaml") == wanted


@pytest.mark.parametrize("ending", ["json", "yaml", "yml", "JSON"])
def test_files_are_read_by_their_ending(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"job.{ending}"
    path.write_text(json.dumps(FULL))  # JSON is YAML as well
    assert read_job(path) == JobSpec.model_validate(FULL)


def test_the_published_short_form_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(PUBLISHED))
    assert read_job(path).resources.gpu.models == ("RTX4090",)


def test_points_in_time_may_be_native() -> None:
    quoted = parse('image = "x"\ndeadline = "2027-01-31T18:00:00Z"', "toml")
    assert parse('image = "x"\ndeadline = 2027-01-31T18:00:00Z', "toml") == quoted
    assert parse("image: x\ndeadline: 2027-01-31T18:00:00Z", "yaml") == quoted
    assert "with its zone" in refused('image = "x"\ndeadline = 2027-01-31T18:00:00', "toml").message


# --- where a mistake stands -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("toml", TOML.replace("16Gi", "16"), "job.toml:6: resources.memory: found '16'; allowed is a size"),
        ("toml", TOML.replace("cid:two", "two"), "job.toml:14: inputs.1.uri: found 'two'; allowed is a URI"),
        (
            "toml",
            TOML.replace("memory", "memroy"),
            "job.toml:6: resources.memroy: there is no such field: did you",
        ),
        ("toml", 'image = "x"\nmode = { kind = "flx" }', "job.toml:2: mode.kind: found 'flx'"),
        ("toml", 'image = "x"\nresources.cpu = 0', "job.toml:2: resources.cpu: found 0"),
        ("yaml", "image: x\nresources:\n  cpu: 0", "job.yaml:3: resources.cpu: found 0"),
        ("yaml", "image: x\ninputs:\n- path: /a\n  uri: b", "job.yaml:4: inputs.0.uri: found 'b'"),
        ("yaml", "image: x\nenv: {DEBUG: yes}", "job.yaml:2: env.DEBUG: found true or false (not shown)"),
        ("yaml", "image: x\nimage: y", "job.yaml:1: image: stands there twice"),
        ("json", '{"image": "x",\n "resources": {\n  "cpu": 0}}', "job.json:3: resources.cpu: found 0"),
        (
            "json",
            '{"image": "x",\n "command": ["a",\n  5]}',
            "job.json:3: command.1: found 5; allowed is a text",
        ),
        ("json", '{"image": "x", "image":\n "y"}', "job.json:1: image: stands there twice"),
        ("json", '{"env": {"A": "1", "A": "2"}, "image": "x"}', "job.json:1: env.A: stands there twice"),
        ("json", "[]", "job.json: found a list of 0; allowed is a table"),
        (
            "yaml",
            "",
            'job.yaml: runtime: has nothing to start; give an image, a module, or runtime = "native"',
        ),
    ],
)
def test_a_mistake_names_file_line_and_field(kind: Format, text: str, told: str) -> None:
    error = refused(text, kind)
    assert error.code == "job_invalid"
    assert told in error.message


def test_mistakes_come_all_at_once_in_the_order_of_the_file() -> None:
    error = refused('shards = 0\nimage = "x"\ngnag = true\n[resources]\ncpu = 0', "toml")
    lines = error.message.splitlines()
    assert lines[0] == "3 fields are wrong:"
    assert [line.split(": ")[0].strip() for line in lines[1:]] == ["job.toml:1", "job.toml:3", "job.toml:5"]


# --- what is no job file ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("toml", "image = ", "not valid TOML"),
        ("json", '{"image": ', "not valid JSON"),
        ("json", '{"shards": NaN}', "NaN is no JSON number"),
        ("json", "1" * 5000, "not valid JSON"),
        ("yaml", "image: [x", "job.yaml:1: not valid YAML"),
        ("yaml", "image: x\n---\nimage: y", "not valid YAML"),
        ("yaml", "image: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("yaml", "deadline: 2027-13-45", "not valid YAML"),
        ("yaml", "a: &a x\nb: *a", "job.yaml:2: aliases"),
        ("yaml", "[" * 5000, "nested deeper than"),
        ("json", '{"env":' + "[" * 100 + "]" * 100 + "}", "nested deeper than"),
        ("json", "[" * 100_000, "nested deeper than"),
        ("json", '{"name": "' + "[" * 100 + '", "image": ', "not valid JSON"),
        ("toml", "a = " + "[" * 100 + "]" * 100, "nested deeper than"),
    ],
)
def test_what_cannot_be_read_says_why(kind: Format, text: str, told: str) -> None:
    error = refused(text, kind)
    assert error.code == "job_unreadable"
    assert told in error.message


def test_growing_aliases_are_refused_before_they_grow() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "aliases" in refused(bomb, "yaml").message


def test_files_are_bounded() -> None:
    padding = "# " + "x" * limits.JOB_FILE_BYTES_MAX
    assert refused(f'image = "x"\n{padding}', "toml").code == "job_too_large"
    assert refused("a: [" + "1," * limits.JOB_FILE_ITEMS_MAX + "]", "yaml").code == "job_too_large"
    exact = b'image = "x"\n#'
    exact += b"x" * (limits.JOB_FILE_BYTES_MAX - len(exact))
    assert parse_job(exact, "toml", name="job.toml").image == "x"


def test_files_that_are_not_there_or_of_no_kind(tmp_path: Path) -> None:
    for path in (tmp_path / "no.toml", tmp_path / "job.txt", tmp_path, tmp_path / "a\0b.toml"):
        with pytest.raises(ConfigError) as caught:
            read_job(path)
        assert caught.value.code == "job_unreadable"
    binary = tmp_path / "job.toml"
    binary.write_bytes(b'image = "\xff"')
    with pytest.raises(ConfigError, match="not UTF-8 text at byte 9"):
        read_job(binary)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("toml", 'image = "x"\n[[secrets]]\nname = "A"\nvalue = "hunter2"'),
        ("toml", 'image = "x"\n[secrets]\nA = "hunter2"'),
        ("yaml", "image: x\nsecrets: [{name: A, value: hunter2}]"),
        ("yaml", "image: x\nsecrets:\n  A: hunter2\n bad"),
        ("json", '{"image": "x", "secrets": [{"name": "hunter2 "}]}'),
        ("toml", 'image = "x"\n[env]\nA = ["hunter2"]'),
    ],
)
def test_no_error_shows_a_secret(kind: Format, text: str) -> None:
    error = refused(text, kind)
    chain: BaseException | None = error
    while chain is not None:
        assert "hunter2" not in str(chain)
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)


def outcome(data: bytes, kind: Format) -> str:
    """Return how reading ends; anything but a job or a ConfigError is a bug."""
    try:
        return parse_job(data, kind, name="x").name and "job"
    except ConfigError as error:
        return error.code


@given(st.binary(max_size=200), st.sampled_from(["toml", "yaml", "json"]))
def test_any_bytes_are_a_job_or_a_config_error(data: bytes, kind: Format) -> None:
    assert outcome(data, kind) in ("job", "job_unreadable", "job_invalid")


@given(st.text(alphabet="{}[]\",:- \n#&*!|=abc0.'", max_size=60), st.sampled_from(["toml", "yaml", "json"]))
def test_any_punctuation_is_a_job_or_a_config_error(text: str, kind: Format) -> None:
    assert outcome(text.encode(), kind) in ("job", "job_unreadable", "job_invalid")
