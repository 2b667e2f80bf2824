"""The demonstration: a network comes up, trains, is hurt, and goes on. Real processes throughout.

Each stage does one thing, checks that it really happened, and returns what it saw in a sentence or two. A scenario is
a row of stages; all begin and end alike.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skyops_p2p.errors import SkyopsError
from skyops_p2p.testnet import demo_awards as awards
from skyops_p2p.testnet import demo_canaries as canaries
from skyops_p2p.testnet import demo_faults as faults
from skyops_p2p.testnet import demo_money as money
from skyops_p2p.testnet import demo_network as network
from skyops_p2p.testnet import demo_reorg as reorg
from skyops_p2p.testnet import demo_reputation as reputation
from skyops_p2p.testnet import demo_training as training
from skyops_p2p.testnet import demo_verdict as verdict
from skyops_p2p.testnet.demo_stage import Cast, Demo, Outcome, Stage

_BEFORE_TRAINING = (
    Stage("up", "A network comes up", network.bring_up),
    Stage("join", "A requester joins from outside", network.join),
    Stage("deposit", "It puts down a deposit on the chain", money.deposit),
    Stage("map", "It finds workers on its node map", network.query_map),
    Stage("trust", "It knows what each worker has at stake", reputation.before),
    Stage("ping", "It measures the way to one", network.ping),
    Stage("handshake", "Both prove their wallets and share a key", network.handshake),
    Stage("match", "A job finds its worker by sealed bids", awards.match),
    Stage("route", "A larger job lands on a larger machine", awards.route),
)
_TRAINING = (
    Stage("submit", "A training is submitted, leased and started", training.submit),
    Stage("train", "It learns, and is saved as it goes", training.learn),
)
_FINISH = Stage("finish", "It learns to the end", training.finish)
_RESUME = Stage("resume", "Another goes on from the checkpoint", training.resume)
_RESULT = (
    Stage("result", "The model arrives and is decrypted", training.result),
    Stage("audit", "Anybody can check who was chosen, and why", training.audit_awards),
)
_BILL = Stage("bill", "Whoever worked was paid while it computed", money.bill)
_SETTLED = (
    Stage("settle", "The workers redeem, and every balance fits", money.settle),
    Stage("prove", "The contract proves what was computed", money.prove),
)
_SCORES = Stage("scores", "Scores have followed, alike on every node", reputation.after)
"""Not where the chain was hurt: then nodes look at it again within two minutes."""
DOWN = Stage("down", "All is taken down", network.take_down)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way that the story can go."""

    title: str
    stages: tuple[Stage, ...]
    """Without the taking down."""
    confirmations: int = 0
    """Blocks that nodes want above a transaction's own; 0: the chain takes none back."""
    cast: Cast | None = None
    """Has workers return wrong results."""


def _story(
    title: str,
    *middle: Stage,
    after: Sequence[Stage] = (),
    paid: Sequence[Stage] = (),
    last: Sequence[Stage] = (_SCORES,),
    confirmations: int = 0,
    cast: Cast | None = None,
) -> Scenario:
    """Return a scenario.

    Args:
        title: What happens, in one line.
        middle: From half-way of the training to its end.
        after: Between the result and the bill.
        paid: Between the bill and the settlement.
        last: After the settlement.
        confirmations: Blocks that nodes want above a transaction's own.
        cast: Has workers return wrong results.
    """
    stages = (*_BEFORE_TRAINING, *_TRAINING, *middle, *_RESULT, *after, _BILL, *paid, *_SETTLED, *last)
    return Scenario(title, stages, confirmations, cast)


SCENARIOS: dict[str, Scenario] = {
    "happy": _story("nothing goes wrong", _FINISH),
    "worker-crash": _story(
        "the worker dies half-way, another goes on from the checkpoint and lies; who computes the same finds it out",
        Stage("kill", "Its worker dies, and everybody notices", faults.kill),
        _RESUME,
        Stage("compare", "Two others compute the same: one has lied", verdict.compare_training),
        Stage("verdict", "Anybody can check who was wrong", verdict.check_training),
        after=[Stage("restart", "The dead node comes back", network.restart)],
        paid=[Stage("unpaid", "The liar is paid no further", verdict.check_pay)],
        cast=network.with_lying_heir,
    ),
    "requester-crash": _story(
        "the requester's node dies half-way and comes back; the job goes on, and nothing is paid twice",
        Stage("crash", "The requester's node dies, and comes back", faults.kill_requester),
        _FINISH,
    ),
    "broker-crash": _story(
        "the node through which all have joined dies; the job does not notice",
        Stage("kill", "The broker dies, and everybody notices", faults.kill_broker),
        _FINISH,
        after=[Stage("restart", "The dead node comes back", network.restart)],
    ),
    "partition": _story(
        "the worker is cut off half-way, another takes over; the first is paid no further",
        Stage("cut", "Its worker is cut off, and computes on", faults.cut_off),
        _RESUME,
        after=[Stage("heal", "The partition heals", faults.heal_cut)],
        paid=[Stage("unpaid", "Who was cut off is paid no further", faults.check_cut_pay)],
    ),
    "chain-outage": _story(
        "the chain dies half-way; the job goes on and is paid, redemption waits for the chain",
        Stage("outage", "The chain dies", faults.stop_chain),
        _FINISH,
        after=[Stage("chain", "Redemption waits until the chain is back", faults.wait_for_chain)],
        last=[],
    ),
    "reorg": _story(
        "the block of a redemption is taken back; it is noticed, offered again, and pays once",
        _FINISH,
        paid=[Stage("reorg", "The block of a redemption is taken back", reorg.take_back)],
        last=[],
        confirmations=reorg.CONFIRMATIONS,
    ),
    "bad-result": Scenario(
        "a worker returns wrong results; whoever computes the same finds it out, and it is paid no further",
        (
            *_BEFORE_TRAINING,
            Stage("compare", "Others compute the same as one that lies", verdict.compare),
            Stage("verdict", "Anybody can check who was wrong", verdict.catch),
            Stage("unpaid", "The liar is paid no further", verdict.check_pay),
            *_TRAINING,
            _FINISH,
            *_RESULT,
            _BILL,
            *_SETTLED,
            _SCORES,
        ),
        cast=network.with_liar,
    ),
    "canaries": Scenario(
        "two workers lie alike and outvote a third; the requester's own node computes some shards, and finds them out",
        (
            *_BEFORE_TRAINING,
            Stage("canaries", "Two lie alike, and are found out", canaries.find_out),
            Stage("unpaid", "The liars are paid no further", verdict.check_pay),
            *_TRAINING,
            _FINISH,
            *_RESULT,
            _BILL,
            *_SETTLED,
        ),
        cast=network.with_cartel,
    ),
}
"""Name -> what happens. testnet/scenarios has the network that all of them run on."""
SCENARIO_DEFAULT = "worker-crash"
STAGES = SCENARIOS[SCENARIO_DEFAULT].stages


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
