"""The prover port: the process of a real node, and the one of the simulator, answer alike."""

from collections.abc import AsyncIterator

import pytest
import trio

from skyops_p2p.adapters.cuda.process import ProcessProver
from skyops_p2p.core.auction.poc_arithmetic import PlainArithmetic
from skyops_p2p.core.auction.poc_prover import ProofWork
from skyops_p2p.core.auction.poc_verifier import ProofCheck
from skyops_p2p.ports import Prover
from skyops_p2p.simulation.prover import SimProver
from skyops_p2p.wire.messages.proof import ProofChallenge

CHALLENGE, SECRET = bytes([1] * 32), bytes([2] * 32)
ASKED = ProofChallenge(beacon=bytes(32), size=48, checkpoints=2, stride=2, lanes=4, rows=9)


@pytest.fixture(params=[pytest.param("process", marks=pytest.mark.process), "simulation"])
async def prover(request: pytest.FixtureRequest) -> AsyncIterator[Prover]:
    made: Prover = ProcessProver() if request.param == "process" else SimProver(10**12, prepare_s=0.0)
    yield made
    await made.rest()


async def test_it_says_what_it_runs_on_and_stays_loaded(prover: Prover) -> None:
    with trio.fail_after(60):
        speed = await prover.prepare()
        assert speed.operations_max > 0
        assert speed.name
        assert await prover.prepare() == speed


async def test_it_answers_as_the_pure_code_does(prover: Prover) -> None:  # AUC-24, AUC-25
    with trio.fail_after(60):
        await prover.prepare()
        root = await prover.begin(CHALLENGE, ASKED)
        assert root == ProofWork(PlainArithmetic()).begin(CHALLENGE, ASKED)
        check = ProofCheck(CHALLENGE, ASKED, root, secret=SECRET)
        while (request := check.next_request()) is not None:
            check.take(await prover.show(request))
        check.verify()


async def test_it_answers_one_challenge_after_the_other(prover: Prover) -> None:
    with trio.fail_after(60):
        await prover.prepare()
        first, second = [await prover.begin(bytes([number] * 32), ASKED) for number in range(2)]
        assert first != second
        check = ProofCheck(bytes([1] * 32), ASKED, second, secret=SECRET)
        while (request := check.next_request()) is not None:
            check.take(await prover.show(request))
        check.verify()


async def test_it_can_rest_and_come_back(prover: Prover) -> None:
    with trio.fail_after(60):
        await prover.rest()
        await prover.prepare()
        before = await prover.begin(CHALLENGE, ASKED)
        await prover.rest()
        await prover.rest()
        await prover.prepare()
        assert await prover.begin(CHALLENGE, ASKED) == before
