"""A deployment that is killed goes on; contracts are found, kept, checked, and told from others."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from skyops_p2p.adapters.chain import KeySigner, open_chain, open_sender
from skyops_p2p.adapters.chain.sender import SenderTerms
from skyops_p2p.adapters.contracts.artifacts import artifact
from skyops_p2p.adapters.contracts.deployment import STEP_COUNT, DeploymentTerms, deploy_journalled
from skyops_p2p.adapters.contracts.finding import (
    PUBLISHED,
    _to_bytes,
    check_wiring,
    contracts_at,
    find_contracts,
    kept_name,
    read_directory,
)
from skyops_p2p.adapters.contracts.opening import open_contracts, open_money
from skyops_p2p.adapters.memory import MemoryDisk, open_memory_store
from skyops_p2p.adapters.sqlite import STORE_FILE_NAME, open_sqlite_store
from skyops_p2p.cli.chain_contracts import contract_rows
from skyops_p2p.config import NodeConfig
from skyops_p2p.config.models import ChainSection, PaymentSection, WorkerSection
from skyops_p2p.core.settlement.funds import ContractSet
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.errors import ChainError, ChainRefusal, ConfigError
from skyops_p2p.node.doctor_money import check_money
from skyops_p2p.node.identity import WALLET_FILE
from skyops_p2p.testnet.chain.development import created_account, directory_account
from skyops_p2p.types import Wei
from tests.ports.money.conftest import (
    ALICE,
    BOB,
    CHAIN_ID,
    GOVERNOR,
    ONE,
    PATIENCE_S,
    Market,
    account,
    embedded,
)

pytestmark = pytest.mark.net


class Killed(BaseException):
    """Ends a deployment as kill -9 does: nothing of the process gets another chance."""


async def _deploy(url: str, disk: MemoryDisk, *, steps: int, is_another: bool = False) -> ContractSet:
    """Deploy, and die after so many steps."""
    own = account(GOVERNOR)
    terms = DeploymentTerms(own, Wei(10**9 * ONE), Wei(0), own, own, own)
    left = steps

    def count(_step: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    sending = SenderTerms(confirmations=0, poll_s=0.02, fee_wei_max=Wei(100 * 10**9))
    async with (
        open_memory_store(disk) as store,
        open_chain([url], chain_id=CHAIN_ID) as chain,
        open_sender(chain, KeySigner(GOVERNOR), store, terms=sending) as sender,
    ):
        places, _ = await deploy_journalled(
            chain, sender, store, terms, is_another=is_another, progress=count
        )
        return places


async def test_a_deployment_that_is_killed_after_each_step_makes_one_set() -> None:
    disk = MemoryDisk()
    with trio.fail_after(PATIENCE_S):
        async with embedded() as url:
            for steps in (1, 4, 8, 12, STEP_COUNT):
                with pytest.RaisesGroup(Killed, flatten_subgroups=True):
                    await _deploy(url, disk, steps=steps)
            places = await _deploy(url, disk, steps=0)
            assert places.directory == directory_account()
            async with open_chain([url], chain_id=CHAIN_ID) as chain:
                assert await chain.nonce(GOVERNOR.address) == STEP_COUNT
                assert await read_directory(chain, places.directory) == places
            with pytest.RaisesGroup(ChainRefusal, flatten_subgroups=True) as refused:
                await _deploy(url, disk, steps=0)
            assert refused.value.exceptions[0].code == "contracts_deployed"
            another = await _deploy(url, disk, steps=0, is_another=True)
            assert another.directory == created_account(account(GOVERNOR), STEP_COUNT + 2)


async def test_contracts_are_found_once_and_used_while_no_endpoint_answers(market: Market) -> None:
    disk = MemoryDisk()
    directory = address_from_bytes(market.contracts.places.directory)
    there = NodeConfig(
        chain=ChainSection(endpoints=(market.url,)), payment=PaymentSection(directory=directory)
    )
    gone = there.model_copy(update={"chain": ChainSection(endpoints=("http://127.0.0.1:1",), timeout_s=10.0)})
    with pytest.raises(ChainError) as refused:
        async with open_memory_store(disk) as store, open_money(gone, ALICE, store):
            pytest.fail("nothing is known, and nobody can be asked")
    assert refused.value.code == "rpc_unreachable"
    async with open_memory_store(disk) as store, open_money(there, ALICE, store) as money:
        assert money.contracts == market.contracts.places
    async with open_memory_store(disk) as store, open_money(gone, ALICE, store) as money:
        assert money.contracts == market.contracts.places
        with pytest.raises(ChainError):
            await money.pair_funds(account(ALICE), account(ALICE))


async def test_the_doctor_tells_what_payments_need(market: Market, tmp_path: Path) -> None:
    (tmp_path / WALLET_FILE).write_text(json.dumps({"address": ALICE.address}))
    places = market.contracts.places
    config = NodeConfig(
        data_dir=tmp_path,
        chain=ChainSection(endpoints=("http://127.0.0.1:1",), timeout_s=10.0),
        payment=PaymentSection(directory=address_from_bytes(places.directory)),
        worker=WorkerSection(enabled=True),
    )
    [receipts, chain] = await check_money(config)
    assert (receipts.name, receipts.status) == ("receipts", "ok")
    assert (chain.name, chain.status) == ("chain", "warn")
    assert "are not paid before it has answered once" in chain.found

    config = config.model_copy(update={"chain": ChainSection(endpoints=(market.url,))})
    found = {finding.name: finding.status for finding in await check_money(config)}
    assert found == {
        "receipts": "ok",
        "chain": "ok",
        "contracts": "ok",
        "coin": "ok",
        "deposit": "warn",
        "stake": "warn",
    }

    older = replace(places, reservations=account(BOB))  # as if this node had found what came before
    async with open_sqlite_store(tmp_path / STORE_FILE_NAME) as store:
        name = kept_name(CHAIN_ID, places.directory)
        await store.set_value(name, _to_bytes(older))
        contracts = {finding.name: finding for finding in await check_money(config)}["contracts"]
        assert (contracts.status, "Reservations" in contracts.found) == ("warn", True), (
            "beside a running node"
        )
        for key in ("first", "second", "first"):
            await store.append("receipt", key, b"x")
        kept = {finding.name: finding for finding in await check_money(config)}["receipts"]
        assert (kept.status, kept.found.startswith("2 of this node's jobs; 0 of")) == ("warn", True), kept
        await store.append("evidence", "first", b"x")
        assert {one.name: one.status for one in await check_money(config)}["receipts"] == "ok"
        rows = {row["contract"]: row["is_newer"] for row in await contract_rows(config)}
        assert [name for name, is_newer in rows.items() if is_newer] == ["Reservations"]
    (tmp_path / STORE_FILE_NAME).write_bytes(b"")
    assert [finding.status for finding in await check_money(config)][-1] == "fail"


async def test_false_contracts_are_not_used(market: Market) -> None:
    places = market.contracts.places
    for false in (
        replace(places, disputes=places.reservations, reservations=places.disputes),
        replace(places, token=places.parameters),
        replace(places, disputes=account(ALICE)),
        replace(places, settlement=places.registry, registry=places.settlement),
    ):
        with pytest.raises(ChainRefusal) as refused:
            await check_wiring(contracts_at(market.chain, false))
        assert refused.value.code == "contracts_unfit"
    with pytest.raises(ChainRefusal) as refused:
        await find_contracts(market.chain, account(ALICE), None)
    assert refused.value.code == "contracts_missing"


async def test_settings_that_lead_nowhere_are_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        async with open_contracts(NodeConfig()):
            pytest.fail("there is no directory")
    assert refused.value.code == "payment_not_configured"
    payment = PaymentSection(directory=ALICE.address)
    with pytest.raises(ConfigError) as refused:
        async with open_contracts(NodeConfig(payment=payment)):
            pytest.fail("there is no endpoint")
    assert refused.value.code == "chain_not_configured"


async def test_our_code_is_told_from_other_code(market: Market) -> None:
    places = market.contracts.places
    accounts = (
        places.parameters,
        places.token,
        places.settlement,
        places.registry,
        places.disputes,
        places.reservations,
    )
    codes = {
        name: await market.chain.code(address_from_bytes(one))
        for name, one in zip(PUBLISHED, accounts, strict=True)
    }
    for name, code in codes.items():
        assert [other for other in PUBLISHED if artifact(other).is_code(code)] == [name]
        changed = bytes([code[0] ^ 1]) + code[1:]
        assert not artifact(name).is_code(changed)
        assert not artifact(name).is_code(code[: len(code) // 2] + b"\0" * 32 + code[len(code) // 2 :])
    assert not artifact("Settlement").is_code(b"")
