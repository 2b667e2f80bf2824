"""The embedded chain itself: its process, its state over restarts and kill -9, and requests that make no sense."""

import json
import os
import signal
from pathlib import Path

import pytest
import trio

from skyops_p2p.adapters.chain import open_chain
from skyops_p2p.errors import ChainError
from skyops_p2p.testnet.chain.place import chain_place, find_chain, start_chain, stop_chain
from skyops_p2p.testnet.processes import wait_state
from tests.ports.chain.conftest import BOB, PATIENCE_S, World, pay, sending

pytestmark = [pytest.mark.process, pytest.mark.net]


async def test_blocks_survive_a_stop_and_kill_9(tmp_path: Path) -> None:
    from skyops_p2p.adapters.memory import MemoryDisk

    place, disk = chain_place(tmp_path / "chain"), MemoryDisk()
    first = start_chain(place, port=0, chain_id=31337)
    with pytest.raises(ChainError) as refused:
        start_chain(place, port=0, chain_id=31337)
    assert refused.value.code == "chain_running"
    async with sending(World("embedded", first.url), disk) as (chain, alice):
        await alice.send("one", pay(1))
        await alice.wait("one")
        head = await chain.head()
    os.kill(first.pid, signal.SIGKILL)
    assert wait_state([(first.pid, first.process_start)], "dead", timeout_s=PATIENCE_S)
    assert find_chain(place) is None
    second = start_chain(place, port=0, chain_id=31337)
    async with sending(World("embedded", second.url), disk) as (chain, alice):
        assert await chain.head() == head
        await alice.send("two", pay(2))
        await alice.wait("two")
        assert await chain.balance(BOB) == 3
    stop_chain(place)
    with pytest.raises(ChainError) as refused:
        stop_chain(place)
    assert refused.value.code == "chain_not_running"
    third = start_chain(place, port=0, chain_id=31337, is_fresh=True)
    async with open_chain([third.url], chain_id=31337) as chain:
        assert (await chain.head()).number == 0
    stop_chain(place)


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (b"{", -32700),
        (b"[]", -32600),
        (b"7", -32600),
        (b'{"id":1,"method":"eth_nothing"}', -32601),
        (b'{"id":1,"method":"eth_getBalance","params":["0x12"]}', -32602),
        (b'{"id":1,"method":"eth_getBalance","params":{}}', -32602),
        (b'{"id":1,"method":"eth_sendRawTransaction","params":["0x02ff"]}', -32602),
        (b'{"id":1,"method":"eth_sendRawTransaction","params":["0x"]}', -32602),
        (b'{"id":1,"method":"eth_call","params":[{"to":5}]}', -32602),
    ],
)
async def test_senseless_requests_get_an_error_and_the_chain_goes_on(
    embedded_url: str, body: bytes, number: int
) -> None:
    import httpx

    async with httpx.AsyncClient(trust_env=False) as client:
        answer = json.loads((await client.post(embedded_url, content=body)).content)
        assert answer["error"]["code"] == number
    with trio.fail_after(PATIENCE_S):
        async with open_chain([embedded_url], chain_id=31337) as chain:
            await chain.head()
