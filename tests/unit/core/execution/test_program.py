"""EXE-22 to EXE-26: what a program sees, and what it may leave behind."""

from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.core.execution.layout import (
    FORBIDDEN_TOPS,
    Place,
    environment,
    layout_of,
    place_of,
)
from skyops_p2p.core.execution.progress import (
    Estimate,
    ProgressLine,
    estimate,
    newest_checkpoint,
    next_of_chain,
    parse_progress,
    steps_of,
)
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ExecutionError
from tests.repo.source_tree import text_of
from tests.unit.core.jobs.examples import spec


def job(**changes: Any) -> JobSpec:
    fields = {
        "inputs": [{"path": "/data/train", "uri": "file:train"}, {"path": "/data/test", "uri": "file:test"}],
        "outputs": [{"path": "/results/model.bin"}],
        "secrets": [{"name": "TOKEN", "path": "/secrets/token"}, "API_KEY"],
        "checkpoint": {"path": "/checkpoint"},
    }
    return spec(**fields | changes)


# --- mounts -----------------------------------------------------------------------------------------------------------
def test_each_top_level_directory_is_one_mount_and_inputs_are_read_only() -> None:  # EXE-22
    mounts = {plan.target: plan.is_read_only for plan in layout_of(job()).mounts}
    assert mounts == {
        "/checkpoint": False,
        "/data": True,
        "/results": False,
        "/secrets": True,
        "/skyops": False,
        "/work": False,
    }


def test_directory_with_an_input_and_an_output_is_writable() -> None:  # EXE-22
    layout = layout_of(job(outputs=[{"path": "/data/out"}]))
    assert [plan.is_read_only for plan in layout.mounts if plan.target == "/data"] == [False]


def test_job_without_paths_has_its_scratch_space_and_its_progress() -> None:
    bare = job(inputs=[], outputs=[], secrets=[], checkpoint=None)
    assert [plan.target for plan in layout_of(bare).mounts] == ["/skyops", "/work"]


@pytest.mark.parametrize("top", sorted(FORBIDDEN_TOPS))
@pytest.mark.parametrize("field", ["inputs", "outputs", "secrets", "checkpoint"])
def test_path_in_a_directory_of_the_system_is_refused(top: str, field: str) -> None:  # EXE-22
    path = f"/{top}/x"
    value = {
        "inputs": [{"path": path, "uri": "file:x"}],
        "outputs": [{"path": path}],
        "secrets": [{"name": "X", "path": path}],
        "checkpoint": {"path": path},
    }[field]
    with pytest.raises(ExecutionError) as refused:
        layout_of(job(**{field: value}))
    assert refused.value.code == "spec_refused"
    assert path in refused.value.message


def test_chapter_names_all_directories_of_the_system() -> None:
    chapter = text_of("protocol/05-execution.md")
    assert [top for top in sorted(FORBIDDEN_TOPS) if f"`/{top}`" not in chapter] == []


def test_place_is_cut_at_its_top_level_directory() -> None:
    assert place_of("/results/a/b") == Place("/results", "a/b")
    assert place_of("/results") == Place("/results", "")
    assert layout_of(job()).folder_of(place_of("/results/model.bin")) == "results"


# --- environment ------------------------------------------------------------------------------------------------------
def variables(of: JobSpec, *, is_resumed: bool = False) -> dict[str, str]:
    return environment(of, job_id=bytes(range(16)), epoch=3, shard=1, is_resumed=is_resumed, grace_s=30.0)


def test_program_is_told_who_it_is_and_where_things_are() -> None:  # EXE-23
    assert variables(job(shards=4, env={"LR": "0.1"})) == {
        "LR": "0.1",
        "SKYOPS_JOB": "000102030405060708090a0b0c0d0e0f",
        "SKYOPS_EPOCH": "3",
        "SKYOPS_SHARD": "1",
        "SKYOPS_SHARDS": "4",
        "SKYOPS_RESUME": "0",
        "SKYOPS_GRACE_S": "30",
        "SKYOPS_PROGRESS": "/skyops/progress",
        "SKYOPS_CHECKPOINT_DIR": "/checkpoint",
    }


def test_resumed_program_is_told_so() -> None:  # EXE-23
    assert variables(job(), is_resumed=True)["SKYOPS_RESUME"] == "1"


def test_program_without_checkpoints_gets_no_directory_for_them() -> None:  # EXE-23
    assert "SKYOPS_CHECKPOINT_DIR" not in variables(job(checkpoint=None))


# --- checkpoints ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("names", "newest"),
    [
        ([], None),
        (["step-9", "step-10", "step-2"], "step-10"),
        (["step-10", ".step-11", "step-11.tmp", "step-12.partial"], "step-10"),
        (["a", "b.tmp"], "a"),
        ([".tmp", ".hidden"], None),
        (["epoch-1-step-20", "epoch-1-step-3", "epoch-2-step-1"], "epoch-2-step-1"),
        (["7", "10"], "10"),
        (["step-٣", "step-2"], "step-٣"),
    ],
)
def test_newest_complete_checkpoint_in_natural_order_counts(names: list[str], newest: str | None) -> None:
    assert newest_checkpoint(names) == newest  # EXE-24
    assert newest_checkpoint(reversed(names)) == newest


# --- progress ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("120/500", ProgressLine(120, 500, ())),
        ("1/500\n2/500\n", ProgressLine(2, 500, ())),
        ("  120/500   loss=0.31 lr=1e-3 \n", ProgressLine(120, 500, (("loss", 310_000), ("lr", 1000)))),
        ("0/0", ProgressLine(0, 0, ())),
        (f"0/{2**53 - 1}", ProgressLine(0, 2**53 - 1, ())),
        ("1/2 loss=-3 up=+.5", ProgressLine(1, 2, (("loss", -3_000_000), ("up", 500_000)))),
        ("1/2 loss=nan good=1", ProgressLine(1, 2, (("good", 1_000_000),))),
        ("1/2 huge=1e99 good=1", ProgressLine(1, 2, (("good", 1_000_000),))),
    ],
)
def test_last_line_is_the_progress(text: str, line: ProgressLine) -> None:  # EXE-26
    assert parse_progress(text) == line


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "half",
        "1",
        "-1/5",
        "6/5",
        "1/5/9",
        "1.5/3",
        f"0/{2**53}",
        "1/2 loss",
        "1/2 =3",
        "\u0661/\u0662",
        "9" * 17 + "/1",
    ],
)
def test_line_of_another_form_is_no_progress(text: str) -> None:  # EXE-26
    assert parse_progress(text) is None


def test_figures_beside_progress_are_bounded() -> None:
    line = "1/2 " + " ".join(f"m{number}={number}" for number in range(40))
    found = parse_progress(line)
    assert found is not None
    assert len(found.metrics) == limits.PROGRESS_METRICS_MAX


def test_estimate_rests_on_the_steps_of_this_run_alone() -> None:
    assert estimate(done=30, total=100, done_at_start=20, running_s=50.0) == Estimate(
        350.0, "10 of 100 steps in 50 s"
    )
    assert estimate(done=100, total=100, done_at_start=0, running_s=50.0) == Estimate(
        0.0, "100 of 100 steps in 50 s"
    )


@pytest.mark.parametrize(
    ("done", "total", "running_s"), [(20, 100, 50.0), (10, 100, 50.0), (30, 0, 50.0), (30, 100, 0.0)]
)
def test_nothing_is_estimated_from_nothing(done: int, total: int, running_s: float) -> None:
    assert estimate(done=done, total=total, done_at_start=20, running_s=running_s) is None


# --- chains of checkpoints ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("step-120", 120),
        ("epoch-000015", 15),
        ("v2-step-9.bin", 9),
        ("9", 9),
        ("model", None),
        ("", None),
        ("step-" + "9" * 15, 10**15 - 1),
        ("step-" + "1" * 16, None),
        ("step-\u0661", None),
    ],
)
def test_last_number_of_a_name_is_how_many_steps_are_done(name: str, steps: int | None) -> None:  # EXE-41
    assert steps_of(name) == steps


def test_each_checkpoint_of_a_chain_comes_in_its_turn() -> None:  # EXE-41
    names = ["step-30", "step-9", "step-10", "step-20.tmp", ".step-20", "other", "step-25", "step-100"]
    assert next_of_chain(names, 10, 0) == "step-10"
    assert next_of_chain(names, 10, 10) == "step-30"
    assert next_of_chain(names, 10, 30) == "step-100"
    assert next_of_chain(names, 10, 100) is None
    assert next_of_chain([*names, "step-20"], 10, 10) == "step-20"
    assert next_of_chain([], 10, 0) is None


def test_program_is_told_the_stride_just_if_there_is_one() -> None:  # EXE-23
    def told(**checkpoint: Any) -> str | None:
        spec_ = job(checkpoint={"path": "/checkpoint", **checkpoint})
        found = environment(spec_, job_id=bytes(16), epoch=1, shard=0, is_resumed=False, grace_s=30)
        return found.get("SKYOPS_CHECKPOINT_STRIDE")

    assert told(stride=10) == "10"
    assert told() is None
