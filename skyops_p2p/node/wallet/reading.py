"""Looks at the money of any wallet: without a key, and beside a running node."""

from collections.abc import Iterable

from skyops_p2p.adapters.contracts.finding import Contracts
from skyops_p2p.adapters.contracts.parameters import Parameter
from skyops_p2p.core.chain.transaction import TransactionState, WaitingOrder
from skyops_p2p.core.settlement.contract_facts import StakeState
from skyops_p2p.core.settlement.funds import NO_ACCOUNT
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.errors import ChainRefusal
from skyops_p2p.node.wallet.dispute_phase import phase_of
from skyops_p2p.node.wallet.purse_views import (
    AllotmentView,
    BalanceView,
    DisputeView,
    OrderView,
    StakeView,
    TokenView,
)
from skyops_p2p.types import Wei

_VERDICTS = ("none", "worker_right", "worker_wrong")
_STATES = {
    StakeState.UNKNOWN: "unknown",
    StakeState.PENDING: "pending",
    StakeState.ACTIVE: "active",
    StakeState.INACTIVE: "inactive",
    StakeState.SLASHED: "slashed",
}


async def read_balance(at: Contracts, account: bytes, workers: Iterable[bytes]) -> BalanceView:
    """Return the money of a wallet.

    Args:
        at: The contracts.
        account: The wallet, 20 bytes.
        workers: Whose allotments are looked for; those with nothing are left out.

    Raises:
        ChainError: The chain cannot be asked.
    """
    asked = tuple(dict.fromkeys(workers))
    head = await at.chain.head()
    address = address_from_bytes(account)
    held = (("SKYOPS", at.places.token, await at.token.balance(account)),)
    coin = (("ETH", NO_ACCOUNT, await at.chain.balance(address)),)
    return BalanceView(
        wallet=address,
        chain_id=at.chain.chain_id,
        chain_unix_s=head.timestamp_unix_s,
        is_paused=await at.parameters.is_paused(),
        tokens=tuple(
            [
                await _token(at, account, asked, named=(symbol, token, Wei(wei)))
                for symbol, token, wei in held + coin
            ]
        ),
    )


async def _token(
    at: Contracts, account: bytes, workers: tuple[bytes, ...], *, named: tuple[str, bytes, Wei]
) -> TokenView:
    symbol, token, wallet_wei = named
    asked = await at.settlement.withdrawal(account, token)
    allotments = []
    for worker in workers:
        pair = await at.settlement.pair(account, worker, token)
        if pair.allotted or pair.held:
            allotments.append(
                AllotmentView(
                    worker=address_from_bytes(worker),
                    amount_wei=pair.allotted,
                    held_wei=pair.held,
                    returns_at_unix_s=pair.returns_at_unix_s,
                )
            )
    return TokenView(
        symbol=symbol,
        wallet_wei=wallet_wei,
        deposit_wei=await at.settlement.deposited(account, token),
        credit_wei=await at.settlement.credit(account, token),
        owed_wei=await at.disputes.owed(account) if symbol == "SKYOPS" else 0,
        withdrawal_wei=asked.amount,
        withdrawal_at_unix_s=asked.ready_at_unix_s,
        allotments=tuple(allotments),
    )


async def read_stake(at: Contracts, account: bytes) -> StakeView:
    """Return what NodeRegistry has of a wallet.

    Raises:
        ChainError: The chain cannot be asked.
    """
    node = await at.registry.node(account)
    return StakeView(
        wallet=address_from_bytes(account),
        chain_unix_s=(await at.chain.head()).timestamp_unix_s,
        state=_STATES[node.state],
        stake_wei=node.stake,
        locked_wei=node.locked,
        unbonding_wei=node.unbonding,
        unbonded_at_unix_s=node.unbonded_at_unix_s if node.unbonding else 0,
        holds=node.holds,
        marked_at_unix_s=node.marked_at_unix_s,
        binding=node.binding.hex(),
        metadata_uri=await at.registry.metadata_uri(account),
        least_wei=await at.parameters.value(Parameter.STAKE_LEAST),
        burn_wei=await at.parameters.value(Parameter.REGISTRATION_BURN),
        unbonding_s=await at.parameters.value(Parameter.UNBONDING_S),
        wallet_wei=await at.token.balance(account),
    )


async def read_dispute(at: Contracts, dispute: bytes, *, now_unix_s: int) -> DisputeView:
    """Return how a dispute stands.

    Args:
        at: The contracts.
        dispute: 32 bytes.
        now_unix_s: This machine's clock: the chain's own stands still between blocks.

    Raises:
        ChainRefusal: `unknown_dispute`.
        ChainError: The chain cannot be asked.
    """
    case = await at.disputes.case(dispute)
    if not case.opened_at_unix_s:
        raise ChainRefusal(
            f"there is no dispute {dispute.hex()}",
            code="unknown_dispute",
            hint="`skyops dispute open` prints its id, 64 hex digits; a job in escrow has its own.",
        )
    result = await at.disputes.result(dispute)
    is_result = any(result.commitment)
    jury_id = await at.disputes.jury_of(dispute, case.round)
    jury = await at.disputes.jury(jury_id)
    chain_unix_s = (await at.chain.head()).timestamp_unix_s
    phase = phase_of(case, jury, max(chain_unix_s, now_unix_s))
    return DisputeView(
        dispute=dispute.hex(),
        chain_unix_s=chain_unix_s,
        phase=phase.phase,
        until_unix_s=phase.until_unix_s,
        challenger=address_from_bytes(case.challenger),
        requester=address_from_bytes(case.requester),
        worker=address_from_bytes(case.worker),
        symbol="ETH" if case.token == NO_ACCOUNT else "SKYOPS",
        amount_wei=case.amount,
        worth_wei=case.worth,
        bond_wei=case.bond,
        opened_at_unix_s=case.opened_at_unix_s,
        round=case.round,
        verdict=_VERDICTS[case.verdict],
        jury=jury_id.hex(),
        seats=tuple(map(address_from_bytes, await at.disputes.seats(jury_id))),
        seats_wanted=jury.size,
        rights=jury.rights,
        wrongs=jury.wrongs,
        seat_stake_wei=jury.seat_stake,
        is_settled=await at.disputes.is_settled(jury_id),
        proof=result.proof.hex() if is_result else "",
        commitment=result.commitment.hex() if is_result else "",
        made_unix_s=result.made_unix_s,
    )


def order_view(order: WaitingOrder) -> OrderView:
    """Return what people see of a transaction that waits."""
    assert order.state is not TransactionState.ENDED
    return OrderView(
        key=order.key,
        state=order.state.value,
        nonce=order.nonce,
        transaction="0x" + order.newest.hash.hex(),
        attempts=order.attempts,
        fee_wei_max=order.newest.fees.max_fee_wei,
        is_cancelled=order.newest.is_cancel,
        is_at_bound=order.is_at_bound,
        taken_back=order.taken_back,
    )
