"""The DHT of a network: records under rules, providers, and separate networks."""

import pytest

from skyops_p2p.errors import LocalProtocolError, NetworkError
from tests.ports.network.conftest import PATIENCE_S

pytestmark = pytest.mark.net

KEY = "/skyops/n/0123456789abcdef0123456789abcdef"


def record(version: int, body: bytes = b"good") -> bytes:
    return version.to_bytes(8, "big") + body


async def test_record_put_by_one_is_found_by_another_two_hops_away(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob, world.open("carol") as carol:
        await talk.connect(alice, bob)
        await talk.connect(carol, bob)
        await alice.put_record(KEY, record(1), timeout_s=PATIENCE_S)
        assert await carol.get_record(KEY, timeout_s=PATIENCE_S) == record(1)


async def test_newer_record_wins_over_a_stale_local_copy(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob, world.open("carol") as carol:
        await talk.connect(alice, bob)
        await talk.connect(carol, bob)
        await alice.put_record(KEY, record(1), timeout_s=PATIENCE_S)
        assert await carol.get_record(KEY, timeout_s=PATIENCE_S) == record(1)
        await alice.put_record(KEY, record(2), timeout_s=PATIENCE_S)
        assert await carol.get_record(KEY, timeout_s=PATIENCE_S) == record(2)


async def test_same_record_can_be_put_again(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        await talk.connect(alice, bob)
        for _ in range(3):
            await alice.put_record(KEY, record(7), timeout_s=PATIENCE_S)
        assert await bob.get_record(KEY, timeout_s=PATIENCE_S) == record(7)


async def test_record_against_our_rules_does_not_leave(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        await talk.connect(alice, bob)
        for key, value in ((KEY, record(1, b"evil")), ("/other/n/1", record(1)), ("bare", record(1))):
            with pytest.raises(LocalProtocolError):
                await alice.put_record(key, value, timeout_s=PATIENCE_S)
        await alice.put_record(KEY, record(5), timeout_s=PATIENCE_S)
        with pytest.raises(LocalProtocolError):
            await alice.put_record(KEY, record(4), timeout_s=PATIENCE_S)


async def test_record_without_peers_is_not_stored(world):
    async with world.open("alice") as alice:
        with pytest.raises(NetworkError) as caught:
            await alice.put_record(KEY, record(1), timeout_s=2.0)
        assert caught.value.code == "dht_not_stored"


async def test_unknown_record_is_none(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        await talk.connect(alice, bob)
        assert await alice.get_record(KEY, timeout_s=PATIENCE_S) is None


async def test_providers_of_short_keys_are_found_with_their_addresses(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob, world.open("carol") as carol:
        await talk.connect(alice, bob)
        await talk.connect(carol, bob)
        await talk.wait(lambda: bool(alice.connected_peers()))
        await alice.provide("gpu:a100", timeout_s=PATIENCE_S)
        await bob.provide("gpu:a100", timeout_s=PATIENCE_S)
        found = await carol.find_providers("gpu:a100", count_max=10, timeout_s=PATIENCE_S)
        assert {item.peer for item in found} == {alice.peer_id, bob.peer_id}
        assert all(item.addrs for item in found)
        assert len(await carol.find_providers("gpu:a100", count_max=1, timeout_s=PATIENCE_S)) == 1
        assert await carol.find_providers("gpu:h100", count_max=10, timeout_s=PATIENCE_S) == ()


async def test_provider_key_must_not_be_too_long(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        await talk.connect(alice, bob)
        for key in ("", "k" * 51):
            with pytest.raises(LocalProtocolError):
                await alice.provide(key, timeout_s=2.0)


async def test_another_networks_dht_is_out_of_reach(world, talk):
    async with world.open("alice") as alice, world.open("eve", network="elsewhere") as eve:
        await talk.connect(alice, eve)
        with pytest.raises(NetworkError):
            await alice.put_record(KEY, record(1), timeout_s=3.0)
        assert await eve.get_record(KEY, timeout_s=3.0) is None
