"""Endpoints that hang, refuse, talk nonsense or lie, as an HTTP server that says what it is told to."""

import gc
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.adapters.chain import JsonRpcChain, open_chain
from skyops_p2p.adapters.chain.endpoint import Endpoint
from skyops_p2p.core.chain.facts import LogFilter
from skyops_p2p.errors import ChainError
from skyops_p2p.testnet.chain.server import serve
from tests.ports.chain.conftest import BOB, PATIENCE_S

pytestmark = pytest.mark.net

HASH = "0x" + "ab" * 32
OTHER = "0x" + "cd" * 32


def block(number: int, block_hash: str = HASH) -> dict[str, str]:
    return {
        "number": hex(number),
        "hash": block_hash,
        "parentHash": HASH,
        "timestamp": "0x1",
        "baseFeePerGas": "0x7",
    }


def receipt(transaction_hash: str) -> dict[str, Any]:
    return {
        "transactionHash": transaction_hash,
        "blockNumber": "0x5",
        "blockHash": HASH,
        "status": "0x1",
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x1",
        "contractAddress": None,
        "logs": [],
    }


HONEST: dict[str, Any] = {
    "eth_chainId": "0x7a69",
    "eth_getBlockByNumber": block(0),
    "eth_getTransactionReceipt": receipt(HASH),
    "eth_sendRawTransaction": HASH,
    "eth_getBalance": "0x5",
    "eth_getLogs": [],
}


def saying(**answers: Any) -> Callable[[bytes], bytes]:
    """Answer as an endpoint does that is honest but for some methods."""
    known = HONEST | answers

    def answer(body: bytes) -> bytes:
        request = json.loads(body)
        said = known[request["method"]]
        if callable(said):
            said = said(request)
        if isinstance(said, bytes):
            return said
        return json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": said}).encode()

    return answer


@asynccontextmanager
async def endpoint(answer: Callable[[bytes], bytes]) -> AsyncIterator[str]:
    async with trio.open_nursery() as nursery:
        ports: list[int] = []
        is_bound = trio.Event()

        def is_ready(port: int) -> None:
            ports.append(port)
            is_bound.set()

        async def run() -> None:
            await serve(answer, port=0, is_ready=is_ready)

        nursery.start_soon(run)
        await is_bound.wait()
        yield f"http://127.0.0.1:{ports[0]}"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def asking(answer: Callable[[bytes], bytes]) -> AsyncIterator[JsonRpcChain]:
    with trio.fail_after(PATIENCE_S):
        async with endpoint(answer) as url, open_chain([url], chain_id=31337) as chain:
            yield chain


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHAIN_REST_S_MIN", 0.01)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"<html>", "rpc_garbage"),
        (b"[1]", "rpc_garbage"),
        (b'{"id": 1, "result": "0x"', "rpc_garbage"),
        (b'{"id": 999, "result": "0x1"}', "rpc_garbage"),
        (b'{"id": 1, "error": "no"}', "rpc_garbage"),
        ("0x", "rpc_garbage"),
        ("0x01", "rpc_garbage"),
        (5, "rpc_garbage"),
        (None, "rpc_garbage"),
        (b'{"error": {"code": -32005, "message": "slow down"}}', "rpc_limited"),
        (b'{"error": {"code": -32603, "message": "internal"}}', "rpc_broken"),
        (b'{"error": {"code": -32000, "message": "not today"}}', "chain_refused"),
        (b'{"error": {"code": 3, "message": "execution reverted", "data": "0x08"}}', "call_reverted"),
    ],
)
async def test_nonsense_has_a_code(said: Any, code: str) -> None:
    async with asking(saying(eth_getBalance=said)) as chain:
        with pytest.raises(ChainError) as raised:
            await chain.balance(BOB)
        assert raised.value.code == code


async def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHAIN_ANSWER_BYTES_MAX", 1000)
    async with asking(saying(eth_getBalance="0x" + "1" * 2000)) as chain:
        with pytest.raises(ChainError) as raised:
            await chain.balance(BOB)
        assert raised.value.code == "rpc_garbage"


async def test_another_chain_is_refused() -> None:
    async with asking(saying(eth_chainId="0x1")) as chain:
        with pytest.raises(ChainError) as raised:
            await chain.balance(BOB)
        assert raised.value.code == "chain_wrong"


async def test_a_chain_with_another_first_block_is_refused() -> None:
    async with endpoint(saying()) as url, open_chain([url], chain_id=31337, genesis=bytes(32)) as chain:
        with pytest.raises(ChainError) as raised:
            await chain.balance(BOB)
        assert raised.value.code == "chain_replaced"


async def test_the_receipt_of_another_transaction_is_a_lie() -> None:
    async with asking(saying(eth_getTransactionReceipt=receipt(OTHER))) as chain:
        with pytest.raises(ChainError) as raised:
            await chain.receipt(bytes.fromhex(HASH[2:]))
        assert raised.value.code == "rpc_lied"


async def test_a_receipt_of_a_block_outside_the_chain_counts_as_none() -> None:
    def by_number(request: Any) -> Any:
        number = int(request["params"][0], 16)
        return block(number, HASH if number == 0 else OTHER)

    async with asking(saying(eth_getBlockByNumber=by_number)) as chain:
        assert await chain.receipt(bytes.fromhex(HASH[2:])) is None


async def test_a_wrong_transaction_hash_is_a_lie() -> None:
    async with asking(saying()) as chain:
        with pytest.raises(ChainError) as raised:
            await chain.offer(b"\x02", transaction_hash=bytes(32))
        assert raised.value.code == "rpc_lied"


async def test_a_head_far_back_is_refused() -> None:
    heads = iter([0, 1000, 1000, 900, 900, 900, 900, 900, 900, 900])

    def by_number(request: Any) -> Any:
        return block(0) if request["params"][0] == "0x0" else block(next(heads))

    async with asking(saying(eth_getBlockByNumber=by_number)) as chain:
        await chain.head()
        await chain.head()
        await chain.head()
        with pytest.raises(ChainError) as raised:
            await chain.head()
        assert raised.value.code == "chain_went_back"


async def test_events_that_were_not_asked_for_are_a_lie() -> None:
    event = {
        "address": "0x" + "22" * 20,
        "topics": [],
        "data": "0x",
        "blockNumber": "0x1",
        "blockHash": HASH,
        "transactionHash": HASH,
        "logIndex": "0x0",
    }
    async with asking(saying(eth_getLogs=[event])) as chain:
        with pytest.raises(ChainError) as raised:
            await chain.logs(LogFilter((BOB,)), 1, 10)
        assert raised.value.code == "rpc_lied"


async def test_a_range_that_is_too_large_is_halved() -> None:
    asked: list[tuple[int, int]] = []

    def logs(request: Any) -> Any:
        first, last = (int(request["params"][0][name], 16) for name in ("fromBlock", "toBlock"))
        asked.append((first, last))
        too_many = b'{"error": {"code": -32000, "message": "block range is too wide"}}'
        return [] if last - first < 3 else too_many

    async with asking(saying(eth_getLogs=logs)) as chain:
        assert await chain.logs(LogFilter((BOB,)), 1, 10) == ()
    answered = [span for span in asked if span[1] - span[0] < 3]
    assert [number for first, last in answered for number in range(first, last + 1)] == list(range(1, 11))


async def test_an_endpoint_that_hangs_times_out_and_the_next_is_asked() -> None:
    silent = await trio.open_tcp_listeners(0, host="127.0.0.1")  # takes connections and never answers
    url = f"http://127.0.0.1:{silent[0].socket.getsockname()[1]}"
    with trio.fail_after(PATIENCE_S):
        async with open_chain([url], chain_id=31337, timeout_s=0.1) as chain:
            with pytest.raises(ChainError) as raised:
                await chain.balance(BOB)
            assert raised.value.code == "rpc_timeout"
        async with (
            endpoint(saying()) as good,
            open_chain([url, good], chain_id=31337, timeout_s=2.0) as chain,
        ):
            assert await chain.balance(BOB) == 5
    await silent[0].aclose()


async def test_nobody_there_is_told_of_one_and_of_several() -> None:
    nowhere = "http://127.0.0.1:1"
    for urls, code in (([nowhere], "rpc_unreachable"), ([nowhere, nowhere], "chain_unavailable")):
        async with open_chain(urls, chain_id=31337) as chain:
            with pytest.raises(ChainError) as raised:
                await chain.balance(BOB)
            assert raised.value.code == code


async def test_a_question_that_is_called_off_at_any_step_leaves_nothing_behind() -> None:
    with trio.fail_after(PATIENCE_S):
        async with endpoint(saying()) as url:
            for steps in range(40):
                one = Endpoint(url)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(one.ask, "eth_chainId")
                    for _ in range(steps):
                        await trio.lowlevel.checkpoint()
                    nursery.cancel_scope.cancel()
                assert await one.ask("eth_chainId") == "0x7a69"
                await one.aclose()
    gc.collect()  # what is left behind fails the test that runs when it is collected
