"""What a person has done with money, against the real contracts: each act once, in its steps, with coded refusals."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from skyops_p2p.adapters.contracts.settlement import voucher_tuple
from skyops_p2p.adapters.memory import MemoryDisk, open_memory_store
from skyops_p2p.config import NodeConfig, PaymentSection
from skyops_p2p.config.models import ChainSection
from skyops_p2p.crypto.wallet import Wallet, address_from_bytes
from skyops_p2p.errors import ChainError, ChainRefusal, StoreError
from skyops_p2p.node.wallet import actions as acts
from skyops_p2p.node.wallet.opening import open_purse, open_to_look
from skyops_p2p.node.wallet.purse import Purse
from skyops_p2p.node.wallet.purse_views import ActionView, BalanceView, DisputeView, StakeView
from skyops_p2p.node.wallet.reading import read_balance
from tests.ports.chain.test_bad_endpoints import endpoint
from tests.ports.chain.test_remote_signer import signing
from tests.ports.money.conftest import ALICE, BOB, CAROL, ONE, Market, account, person

pytestmark = pytest.mark.net
BINDING = "07" * 32
HASH = "ab" * 32
PATIENCE_S = 60.0
"""For one act; the embedded chain makes its blocks at once."""


@dataclass
class Person:
    """Somebody with a purse that is opened anew for each act, as by a command."""

    market: Market
    wallet: Wallet = ALICE
    disk: MemoryDisk = field(default_factory=MemoryDisk)

    @asynccontextmanager
    async def purse(self) -> AsyncIterator[Purse]:
        async with self.market.money(self.wallet) as money, open_memory_store(self.disk) as store:
            yield Purse(money, self.wallet, store, now_unix_s=lambda: 0)

    async def tried(
        self, action: acts.Action, key: str, *, wait_s: float = PATIENCE_S
    ) -> ActionView | ChainError:
        async with self.purse() as purse:
            try:
                return await purse.act(acts.ActionRequest(key=key, action=action), wait_s=wait_s)
            except ChainError as error:
                return error

    async def act(self, action: acts.Action, key: str, *, wait_s: float = PATIENCE_S) -> ActionView:
        view = await self.tried(action, key, wait_s=wait_s)
        assert isinstance(view, ActionView), view
        return view

    async def refused(self, action: acts.Action, key: str = "refused") -> ChainError:
        """Return why something is refused."""
        error = await self.tried(action, key)
        assert isinstance(error, ChainError), error
        assert error.hint
        return error

    async def balance(self) -> BalanceView:
        async with self.purse() as purse:
            return await purse.balance()

    async def stake(self) -> StakeView:
        async with self.purse() as purse:
            return await purse.stake()

    async def dispute(self, dispute: bytes) -> DisputeView:
        async with self.purse() as purse:
            return await purse.dispute(dispute)


def states(view: ActionView) -> dict[str, str]:
    return {step.name: step.state for step in view.steps}


async def test_money_goes_in_and_comes_out_in_two_steps(market: Market) -> None:
    alice = Person(market)
    deposit = acts.Deposit(symbol="SKYOPS", amount=100 * ONE)
    view = await alice.act(deposit, "in")
    assert (view.is_done, states(view)) == (True, {"deposit": "done"})
    again = await alice.act(deposit, "in")  # the same key: nothing is sent
    assert (again.is_done, again.steps[0].transaction) == (True, view.steps[0].transaction)
    assert (await alice.refused(acts.Deposit(symbol="SKYOPS", amount=101 * ONE), "in")).code == "key_reused"
    await alice.act(acts.Deposit(symbol="SKYOPS", amount=7 * ONE, worker=BOB.address), "for-bob")
    await alice.act(acts.Deposit(symbol="ETH", amount=ONE), "coin")
    token, coin = (await alice.balance()).tokens
    assert (token.deposit_wei, coin.deposit_wei, token.wallet_wei) == (100 * ONE, ONE, 9_893 * ONE)
    assert [(one.worker, one.amount_wei) for one in token.allotments] == [(BOB.address, 7 * ONE)]

    short = await alice.refused(acts.RequestWithdrawal(symbol="SKYOPS", amount=101 * ONE))
    assert (short.code, "holds 100 SKYOPS" in short.message) == ("deposit_short", True)
    nothing = await alice.refused(acts.Withdraw(symbol="SKYOPS"))
    assert nothing.code == "nothing_announced"
    missing = await alice.refused(acts.Deposit(symbol="SKYOPS", amount=10**6 * ONE))
    assert (missing.code, "990107 SKYOPS" in missing.hint) == ("tokens_missing", True)

    await alice.act(acts.RequestWithdrawal(symbol="SKYOPS", amount=40 * ONE), "ask")
    back = acts.ReturnAllotment(symbol="SKYOPS", worker=BOB.address)
    await alice.act(back, "ask-bob")
    early = await alice.refused(acts.Withdraw(symbol="SKYOPS"))
    assert early.code == "too_early"
    assert (await alice.refused(back)).code == "too_early"
    token = (await alice.balance()).tokens[0]
    returns_at = token.allotments[0].returns_at_unix_s
    assert returns_at is not None
    await market.pass_until(max(token.withdrawal_at_unix_s, returns_at))
    assert (await alice.act(acts.Withdraw(symbol="SKYOPS"), "out")).is_done
    assert (await alice.act(back, "back")).is_done
    token = (await alice.balance()).tokens[0]
    assert (token.wallet_wei, token.deposit_wei, token.allotments) == (9_933 * ONE, 67 * ONE, ())
    assert (await alice.act(acts.Collect(symbol="SKYOPS"), "none")).steps[0].state == "skipped"


async def test_a_stake_is_added_once_marked_and_taken_out(market: Market) -> None:
    bob = Person(market, BOB)
    few = await bob.refused(acts.AddStake(amount=99 * ONE, binding=BINDING))
    assert (few.code, "skyops stake add 100" in few.hint) == ("stake_short", True)
    add = acts.AddStake(amount=100 * ONE, binding=BINDING)
    first = await bob.act(add, "add", wait_s=0.0)
    assert (first.is_done, states(first)["approve"]) == (False, "waiting")
    assert first.steps[0].transaction.startswith("0x")
    view = await bob.act(add.model_copy(update={"binding": "08" * 32}), "add")  # made a moment later
    assert (view.is_done, set(states(view).values())) == (True, {"done"})
    assert (await bob.act(add, "add")).is_done  # nothing is added twice
    stake = await bob.stake()
    assert (stake.state, stake.stake_wei, stake.wallet_wei) == ("active", 100 * ONE, (10_000 - 105) * ONE)

    assert (await bob.refused(acts.WithdrawStake())).code == "nothing_announced"
    assert (await bob.refused(acts.Unstake(amount=101 * ONE))).code == "stake_short"
    await bob.act(acts.Unstake(amount=30 * ONE), "take")
    stake = await bob.stake()
    assert (stake.state, stake.unbonding_wei) == ("inactive", 30 * ONE)
    assert (await bob.refused(acts.WithdrawStake())).code == "too_early"
    await market.pass_until(stake.unbonded_at_unix_s)
    await bob.act(acts.WithdrawStake(), "out")
    assert (await bob.stake()).wallet_wei == (10_000 - 75) * ONE


async def test_a_job_in_escrow_is_disputed_answered_and_ends_without_a_jury(market: Market) -> None:
    alice, bob = Person(market), Person(market, BOB)
    settlement, token = market.contracts.settlement, market.contracts.places.token
    await bob.act(acts.AddStake(amount=200 * ONE, binding=BINDING), "stake")
    await alice.act(acts.Deposit(symbol="SKYOPS", amount=20 * ONE), "in")
    post = settlement.post_job(
        bytes(32),
        token,
        20 * ONE,
        worker=account(BOB),
        deadline_unix_s=(await market.chain.head()).timestamp_unix_s + 9_999,
    )
    async with market.money(ALICE) as money:
        job = await market.chain.call(post, sender=ALICE.address)
        await money.do("post", post)
    async with market.money(BOB) as money:
        await money.do("claim", settlement.on_job("claim", job))
        await money.do(
            "complete", settlement.complete(job, execution_hash=job, log_hash=job, metering_hash=job)
        )
    unknown = await alice.refused(acts.OpenJobDispute(job=HASH, evidence=HASH))
    assert unknown.code == "unknown_dispute"
    view = await alice.act(acts.OpenJobDispute(job=job.hex(), evidence=HASH), "open")
    assert (view.is_done, set(states(view).values())) == (True, {"done"})
    found = await bob.dispute(job)
    assert (found.phase, found.bond_wei, found.worker) == ("seed", 10 * ONE, BOB.address)
    assert (await bob.act(acts.Respond(dispute=job.hex(), evidence=HASH), "answer")).is_done
    voting = await bob.refused(acts.Vote(dispute=job.hex(), is_worker_right=True, finding=HASH))
    assert (voting.code, "phase seed" in voting.message) == ("dispute_phase", True)
    await market.pass_until(found.until_unix_s)
    advance = acts.Advance(dispute=job.hex())
    assert states(await bob.act(advance, "end")) == {"close-draw-0": "done"}
    assert (await bob.dispute(job)).phase == "closed"
    assert states(await bob.act(advance, "settle")) == {"settle-0-0": "done"}
    assert (await bob.refused(advance)).code == "dispute_phase"
    before = (await alice.balance()).tokens[0].owed_wei
    assert before == 10 * ONE  # nobody judged: the bond comes back
    view = await alice.act(acts.Collect(symbol="SKYOPS"), "collect")
    assert states(view) == {"collect": "skipped", "collect-owed": "done"}


async def test_an_operator_may_redeem_until_it_is_told_otherwise(market: Market) -> None:
    alice, bob = Person(market), Person(market, BOB)
    name = acts.SetOperator(operator=CAROL.address, is_allowed=True)
    await alice.act(acts.Deposit(symbol="SKYOPS", amount=50 * ONE), "in")
    async with market.money(CAROL) as money:
        settlement, token = market.contracts.settlement, market.contracts.places.token
        voucher = voucher_tuple(market.voucher(ALICE, BOB, 10 * ONE))
        order = settlement.redeem(account(BOB), token, voucher)
        with pytest.raises(ChainRefusal) as refused:
            await money.do("too-early", order)
        assert refused.value.reason == "not_worker"
        assert states(await bob.act(name, "name")) == {"operator": "done"}
        assert states(await bob.act(name, "again")) == {"operator": "skipped"}
        await money.do("redeem", order)
        assert await settlement.credit(money.account, token) == 0, "what it brings is the worker's"
        assert await settlement.credit(account(BOB), token) > 0
        cleared = name.model_copy(update={"is_allowed": False})
        assert states(await bob.act(cleared, "clear")) == {"operator": "done"}
        assert not await settlement.is_operator(account(BOB), money.account)
    assert (await bob.refused(name.model_copy(update={"operator": BOB.address}))).code == "operator_is_owner"


async def test_a_wallet_without_coin_is_told_so(market: Market) -> None:
    refusal = await Person(market, person("dave")).refused(acts.Approve(contract="Settlement", amount=ONE))
    assert (refusal.code, "gas" in refusal.message) == ("funds_missing", True)


async def test_one_process_sends_for_a_data_directory(market: Market, tmp_path: Path) -> None:
    chain = ChainSection(endpoints=(market.url,), confirmations=0, poll_s=0.02)
    directory = address_from_bytes(market.contracts.places.directory)
    config = NodeConfig(data_dir=tmp_path, chain=chain, payment=PaymentSection(directory=directory))
    action = acts.Approve(contract="Disputes", amount=ONE)
    async with open_purse(config, CAROL) as purse:
        with pytest.raises(StoreError) as locked:
            async with open_purse(config, CAROL):
                raise AssertionError("two processes send")
        assert locked.value.code == "store_locked"
        assert (await purse.act(acts.ActionRequest(key="k", action=action), wait_s=PATIENCE_S)).is_done
    async with open_purse(config, CAROL) as purse:  # afterwards the next one has the journal
        plan = await purse.plan(acts.AddStake(amount=100 * ONE, binding=BINDING))
        assert [step.gas is None for step in plan.steps] == [False, True, True]
        assert (await purse.act(acts.ActionRequest(key="k", action=action))).is_done
    async with open_to_look(config) as (at, workers):
        seen = await read_balance(at, account(CAROL), workers)
    assert seen.tokens[0].wallet_wei == 10_000 * ONE


async def test_a_signer_elsewhere_signs_permit_and_transaction(market: Market, tmp_path: Path) -> None:
    directory = address_from_bytes(market.contracts.places.directory)
    async with endpoint(signing(CAROL, owner=CAROL)) as url:
        chain = ChainSection(endpoints=(market.url,), confirmations=0, poll_s=0.02, signer=url)
        config = NodeConfig(data_dir=tmp_path, chain=chain, payment=PaymentSection(directory=directory))
        deposit = acts.ActionRequest(key="k", action=acts.Deposit(symbol="SKYOPS", amount=3 * ONE))
        async with open_purse(config, CAROL) as purse:
            assert (await purse.act(deposit, wait_s=PATIENCE_S)).is_done
            assert (await purse.balance()).tokens[0].deposit_wei == 3 * ONE
    async with open_purse(config, CAROL) as purse:  # the signer has gone
        with pytest.raises(ChainError) as away:
            await purse.act(acts.ActionRequest(key="k2", action=deposit.action))
        assert away.value.code == "signer_unavailable"
