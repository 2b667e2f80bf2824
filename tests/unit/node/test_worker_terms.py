"""For whom and for what a worker bids: its settings, over a simulated network."""

from typing import get_args

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p.config.models import JobMode
from skyops_p2p.node.runtime import Node
from skyops_p2p.wire.messages.auction import ModeName
from tests.unit.node.small_world import identity, small_world
from tests.unit.node.test_market import job


async def settled(alice: Node) -> None:
    await alice.wait_for(lambda node: len(node.map()) == 2, timeout_s=60)
    await trio.sleep(10)


@pytest.mark.parametrize(
    ("worker", "code"),
    [
        ({"modes": ("flex",)}, "mode_refused"),
        ({"tokens": ("ETH",)}, "token_refused"),
        ({"duration_s_max": 60}, "duration_too_long"),
        ({"refused_requesters": (identity("alice").node_key.peer_id,)}, "requester_refused"),
    ],
)
async def test_worker_declines_what_its_settings_rule_out(
    worker: dict[str, object], code: str, autojump_clock: MockClock
) -> None:
    async with (
        small_world() as world,
        world.node("alice") as alice,
        world.node("bob", join="alice", worker=worker),
    ):
        await settled(alice)
        ended = await alice.match(job(mode={"kind": "priority"}))
        assert not ended.is_matched
        assert [one.code for one in ended.outcomes] == [code]


async def test_worker_at_its_settings_bounds_bids_and_says_what_it_takes(autojump_clock: MockClock) -> None:
    worker = {"modes": ("flex",), "tokens": ("SKYOPS", "ETH"), "duration_s_max": 60}
    async with (
        small_world() as world,
        world.node("alice", worker={"enabled": False, **worker}) as alice,
        world.node("bob", join="alice", worker=worker) as bob,
    ):
        await settled(alice)
        ended = await alice.match(job(mode={"kind": "flex"}, timeouts={"execution": "60s"}))
        assert ended.winner == bob.peer_id
        session = await alice.handshake(bob.peer_id)
        assert (session.modes, session.tokens) == (("flex",), ())  # nothing is paid here
        back = await bob.handshake(alice.peer_id)
        assert (back.modes, back.tokens) == ((), ()), "who offers no compute takes nothing"


def test_settings_and_tenders_know_the_same_modes() -> None:
    assert get_args(JobMode) == get_args(ModeName)
