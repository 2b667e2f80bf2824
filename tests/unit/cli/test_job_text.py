"""How parts of a job look to people."""

import io
import sys

import pytest

from skyops_p2p.cli import job_text as jt
from skyops_p2p.node.jobs.job_views import GpuLoadView, UsageView
from tests.gateway import fake_jobs as fj


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3 << 20, "3.0 MiB"),
        (700 << 20, "700 MiB"),
        (5 << 40, "5.0 TiB"),
        (5 << 60, "5242880 TiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert jt.bytes_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (12.4, "12s"),
        (60, "1m 00s"),
        (133, "2m 13s"),
        (3900, "1h 05m"),
        (273_600, "3d 4h"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert jt.span(seconds) == text


def test_bars_are_whole_and_fit_the_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert [jt.bar(done, 4, 4) for done in range(6)] == ["░░░░", "█░░░", "██░░", "███░", "████", "████"]
    assert jt.bar(1, 0, 4) == ""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert jt.bar(1, 4, 4) == "#..."


def test_telemetry_in_words() -> None:
    shard = fj.running()
    assert jt.progress_text(shard) == "120/500 24%"
    assert jt.metrics_text(shard.metrics) == "loss 0.31, accuracy 0.914"
    assert jt.rest_text(shard) == "1m 35s left (120 of 500 steps in 30 s)"
    assert jt.usage_text(shard.usage) == "cpu 193%, memory 700 MiB (most 1.0 GiB)"
    assert jt.usage_text(shard.usage, 1000) == "cpu 100%, memory 700 MiB (most 1.0 GiB)"
    assert jt.gpu_text(shard.gpus[0]) == "gpu 0: 87%, 20.8 GiB, 287 W, 66 °C"


def test_what_a_runtime_cannot_tell_is_left_out() -> None:
    assert jt.usage_text(None) == ""
    assert jt.usage_text(UsageView(wall_ms=0)) == ""
    assert jt.usage_text(UsageView(wall_ms=5, memory_peak_bytes=1024)) == "memory at most 1.0 KiB"
    assert jt.rest_text(fj.shard("running")) == ""
    assert jt.progress_text(fj.shard("running")) == ""
    gpu = GpuLoadView(index=1, utilisation_permille=0, memory_mib=0, power_mw=0, temperature_c=0)
    assert jt.gpu_text(gpu) == "gpu 1: 0%, 0 B, 0 W, 0 °C"


def test_an_attempt_that_ended_says_why() -> None:
    assert jt.attempt_end(fj.attempt()) == ""
    assert jt.attempt_end(fj.attempt(code="worker_lost")) == "worker_lost: Nobody reaches the worker."
    more = jt.attempt_end(fj.attempt(code="program_failed", text="code 3 "))
    assert more == "program_failed: The program ended with an exit code other than 0. (code 3)"
    assert jt.attempt_end(fj.attempt(code="made_up")).startswith("made_up: The worker said made_up.")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("looking for a worker", "looking for a worker"),
        ("no worker yet: no_answers", "no worker, no_answers: No invited worker answered in time."),
        (" (no_answers)", "no worker, no_answers: No invited worker answered in time."),
        ("late (no_answers)", "late; no worker, no_answers: No invited worker answered in time."),
        ("ended by itself (as told)", "ended by itself (as told)"),
        ("", ""),
    ],
)
def test_codes_of_the_market_come_with_their_meaning(text: str, shown: str) -> None:
    assert jt.reason_text(text) == shown
