"""Streams of jobs under each rule: nothing is sold twice, all ends free, and the figures mean what they say."""

from itertools import islice

import pytest

from skyops_p2p.simulation.fleet import CLASSES, LARGE_GIB, fleet, jobs
from skyops_p2p.simulation.job_stream import RULES, JobStream, Rule, StreamReport, gini

WORKERS, JOBS, WARM_UP = 20, 120, 60
BY_NAME = {rule.name: rule for rule in RULES}


def stream(rule: Rule, *, seed: int = 1, load: float = 0.9) -> tuple[JobStream, StreamReport]:
    market = JobStream(seed, rule, workers=WORKERS, load=load)
    return market, market.run(JOBS, warm_up=WARM_UP)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_stream_ends_with_all_capacity_free_and_every_job_accounted_for(rule: Rule) -> None:
    market, report = stream(rule)
    assert all(len(worker.capacity) == 0 for worker in market.workers.values())
    turned_away = sum(report.blocked.values())
    assert sum(report.offered.values()) == JOBS
    assert sum(report.awards.values()) == JOBS - turned_away == len(report.price_to_class)
    assert 0.3 < report.utilisation <= 1.0
    assert turned_away < JOBS / 2
    assert min(report.price_to_need) > 0.6


def test_same_seed_gives_the_same_report_and_another_seed_another() -> None:
    rule = BY_NAME["composite"]
    assert stream(rule)[1] == stream(rule)[1]
    assert stream(rule)[1] != stream(rule, seed=2)[1]


def test_all_rules_see_the_same_jobs() -> None:
    reports = [stream(rule)[1] for rule in (BY_NAME["vdf"], BY_NAME["random"])]
    assert reports[0].offered == reports[1].offered
    assert reports[0].awards != reports[1].awards


def test_policies_keep_large_gpus_for_large_jobs_and_chance_does_not() -> None:
    def blocked(name: str) -> float:
        runs = [stream(BY_NAME[name], seed=seed)[1] for seed in range(3)]
        return sum(report.blocked[True] for report in runs) / sum(report.offered[True] for report in runs)

    assert blocked("composite") < blocked("random")


def test_idle_market_turns_nobody_away() -> None:
    _, report = stream(BY_NAME["wrr"], load=0.05)
    assert report.blocked == {True: 0, False: 0}
    assert report.utilisation < 0.2


def test_fleet_has_the_classes_in_their_parts() -> None:
    workers = fleet(3, 100)
    for model, _, _, percent in CLASSES:
        assert sum(worker.gpu.model == model for worker in workers) == percent
    for worker in workers:
        gpus = worker.record.hardware.gpus
        assert {(gpu.model, gpu.vram_mib) for gpu in gpus} == {(gpus[0].model, gpus[0].vram_mib)}
        assert worker.record.slots == len(gpus)


def test_jobs_offer_the_load_that_they_are_asked_for() -> None:
    some = list(islice(jobs(5, load=0.5, gpus=40), 8000))
    offered = sum(job.duration_s for job in some) / (some[-1].arrives_s * 40)
    assert offered == pytest.approx(0.5, rel=0.15)
    large = [job for job in some if job.is_large]
    assert len(large) / len(some) == pytest.approx(0.15, abs=0.02)
    assert all(job.vram_gib > LARGE_GIB for job in large)


@pytest.mark.parametrize(
    ("values", "expected"), [([], 0.0), ([0, 0], 0.0), ([3, 3, 3], 0.0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25)]
)
def test_gini_of_known_spreads(values: list[float], expected: float) -> None:
    assert gini(values) == pytest.approx(expected)


def test_share_of_the_busiest_and_gini_by_strength() -> None:
    report = StreamReport(
        "none", awards={0: 6, 1: 2, 2: 1, 3: 1}, strengths={0: 6000, 1: 2000, 2: 1000, 3: 1000}
    )
    assert report.top_share(0.25) == pytest.approx(0.6)
    assert report.gini() > 0.3
    assert report.gini(per_strength=True) == pytest.approx(0.0)
