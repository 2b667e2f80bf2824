"""The chain of a test network: contracts and money are there, it dies and comes back with its blocks, and goes away."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from skyops_p2p.adapters.contracts import open_contracts
from skyops_p2p.config import load_config
from skyops_p2p.core.settlement.contract_facts import StakeState
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.node.identity import load_identity
from skyops_p2p.node.run_file import process_start
from skyops_p2p.testnet.chain.market import COIN_GIVEN, DEPOSITED, STAKED, TOKENS_GIVEN
from tests.e2e.conftest import Ran, wait_until

pytestmark = [pytest.mark.process, pytest.mark.net]
Skyops = Callable[..., Ran]


def _money_of(data_dir: Path) -> tuple[int, int, StakeState, int]:
    """Return a wallet's SKYOPS, deposit, standing and coin, as its own node's settings lead to them."""
    config, _ = load_config(data_dir, file=None, environment={}, flags={})

    async def ask() -> tuple[int, int, StakeState, int]:
        wallet: Wallet = (await load_identity(data_dir, "")).wallet
        account = address_to_bytes(wallet.address)
        async with open_contracts(config) as at:
            return (
                await at.token.balance(account),
                await at.settlement.deposited(account, at.token.account),
                (await at.registry.node(account)).state,
                await at.chain.balance(wallet.address),
            )

    return trio.run(ask)


def _status(skyops: Skyops) -> dict[str, object]:
    status: dict[str, object] = json.loads(skyops("testnet", "status", "--json").out)
    return status


def test_a_network_has_money_and_its_chain_comes_back(skyops: Skyops, tmp_path: Path) -> None:
    topology = tmp_path / "t.toml"
    topology.write_text('[network]\nbeat_s = 1.0\n[[nodes]]\nname = "seller"\n[[nodes]]\nworker = false\n')
    up = skyops("testnet", "up", "--topology", str(topology))
    assert (up.code, "jobs are paid on a chain" in up.out) == (0, True), up.err
    status = _status(skyops)
    nodes = Path(str(status["directory"])) / "nodes"
    tokens, deposit, state, coin = _money_of(nodes / "seller")
    assert (tokens, deposit, state) == (TOKENS_GIVEN - DEPOSITED - STAKED, DEPOSITED, StakeState.ACTIVE)
    assert 0 < COIN_GIVEN - coin < 10**16
    tokens, deposit, state, _ = _money_of(nodes / "node-2")
    assert (tokens, deposit, state) == (TOKENS_GIVEN - DEPOSITED, DEPOSITED, StakeState.UNKNOWN)

    chain = status["chain"]
    assert isinstance(chain, dict)
    assert chain["state"] == "running"
    assert skyops("testnet", "kill", "chain").out == "chain: killed\n"
    wait_until(lambda: process_start(chain["pid"]) is None, what="the chain is gone")
    assert "dead" in skyops("testnet", "status").out.splitlines()[1]
    back = skyops("testnet", "up")
    assert (back.code, back.out.startswith("started again: chain, after")) == (0, True), back.err
    again = _status(skyops)["chain"]
    assert isinstance(again, dict)
    assert {**again, "pid": 0} == {**chain, "pid": 0}
    assert _money_of(nodes / "seller")[1] == DEPOSITED
    assert "error[testnet_exists]" in skyops("testnet", "up").err

    assert skyops("testnet", "down").code == 0
    assert process_start(again["pid"]) is None
    assert not nodes.parent.exists()


def test_a_network_without_a_chain_has_no_contracts(skyops: Skyops) -> None:
    assert skyops("testnet", "up", "--nodes", "1", "--no-chain").code == 0
    status = _status(skyops)
    assert status["chain"] is None
    config, _ = load_config(
        Path(str(status["directory"])) / "nodes" / "node-1", file=None, environment={}, flags={}
    )
    assert (config.payment.directory, config.chain.endpoints) == ("", ())
    assert skyops("testnet", "down").code == 0
