"""Real trainings on a real network, with whoever takes part killed: the model is that of an undisturbed run."""

import json
import signal

import pytest

from tests.e2e.jobs.job_network import EPOCHS, WATCHED_MS, JobNetwork, digits, saved_epochs

pytestmark = [pytest.mark.process, pytest.mark.net, pytest.mark.slow]
WHOLE = list(range(1, EPOCHS + 1))


def test_a_training_whose_worker_is_killed_goes_on_elsewhere_and_makes_the_same_model(
    network: JobNetwork, runtime: str
) -> None:
    undisturbed = network.undisturbed(runtime)
    metrics = json.loads(undisturbed.files["results/metrics.json"])
    assert metrics["accuracy"] > 0.8
    assert undisturbed.epochs == [WHOLE]
    assert undisturbed.view.shards[0].is_log_proven

    job, view = network.half_way(digits(runtime, pause_ms=WATCHED_MS))
    network.kill(network.worker_of(view))
    ended = network.end(job)

    assert ended.codes == ["worker_lost", "succeeded"]
    assert len({attempt.worker for attempt in ended.view.shards[0].attempts}) == 2
    resumed_at = ended.epochs[1][0]
    assert resumed_at > saved_epochs(view.shards[0])  # a newer checkpoint may have come before the kill
    assert ended.epochs[1] == WHOLE[resumed_at - 1 :]
    assert ended.files == undisturbed.files


def test_a_training_whose_requester_is_killed_is_there_after_its_restart_with_its_whole_log(
    network: JobNetwork,
) -> None:
    undisturbed = network.undisturbed("wasm")
    job, _ = network.half_way(digits("wasm", pause_ms=WATCHED_MS))
    network.kill("alice")
    network.testnet.restart("alice")

    assert network.alice.jobs.show(job[:12]).job_id == job
    ended = network.end(job)
    assert ended.codes == ["succeeded"]
    assert ended.epochs == [WHOLE]
    assert ended.view.shards[0].is_log_proven
    assert ended.files == undisturbed.files


def test_a_worker_that_is_asked_to_end_hands_its_training_on_without_losing_a_step(
    network: JobNetwork,
) -> None:
    undisturbed = network.undisturbed("wasm")
    job, view = network.half_way(digits("wasm", pause_ms=WATCHED_MS))
    network.testnet.signal(network.worker_of(view), signal.SIGTERM)

    ended = network.end(job)
    assert ended.codes == ["worker_leaving", "succeeded"]
    assert ended.epochs[0] + ended.epochs[1] == WHOLE
    assert ended.files == undisturbed.files
