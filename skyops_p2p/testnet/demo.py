"""The demonstration: a network comes up, trains, loses the worker mid-run, and goes on. Real processes throughout.

Each stage does one thing, checks that it really happened, and returns what it saw in a sentence or two. Later
features add stages to STAGES.
"""

import time
from collections.abc import Iterator, Sequence

from skyops_p2p.errors import SkyopsError
from skyops_p2p.testnet import demo_money as money
from skyops_p2p.testnet import demo_network as network
from skyops_p2p.testnet import demo_training as training
from skyops_p2p.testnet.demo_stage import Demo, Outcome, Stage

STAGES = (
    Stage("up", "A network comes up", network.bring_up),
    Stage("join", "A requester joins from outside", network.join),
    Stage("deposit", "It puts down a deposit on the chain", money.deposit),
    Stage("map", "It finds workers on its node map", network.query_map),
    Stage("ping", "It measures the way to one", network.ping),
    Stage("handshake", "Both prove their wallets and share a key", network.handshake),
    Stage("match", "A job finds its worker by sealed bids", network.match),
    Stage("submit", "A training is submitted, leased and started", training.submit),
    Stage("train", "It learns, and is saved as it goes", training.learn),
    Stage("kill", "Its worker dies, and everybody notices", training.kill),
    Stage("resume", "Another goes on from the checkpoint", training.resume),
    Stage("result", "The model arrives and is decrypted", training.result),
    Stage("audit", "Anybody can check who was chosen, and why", training.audit_awards),
    Stage("restart", "The dead node comes back", network.restart),
    Stage("bill", "Both workers were paid while they computed", money.bill),
    Stage("settle", "The workers redeem, and every balance fits", money.settle),
    Stage("prove", "The contract proves what was computed", money.prove),
)
DOWN = Stage("down", "All is taken down", network.take_down)


def run_stages(demo: Demo, *, keep: bool, stages: Sequence[Stage] = STAGES) -> Iterator[Outcome]:
    """Run stages and yield each outcome; after a failure only the clean-up still runs.

    Args:
        demo: A fresh one.
        keep: Leave the network running at the end.
        stages: In their order.
    """
    has_failed = False
    try:
        for stage in stages:
            if has_failed:
                break
            outcome = _run_one(stage, demo)
            has_failed = not outcome.is_done
            yield outcome
    finally:
        if not keep and demo.testnet is not None:
            last = _run_one(DOWN, demo)
    if not keep and demo.testnet is not None:
        yield last


def _run_one(stage: Stage, demo: Demo) -> Outcome:
    started = time.monotonic()
    error: SkyopsError | None = None
    try:
        told = stage.run(demo)
    except SkyopsError as problem:
        told, error = str(problem), problem
    return Outcome(stage.name, stage.title, time.monotonic() - started, error is None, told, error)
