"""A signer elsewhere: what it signs is used as it is, and whatever else it answers is a coded error."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import trio
from eth_account import Account
from eth_account.messages import encode_typed_data

from skyops_p2p.adapters.chain import KeySigner, open_remote_signer
from skyops_p2p.adapters.chain.remote_signer import RemoteSigner
from skyops_p2p.core.chain.facts import Fees, Order
from skyops_p2p.crypto.typed_data import permit_digest, permit_document
from skyops_p2p.crypto.wallet import Wallet, address_from_bytes
from skyops_p2p.errors import ChainError, ChainRefusal
from skyops_p2p.types import Wei
from tests.ports.chain.test_bad_endpoints import endpoint

pytestmark = pytest.mark.net

ALICE, MALLORY = Wallet(bytes([1]) * 32), Wallet(bytes([2]) * 32)
BOB = address_from_bytes(bytes([9]) * 20)
FEES = Fees(max_fee_wei=Wei(2 * 10**9), tip_wei=Wei(10**9))
ORDERS = [
    Order(BOB, b"\x01" * 200, Wei(10**18)),
    Order(BOB, b"\x7f"),
    Order(None, b"\xff" * 5000),
    Order(BOB, b"", Wei(127)),
]
DIGEST = permit_digest(
    chain_id=31337,
    contract=bytes(20),
    owner=bytes(20),
    spender=bytes(20),
    amount=5,
    nonce=0,
    deadline_unix_s=9,
)
NOBODY = "0x" + "00" * 20
DOCUMENT = permit_document(
    {"owner": NOBODY, "spender": NOBODY, "value": "5", "nonce": "0", "deadline": "9"},
    chain_id=31337,
    contract=address_from_bytes(bytes(20)),
)


def signing(
    wallet: Wallet = ALICE,
    *,
    owner: Wallet = ALICE,
    change: Callable[[dict[str, Any]], object] = lambda asked: None,
    wrap: Callable[[str], object] = lambda raw: raw,
) -> Callable[[bytes], bytes]:
    """Answer as a signer with a key, asked for the owner's; `change` alters what is signed, `wrap` what is answered."""
    account = Account.from_key(wallet.secret)

    def answer(body: bytes) -> bytes:
        request = json.loads(body)
        if request["method"] == "eth_signTransaction":
            (asked,) = request["params"]
            assert asked.pop("from") == owner.address
            change(asked)
            signed = account.sign_transaction(asked | {"to": asked.get("to", "")}).raw_transaction
        else:
            _, text = request["params"]
            document = json.loads(text)
            change(document)
            signed = account.sign_message(encode_typed_data(full_message=document)).signature
        result = wrap("0x" + bytes(signed).hex())
        return json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()

    return answer


async def sign(signer: RemoteSigner | KeySigner, order: Order, *, nonce: int = 7) -> tuple[bytes, bytes]:
    return await signer.sign(order, chain_id=31337, nonce=nonce, gas=90_000, fees=FEES)


@pytest.mark.parametrize("order", ORDERS, ids=["call", "byte", "creation", "coin"])
@pytest.mark.parametrize("nonce", [0, 7, 2**40])
async def test_it_signs_what_the_key_itself_would(order: Order, nonce: int) -> None:
    async with endpoint(signing()) as url, open_remote_signer(url, ALICE.address) as signer:
        assert signer.account == ALICE.address
        assert await sign(signer, order, nonce=nonce) == await sign(KeySigner(ALICE), order, nonce=nonce)


async def test_an_answer_in_the_form_of_clef_is_taken() -> None:
    in_object = signing(wrap=lambda raw: {"raw": raw, "tx": {}})
    async with endpoint(in_object) as url, open_remote_signer(url, ALICE.address) as signer:
        assert await sign(signer, ORDERS[0]) == await sign(KeySigner(ALICE), ORDERS[0])


async def test_it_signs_a_permit_as_the_key_would() -> None:
    async with endpoint(signing()) as url, open_remote_signer(url, ALICE.address) as signer:
        assert await signer.sign_typed(DIGEST, DOCUMENT) == ALICE.sign_digest(DIGEST)
        assert await KeySigner(ALICE).sign_typed(DIGEST, DOCUMENT) == ALICE.sign_digest(DIGEST)


LIES = {
    "another key": signing(MALLORY),
    "another recipient": signing(change=lambda asked: asked.update(to=MALLORY.address)),
    "more coin": signing(change=lambda asked: asked.update(value=hex(2 * 10**18))),
    "other data": signing(change=lambda asked: asked.update(data="0x00")),
    "another nonce": signing(change=lambda asked: asked.update(nonce="0x8")),
    "another chain": signing(change=lambda asked: asked.update(chainId="0x1")),
    "a higher tip": signing(change=lambda asked: asked.update(maxPriorityFeePerGas=hex(2 * 10**9))),
    "more gas": signing(change=lambda asked: asked.update(gas="0xfffff")),
    "an access list": signing(
        change=lambda asked: asked.update(accessList=[{"address": BOB, "storageKeys": ["0x" + "00" * 32]}])
    ),
    "cut short": signing(wrap=lambda raw: raw[:-2]),
    "something behind": signing(wrap=lambda raw: raw + "00"),
    "nothing": signing(wrap=lambda raw: "0x"),
    "one byte": signing(wrap=lambda raw: "0x02"),
    "no bytes": signing(wrap=lambda raw: "0x0"),
    "a number": signing(wrap=lambda raw: 5),
    "too much": signing(wrap=lambda raw: "0x" + "00" * 200_000),
    "zeros": signing(wrap=lambda raw: "0x" + "00" * 300),
}


@pytest.mark.parametrize("answer", LIES.values(), ids=LIES)
async def test_a_lie_is_noticed_and_goes_nowhere(answer: Callable[[bytes], bytes]) -> None:
    async with endpoint(answer) as url, open_remote_signer(url + "/secret", ALICE.address) as signer:
        with pytest.raises(ChainError) as error:
            await sign(signer, ORDERS[0])
    assert error.value.code == "signer_lied"
    assert "secret" not in error.value.message + error.value.hint


@pytest.mark.parametrize(
    "answer",
    [
        signing(MALLORY),
        signing(change=lambda document: document["message"].update(value="6")),
        signing(wrap=lambda raw: raw[:-2]),
        signing(wrap=lambda raw: "0x" + "00" * 65),
    ],
)
async def test_a_permit_for_something_else_is_noticed(answer: Callable[[bytes], bytes]) -> None:
    async with endpoint(answer) as url, open_remote_signer(url, ALICE.address) as signer:
        with pytest.raises(ChainError) as error:
            await signer.sign_typed(DIGEST, DOCUMENT)
    assert error.value.code == "signer_lied"


async def test_a_signer_that_refuses_or_is_away_is_told_apart() -> None:
    def refuse(body: bytes) -> bytes:
        failure = {"code": -32000, "message": "request denied"}
        return json.dumps({"jsonrpc": "2.0", "id": json.loads(body)["id"], "error": failure}).encode()

    async with endpoint(refuse) as url, open_remote_signer(url, ALICE.address) as signer:
        with pytest.raises(ChainRefusal) as refused:
            await sign(signer, ORDERS[0])
    assert (refused.value.code, "request denied" in refused.value.message) == ("signer_refused", True)
    async with open_remote_signer(url, ALICE.address) as signer:  # it has gone
        with pytest.raises(ChainError) as away:
            await sign(signer, ORDERS[0])
    assert away.value.code == "signer_unavailable"


async def test_a_signer_that_hangs_is_given_up() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")  # connects, and nobody answers
    async with listener:
        port = listener.socket.getsockname()[1]
        hanging = open_remote_signer(f"http://127.0.0.1:{port}", ALICE.address, timeout_s=0.05)
        async with hanging as signer:
            with pytest.raises(ChainError) as error:
                await sign(signer, ORDERS[0])
    assert error.value.code == "signer_unavailable"
