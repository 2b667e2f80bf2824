"""Worlds of real nodes: what the network promises, under each fault."""

from dataclasses import replace

import pytest

from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.ports import Verdict
from skyops_p2p.simulation.chaos import CLOCK_ERROR_MS_MAX, run_phases
from skyops_p2p.simulation.entropy import derived_bytes
from skyops_p2p.simulation.faults import LinkFaults
from skyops_p2p.simulation.identities import SIM_RULES
from skyops_p2p.simulation.member import MemberOptions
from skyops_p2p.simulation.network import SimNetwork
from skyops_p2p.simulation.report import BrokenPromiseError
from skyops_p2p.simulation.scenarios import crash, join, partition
from skyops_p2p.simulation.world import World, WorldOptions, simulate
from tests.simulation.toy import ToyRules, addrs

FAST = WorldOptions(members=MemberOptions(beat_s=5.0, probe_timeout_s=1.0))
BEAT_S = 5.0
ALICE, BOB, CAROL = 0, 1, 2


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR", logger="skyops_p2p")


@pytest.mark.parametrize("seed", range(3))
def test_eight_nodes_see_each_other_within_seconds(seed: int) -> None:
    outcome = simulate(join, seed=seed, nodes=8, options=FAST)
    assert outcome.result["joined_after_s"] < 20


def test_crash_is_suspect_then_inactive_on_all_and_restart_is_active() -> None:
    outcome = simulate(crash, seed=1, nodes=8, options=FAST)
    assert outcome.result["inactive_after_s"] < 10 * BEAT_S
    assert outcome.result["active_after_s"] < 10 * BEAT_S


def test_power_cut_goes_through_suspicion_on_every_node() -> None:
    async def scenario(world: World) -> list[set[str]]:
        await join(world)
        histories: list[set[str]] = []
        await world.crash(5, is_silent=True)
        await world.wait_until(lambda: world.states(5) == {"inactive"}, within_s=120, what="5 is INACTIVE")
        peer = world[5].peer_id
        for member in world.running():
            history = member.node.node(peer).history
            histories.append(
                {word for line in history for word in ("SUSPECT", "INACTIVE") if word in line.upper()}
            )
        return histories

    histories = simulate(scenario, seed=2, nodes=6, options=FAST).result
    assert histories == [{"SUSPECT", "INACTIVE"}] * 5


def test_orderly_stop_is_inactive_at_once_without_suspicion() -> None:
    async def scenario(world: World) -> float:
        await join(world)
        await world.stop(3)
        return await world.wait_until(
            lambda: world.states(3) == {"inactive"}, within_s=60, what="3 said goodbye to all"
        )

    assert simulate(scenario, seed=3, nodes=6, options=FAST).result < BEAT_S


def test_partition_heals_and_all_are_active_again() -> None:
    result = simulate(partition, seed=4, nodes=8, options=FAST).result
    assert result["split_after_s"] < 120
    assert result["healed_after_s"] < 300


def test_one_lost_path_between_two_nodes_is_no_verdict() -> None:
    """Alice and bob cannot reach each other, everybody else reaches both: witnesses keep them ACTIVE."""

    async def scenario(world: World) -> set[str]:
        await join(world)
        world.partition([ALICE], [BOB])
        seen: set[str] = set()
        for _ in range(120):
            await world.live(1)
            seen |= {world.state(ALICE, BOB), world.state(BOB, ALICE)}
        return seen

    assert "inactive" not in simulate(scenario, seed=5, nodes=8, options=FAST).result


def test_one_way_partition_heals() -> None:
    async def scenario(world: World) -> float:
        await join(world)
        cut = world.partition([ALICE, BOB], range(2, 8), is_symmetric=False, minimum_s=60)
        await world.live(60)
        assert world.fabric.heal(cut)
        return await world.converge(within_s=300)

    simulate(scenario, seed=6, nodes=8, options=FAST)


def test_clock_skew_within_the_bound_is_harmless() -> None:
    async def scenario(world: World) -> int:
        for member in world.members:
            member.clock.step(world.random.randint(-CLOCK_ERROR_MS_MAX, CLOCK_ERROR_MS_MAX))
        await join(world)
        lapses = 0
        for _ in range(60):
            await world.live(2)
            lapses += not world.is_converged()
        return lapses

    assert simulate(scenario, seed=7, nodes=8, options=FAST).result == 0


def test_node_whose_clock_is_a_day_ahead_is_not_believed() -> None:
    async def scenario(world: World) -> set[str]:
        world[CAROL].clock.step(24 * 3600 * 1000)
        await world.start_all()
        await world.live(60)
        return world.states(CAROL)

    assert "active" not in simulate(scenario, seed=8, nodes=6, options=FAST).result


def test_clock_that_goes_back_does_not_silence_a_node() -> None:
    async def scenario(world: World) -> set[str]:
        await join(world)
        world.step_clock(CAROL, -20_000)
        await world.crash(CAROL)
        await world.start(CAROL)
        await world.live(6 * BEAT_S)
        return world.states(CAROL)

    assert simulate(scenario, seed=9, nodes=6, options=FAST).result == {"active"}


def test_full_disk_is_told_and_does_not_end_the_node() -> None:
    async def scenario(world: World) -> tuple[tuple[str, ...], tuple[str, ...]]:
        await join(world)
        world.fill_disk(BOB)
        await world.crash(CAROL)
        await world.live(60)
        full = world[BOB].node.status().warnings
        world[BOB].disk.empty()
        await world.start(CAROL)
        await world.converge(within_s=120)
        await world.live(10)
        return full, world[BOB].node.status().warnings

    full, mended = simulate(scenario, seed=10, nodes=6, options=FAST).result
    assert full
    assert "store_full" in full[0]
    assert mended == ()


def test_restarted_node_knows_its_network_from_the_disk() -> None:
    async def scenario(world: World) -> int:
        await join(world)
        await world.live(10)
        await world.crash(CAROL)
        others = [member.number for member in world.members if member.number != CAROL]
        world.partition([CAROL], others)
        await world.start(CAROL)
        await world.live(1)
        return len(world[CAROL].node.map())

    assert simulate(scenario, seed=11, nodes=8, options=FAST).result == 8


@pytest.mark.parametrize("seed", range(6))
def test_chaos_then_calm_converges(seed: int) -> None:
    report = simulate(run_phases, seed=seed, nodes=7, options=FAST).result
    assert sum(report.faults.values()) > 50


def test_every_kind_of_fault_happens_in_some_chaos() -> None:
    totals: dict[str, int] = {}
    options = replace(FAST, links=LinkFaults())
    links = LinkFaults(loss=0.05, delay_mean_s=0.05, duplication=0.05, reordering=0.05, clog=0.01)

    async def scenario(world: World) -> dict[str, int]:
        return (await run_phases(world, links=links)).faults

    for seed in range(20, 26):
        for name, count in simulate(scenario, seed=seed, nodes=5, options=options).result.items():
            totals[name] = totals.get(name, 0) + count
    assert [name for name, count in totals.items() if not count] == []


def test_handshake_and_ping_work_across_the_planet() -> None:
    async def scenario(world: World) -> tuple[float, str, str]:
        await join(world)
        alice, bob = world[ALICE].node, world[BOB].node
        round_trip_s = await alice.ping(bob.peer_id)
        session = await alice.handshake(bob.peer_id)
        return round_trip_s, session.wallet, bob.wallet

    round_trip_s, wallet, expected = simulate(scenario, seed=12, nodes=4, options=FAST).result
    assert 0 < round_trip_s < 1
    assert wallet == expected


def honest_bytes(world: World) -> int:
    """Gossip bytes that the world's own nodes have sent."""
    return sum(world.fabric.gossip.bytes_sent[member.number] for member in world.members)


def test_presence_flood_of_one_peer_is_bounded_and_nobody_else_suffers() -> None:
    """Mallory gossips 20 beats a second, each validly signed: they are not spread, and mallory is shut out."""
    from skyops_p2p.wire.envelope import seal
    from skyops_p2p.wire.messages.peering import Presence

    key = NodeKey.from_seed(derived_bytes(13, "mallory"))

    async def scenario(world: World) -> tuple[int, int, bool]:
        await join(world)
        number = len(world.members)
        mallory = SimNetwork(world.fabric, key.peer_id, number, dht_rules=ToyRules())
        sent = 0
        async with mallory:
            await mallory.subscribe(SIM_RULES.presence_topic, lambda *_: Verdict.IGNORE)
            for member in world.running()[:4]:
                await mallory.dial(addrs(member.network), timeout_s=10)
            quiet_bytes = -honest_bytes(world)
            await world.live(60)
            quiet_bytes += honest_bytes(world)
            before = honest_bytes(world)
            for _ in range(60 * 20):
                sent += 1
                beat = Presence(
                    sequence=sent,
                    record_sequence=0,
                    issued_unix_ms=world[ALICE].clock.now_ms(),
                    interval_ms=5000,
                    slots_free=1,
                    load_permille=sent % 1000,
                    price_microcredits_per_hour=1,
                    is_leaving=False,
                )
                await mallory.publish(SIM_RULES.presence_topic, seal(beat, key, SIM_RULES.network))
                await world.live(0.05)
            spent_bytes = honest_bytes(world) - before - quiet_bytes
            is_shut_out = mallory.connected_peers() == frozenset()
            running = {member.peer_id for member in world.running()}
            for member in world.running():
                active = {view.peer_id for view in member.node.map() if view.state == "active"}
                assert running <= active
        return sent, spent_bytes, is_shut_out

    sent, spent_bytes, is_shut_out = simulate(scenario, seed=13, nodes=12, options=FAST).result
    unbounded_bytes = sent * 12 * 5 * 350  # every node forwards every beat to its mesh
    assert spent_bytes < unbounded_bytes / 10
    assert is_shut_out


def test_a_broken_promise_says_how_to_replay_it() -> None:
    async def scenario(world: World) -> None:
        await world.start_all()
        await world.wait_until(lambda: False, within_s=5, what="the impossible")

    with pytest.raises(BrokenPromiseError, match="the impossible") as caught:
        simulate(scenario, seed=14, nodes=2, options=FAST)
    text = str(caught.value)
    assert "seed    14" in text
    assert "skyops sim world --nodes 2 --seed 14" in text
    assert "commit" in text


def test_an_exception_inside_a_server_fails_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> bytes:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr("skyops_p2p.node.service.NodeService.answer", broken)
    with pytest.raises(BrokenPromiseError, match="contained ZeroDivisionError"):
        simulate(join, seed=15, nodes=3, options=FAST)
