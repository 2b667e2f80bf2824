"""The job specification: forms, defaults, bounds, rules, canonical form and needs."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from skyops_p2p import limits
from skyops_p2p.core.jobs.encoding import decode_spec, encode_spec, spec_digest
from skyops_p2p.core.jobs.needs import cost_of, input_bytes, needs_of, weights_of
from skyops_p2p.core.jobs.parts import Input, Resources, Secret
from skyops_p2p.core.jobs.schema import job_schema
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire import canonical
from tests.unit.core.jobs.examples import ALICE, FULL, PUBLISHED, problems, spec


# --- forms ------------------------------------------------------------------------------------------------------
def test_the_published_short_form_is_a_job() -> None:
    job = JobSpec.model_validate(PUBLISHED)
    assert job.runtime == "docker"
    assert job.command == ("python", "train.py", "--epochs", "50")
    assert (job.resources.gpu.count, job.resources.gpu.models) == (1, ("RTX4090",))
    assert (job.resources.cpu, job.resources.memory) == (4, 16 << 30)
    assert [(item.path, item.uri) for item in job.inputs] == [("/input", "ipfs://QmDataHash")]
    assert [(item.path, item.uri) for item in job.outputs] == [("/results", None)]


@pytest.mark.parametrize("tree", [PUBLISHED, FULL], ids=["short", "full"])
def test_what_is_written_out_reads_back_as_the_same_job(tree: dict[str, Any]) -> None:
    job = JobSpec.model_validate(tree)
    written = job.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert JobSpec.model_validate(json.loads(json.dumps(written))) == job


def test_python_makes_the_same_job_as_text() -> None:
    job = JobSpec(
        image="python:3.12",
        command="python train.py",
        resources=Resources(gpu="2xA100", memory="16Gi"),
        inputs=[Input(path="/data", uri="cid:bafy", size="1Gi")],
        price=2,
        mode="flex",
    )
    text = {
        "image": "python:3.12",
        "command": ["python", "train.py"],
        "resources": {"gpu": {"count": 2, "models": ["A100"]}, "memory": "16384Mi"},
        "inputs": [{"path": "/data/", "uri": "cid:bafy", "size": "1024Mi"}],
        "price": {"per_hour_max": "2.000000"},
        "mode": {"kind": "flex", "notice": "30s", "preemptions_max": 3},
    }
    assert JobSpec.model_validate(text) == job
    assert spec_digest(JobSpec.model_validate(text)) == spec_digest(job)


def test_several_inputs_of_the_short_form_get_numbered_paths() -> None:
    job = spec(input_data=["cid:one", "cid:two"], output_dest="file:out")
    assert [item.path for item in job.inputs] == ["/input/0", "/input/1"]
    assert (job.outputs[0].path, job.outputs[0].uri) == ("/results", "file:out")


def test_the_runtime_follows_from_image_or_module() -> None:
    assert spec().runtime == "docker"
    wasm = JobSpec(module="file:job.wasm")
    assert (wasm.runtime, wasm.verification.kind) == ("wasm", "exact")


def test_a_root_file_system_may_travel_with_a_native_job() -> None:
    assert spec(runtime="native", image="file:root.tar").image == "file:root.tar"
    assert problems({"runtime": "wasm", "module": "file:x.wasm", "image": "file:root.tar"})


def test_every_mode_has_its_terms() -> None:
    assert spec(mode="priority").mode.is_renewed is False
    assert spec(mode="commit").mode.term == 30 * 86_400
    assert spec(mode={"kind": "flex", "preemptions_max": 0}).mode.preemptions_max == 0
    assert spec().mode == spec(mode="priority").mode


def test_a_deadline_is_an_instant_in_any_zone() -> None:
    first = spec(deadline="2027-01-31T18:00:00+01:00")
    assert first == spec(deadline="2027-01-31T17:00:00Z")
    assert first.deadline == 1_801_414_800_000


def test_models_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        spec().shards = 2  # type: ignore[misc] # that it fails is the test


def test_the_schema_knows_short_and_long_forms() -> None:
    schema = job_schema()
    assert set(schema["properties"]) == {*JobSpec.model_fields, "input_data", "output_dest"}
    assert "required" not in schema
    assert {"type": "string"} in schema["properties"]["mode"]["anyOf"]
    resources = schema["$defs"]["Resources"]["properties"]
    assert (resources["memory"]["type"], resources["memory"]["default"]) == ("string", "1Gi")
    assert {"type": "integer"} in resources["gpu"]["anyOf"]
    assert schema["$defs"]["Timeouts"]["properties"]["execution"]["default"] == "1h"
    assert "class" in schema["$defs"]["Verification"]["properties"]
    assert "value" not in schema["$defs"]["Secret"]["properties"]


# --- what is wrong ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"runtime": "dockr"}, "runtime", "did you mean 'docker'"),
        ({"comand": "x"}, "comand", "did you mean command?"),
        ({"resources": {"gpus": 1}}, "resources.gpus", "did you mean resources.gpu?"),
        ({"ram": 1}, "ram", "did you mean resources.memory?"),
        ({"resources": {"memory": 16}}, "resources.memory", "found 16; allowed is a size with its unit"),
        ({"resources": {"cpu": 0}}, "resources.cpu", "greater than or equal to 1"),
        ({"resources": {"cpu": "4"}}, "resources.cpu", "allowed is a whole number"),
        ({"resources": {"gpu": 17}}, "resources.gpu.count", "less than or equal to 16"),
        ({"resources": {"gpu": {"count": 0, "vram": "1Gi"}}}, "resources.gpu", "count is 0"),
        ({"resources": {"network": "all"}}, "resources.network", '"none" or a list of hosts'),
        ({"resources": {"network": ["a b"]}}, "resources.network.0", "allowed is a host"),
        ({"inputs": [{"path": "data", "uri": "cid:x"}]}, "inputs.0.path", "absolute path"),
        ({"inputs": [{"path": "/a/../b", "uri": "cid:x"}]}, "inputs.0.path", "absolute path"),
        ({"inputs": [{"path": "/a", "uri": "http://x"}]}, "inputs.0.uri", "allowed is a URI"),
        ({"inputs": [{"path": "/a", "uri": "job:prepare/../secret"}]}, "inputs.0.uri", "allowed is a URI"),
        ({"inputs": [{"path": "/a", "uri": "cid:x"}] * 2}, "inputs.1.path", "stands there twice"),
        ({"command": "echo 'x"}, "command", "balanced quotes"),
        ({"command": ["a\0b"]}, "command.0", "without NUL"),
        ({"env": {"1A": "x"}}, "env.1A.[key]", "letters, digits and underscores"),
        ({"env": {"SKYOPS_X": "x"}}, "env.SKYOPS_X.[key]", "does not begin with SKYOPS_"),
        ({"env": {"A": "1"}, "secrets": ["A"]}, "env", "also the name of a secret"),
        ({"mode": {"kind": "flex", "term": "1d"}}, "mode", "term cannot stand in mode flex"),
        ({"mode": "cheap"}, "mode.kind", "allowed is 'priority'"),
        ({"price": -1}, "price.per_hour_max", "credits"),
        ({"price": 9_999_999_999}, "price.per_hour_max", "too much"),
        ({"price": {"total_max": 0}}, "price.total_max", "leave it out or raise it"),
        ({"award": {"price": 0.5}}, "award", "add up to 1.1; allowed is 1"),
        ({"deadline": "2027-01-31 18:00"}, "deadline", "with its zone"),
        ({"timeouts": {"execution": "2h", "total": "1h"}}, "timeouts.total", "shorter than"),
        ({"timeouts": {"execution": 0}}, "timeouts.execution", "greater than or equal to 1"),
        ({"timeouts": {"queue": "366d"}}, "timeouts.queue", "too much"),
        ({"retry": {"exit_codes": [0]}}, "retry.exit_codes.0", "greater than or equal to 1"),
        ({"verification": {"tolerance": 0.1}}, "verification.tolerance", 'class = "numeric" only'),
        ({"verification": {"check": "often"}}, "verification.check", "allowed is 'adaptive'"),
        ({"verification": {"check": "adaptive"}}, "verification.check", 'class "interactive" cannot be'),
        (
            {"verification": {"class": "exact", "check": "adaptive", "redundancy": 1}},
            "verification.redundancy",
            "allowed with check is 2 to 7",
        ),
        (
            {"verification": {"class": "exact", "check": "adaptive"}, "gang": True, "shards": 2},
            "verification.check",
            "members compute together",
        ),
        ({"placement": {"deny": ["bob"]}}, "placement.deny.0", "whole peer id"),
        ({"placement": {"deny": [ALICE], "allow": [ALICE]}}, "placement.deny", "placement.allow holds too"),
        ({"gang": True}, "gang", "two shards"),
        ({"gang": True, "shards": 65}, "gang", "at most 64 shards"),
        (
            {"gang": True, "shards": 2, "runtime": "wasm", "image": "", "module": "file:x.wasm"},
            "gang",
            "no sockets",
        ),
        ({"module": "file:x.wasm"}, "module", 'runtime = "wasm" only'),
        ({"runtime": "wasm", "image": ""}, "module", 'runtime = "wasm" needs it'),
        ({"runtime": "native"}, "image", 'runtime = "docker" only'),
    ],
)
def test_a_mistake_names_the_field_and_what_is_allowed(
    changes: dict[str, Any], field: str, words: str
) -> None:
    found = problems({"image": "python:3.12", "command": "true"} | changes)
    assert any(problem.startswith(f"{field}: ") and words in problem for problem in found), found


def test_what_is_checked_by_lot_is_computed_by_two_if_nothing_else_is_said() -> None:
    def said(**verification: object) -> tuple[str | None, int]:
        found = spec(verification={"class": "exact", **verification}).verification
        return found.check, found.redundancy

    assert said(check="adaptive") == ("adaptive", 2)
    assert said(check="adaptive", redundancy=3) == ("adaptive", 3)
    assert said(check="always", redundancy=3) == (None, 3)
    assert said() == (None, 1)
    adaptive = spec(verification={"class": "exact", "check": "adaptive"})
    assert decode_spec(encode_spec(adaptive)) == adaptive


def canaries(count: object, **changes: object) -> list[str]:
    """Return what is wrong with a wasm array of four shards that has so many canaries."""
    fields = {"module": "file:a.wasm", "shards": 4, "verification": {"class": "exact", "canaries": count}}
    return problems({**fields, **changes})


def test_canaries_are_at_most_as_many_as_shards_and_none_is_as_if_unsaid() -> None:  # VER-22
    assert [canaries(count) for count in (0, 1, 4)] == [[], [], []]
    assert canaries(5) == [
        "verification.canaries: is 5, of 4 shards; allowed is at most as many as there are shards"
    ]
    plain = {"module": "file:a.wasm", "verification": {"class": "exact"}}
    none = {**plain, "verification": {"class": "exact", "canaries": 0}}
    assert JobSpec.model_validate(none) == JobSpec.model_validate(plain)
    assert encode_spec(JobSpec.model_validate(none)) == encode_spec(JobSpec.model_validate(plain))
    some = JobSpec.model_validate({**plain, "shards": 4, "verification": {"class": "exact", "canaries": 2}})
    assert decode_spec(encode_spec(some)) == some
    assert some.verification.redundancy == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"module": "", "image": "python:3.12"}, 'goes with runtime = "wasm"'),
        ({"module": "", "runtime": "native", "command": "true"}, 'found runtime "native"'),
        ({"verification": {"class": "numeric", "canaries": 1}}, 'goes with class = "exact"'),
        ({"verification": {"canaries": 1}}, 'found class "interactive"'),
        ({"verification": {"class": "exact", "canaries": 65}}, "found 65"),
        ({"verification": {"class": "exact", "canaries": -1}}, "found -1"),
        ({"verification": {"class": "exact", "canaries": True}}, "found True"),
    ],
)
def test_canaries_that_would_accuse_honest_workers_are_refused(
    changes: dict[str, Any], words: str
) -> None:  # VER-22
    found = canaries(1, **changes)
    assert any(one.startswith("verification.canaries: ") and words in one for one in found), found


def test_a_job_without_a_program_says_what_to_give() -> None:
    assert problems({}) == [
        'runtime: has nothing to start; give an image, a module, or runtime = "native" and a command'
    ]


@pytest.mark.parametrize("tree", [None, 5, "image", ["image"]])
def test_what_is_no_table_is_no_job(tree: object) -> None:
    assert "allowed is a table" in problems(tree)[0]


def test_all_mistakes_are_told_at_once_but_boundedly() -> None:
    three = problems({"image": "python", "shards": 0, "comand": "x", "resources": {"cpu": 0}})
    assert len(three) == 3
    many = problems({"image": "python", "retry": {"exit_codes": [-1] * limits.JOB_PARTS_MAX}})
    assert len(many) == limits.JOB_PROBLEMS_MAX


def test_values_are_shown_briefly() -> None:
    (problem,) = problems({"image": "python", "name": "X" * 1000})
    assert len(problem) < 300


@pytest.mark.parametrize(("extra", "is_wrong"), [(0, False), (1, True)])
def test_lists_are_bounded(extra: int, is_wrong: bool) -> None:
    words = ["x"] * (limits.JOB_WORDS_MAX + extra)
    assert bool(problems({"image": "python", "args": words})) is is_wrong


def test_a_job_that_no_message_carries_is_refused() -> None:
    (problem,) = problems({"image": "python", "args": ["x" * limits.JOB_TEXT_CHARS_MAX] * 6})
    assert f"allowed is {limits.JOB_SPEC_BYTES_MAX}" in problem


# --- secrets ----------------------------------------------------------------------------------------------------
def test_the_value_of_a_secret_is_nowhere() -> None:
    job = spec(secrets=(Secret(name="TOKEN", value="hunter2", source="env:HOME_TOKEN"),))
    shown = [
        repr(job),
        str(job),
        job.model_dump_json(),
        str(job.model_dump()),
        encode_spec(job).decode("latin-1"),
    ]
    assert [text for text in shown if "hunter2" in text] == []
    assert b"HOME_TOKEN" not in encode_spec(job)
    assert job.secrets[0].value is not None
    assert job.secrets[0].value.get_secret_value() == "hunter2"


@pytest.mark.parametrize(
    "secrets",
    [
        {"TOKEN": "hunter2"},
        ["hunter2 !"],
        [{"name": "TOKEN", "value": "hunter2"}],
        [{"name": "hunter2 !"}],
        [{"name": "TOKEN", "source": "hunter2"}],
        "hunter2",
        [["hunter2"]],
    ],
)
def test_mistakes_about_secrets_do_not_repeat_them(secrets: object) -> None:
    tree = {"image": "python", "secrets": secrets}
    assert not [problem for problem in problems(tree) if "hunter2" in problem]
    if not isinstance(secrets, list) or not isinstance(secrets[0], dict) or "value" not in secrets[0]:
        with pytest.raises(ValidationError) as caught:
            JobSpec.model_validate(tree)
        assert "hunter2" not in str(caught.value)


def test_mistakes_about_the_environment_do_not_repeat_it() -> None:
    assert problems({"image": "python", "env": {"PIN": 1234}}) == [
        "env.PIN: found a number (not shown); allowed is a text"
    ]


# --- canonical form ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tree", [PUBLISHED, FULL, {"module": "cid:x"}], ids=["short", "full", "wasm"])
def test_the_canonical_form_reads_back(tree: dict[str, Any]) -> None:
    job = JobSpec.model_validate(tree)
    data = encode_spec(job)
    again = decode_spec(data)
    assert encode_spec(again) == data
    assert again.model_copy(update={"secrets": ()}) == job.model_copy(update={"secrets": ()})


def test_the_digest_is_pinned() -> None:
    """A change here is a change of the protocol."""
    digest = spec_digest(JobSpec.model_validate(PUBLISHED)).hex()
    assert digest == "1817fd7a74f5cbe13ed583cc0adef438641377d44ff9d90828890e1b442c7e11"


def test_the_order_of_the_environment_does_not_matter() -> None:
    assert spec_digest(spec(env={"A": "1", "B": "2"})) == spec_digest(spec(env={"B": "2", "A": "1"}))


def test_any_field_changes_the_digest() -> None:
    base = {"image": "python:3.12", "command": "true"}
    plain = spec_digest(JobSpec.model_validate(base))
    skipped = {"runtime", "gang", "image", "command"}
    changed = {name: value for name, value in FULL.items() if name not in skipped}
    assert [
        n for n, v in changed.items() if spec_digest(JobSpec.model_validate(base | {n: v})) == plain
    ] == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xc1", "malformed"),
        (canonical.encode([]), "malformed"),
        (canonical.encode({0: ["image"], 1: []}), "malformed"),
        (canonical.encode({0: [b"x"], 1: ["y"]}), "malformed"),
        (canonical.encode({0: "x", 1: ["y"]}), "malformed"),
        (canonical.encode({0: [], 1: [], 2: []}), "malformed"),
        (canonical.encode({0: ["b", "a"], 1: ["", ""]}), "non_canonical"),
        (canonical.encode({0: ["image", "runtime"], 1: ["x", "docker"]}), "non_canonical"),
        (canonical.encode({0: ["image", "runtime"], 1: ["x", 5]}), "malformed"),
        (b"\xc4" * (limits.JOB_SPEC_BYTES_MAX + 1), "oversized"),
    ],
)
def test_a_strangers_specification_is_refused_by_code(data: bytes, code: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_spec(data)
    assert caught.value.code == code


# --- needs ------------------------------------------------------------------------------------------------------
def test_needs_of_a_full_job() -> None:
    needs = needs_of(JobSpec.model_validate(FULL))
    assert needs.gpu_models == ("rtx4090", "a100")
    assert (needs.gpu_count, needs.vram_mib, needs.compute_capability) == (2, 24_000, "8.0")
    assert (needs.cpu_cores, needs.memory_mib, needs.disk_mib) == (8, 65_536, 102_400)
    assert (needs.regions, needs.labels, needs.latency_ms_max) == (("eu", "us"), ("tier=gold",), 120)
    assert needs.needs_hard_limits
    assert weights_of(JobSpec.model_validate(FULL)).price == 700_000
    assert input_bytes(JobSpec.model_validate(FULL)) == 3 << 30


@pytest.mark.parametrize(
    ("vram", "mib"), [("24Gi", 24_000), ("1Gi", 1000), ("512Mi", 512), ("24576Mi", 24_000), ("1B", 1)]
)
def test_gpu_memory_in_gi_means_the_class_of_the_card(vram: str, mib: int) -> None:
    assert needs_of(spec(resources={"gpu": {"vram": vram}})).vram_mib == mib


def test_the_most_a_job_can_cost() -> None:
    three = spec(timeouts={"execution": "30m"}, shards=3)
    assert cost_of(three, 2_000_000) == 3_000_000
    assert cost_of(three, 2_000_000, computing=2) == 6_000_000
    assert cost_of(spec(price={"per_hour_max": 2, "total_max": 1}), 2_000_000) == 1_000_000
    assert cost_of(spec(timeouts={"execution": 1}), 1) == 1
