"""The order of the demonstration, and what becomes of it when something does not happen; without a network."""

from pathlib import Path

from skyops_p2p.testnet.demo import STAGES, run_stages
from skyops_p2p.testnet.demo_stage import Demo, Stage, failed
from skyops_p2p.testnet.demo_training import EPOCHS, PAUSE_MS, example_dir, training_spec


def new_demo(told: list[str]) -> Demo:
    return Demo(Path("nowhere"), "demo", 4, told.append, told.append)


def test_what_did_not_happen_ends_the_demonstration() -> None:
    ran: list[str] = []

    def fine(_demo: Demo) -> str:
        ran.append("fine")
        return "seen"

    def fails(_demo: Demo) -> str:
        raise failed("it did not happen")

    stages = [Stage("one", "One", fine), Stage("two", "Two", fails), Stage("three", "Three", fine)]
    outcomes = list(run_stages(new_demo([]), keep=False, stages=stages))
    assert [(outcome.name, outcome.is_done, outcome.told) for outcome in outcomes] == [
        ("one", True, "seen"),
        ("two", False, "it did not happen"),
    ]
    assert ran == ["fine"]


def test_each_stage_has_a_name_of_its_own_and_a_title_that_fits() -> None:
    assert len({stage.name for stage in STAGES}) == len(STAGES)
    assert all(len(stage.title) <= 44 for stage in STAGES)


def test_the_training_is_the_example_and_short() -> None:
    spec = training_spec()
    assert spec.runtime == "wasm"
    assert spec.args == ("--epochs", str(EPOCHS), "--sleep-ms", str(PAUSE_MS))
    assert EPOCHS * PAUSE_MS < 20_000
    assert (example_dir() / spec.module.removeprefix("file:")).is_file()
