"""Steps of what is done with deposits, allotments and credits."""

from skyops_p2p import limits
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.core.settlement.amounts import format_amount
from skyops_p2p.core.settlement.funds import NO_ACCOUNT
from skyops_p2p.crypto.wallet import address_from_bytes, address_to_bytes
from skyops_p2p.errors import ChainRefusal
from skyops_p2p.node.wallet.actions import (
    Approve,
    Collect,
    Deposit,
    RequestWithdrawal,
    ReturnAllotment,
    SetOperator,
    Withdraw,
)
from skyops_p2p.node.wallet.steps import TOKENS, Step, StepTools
from skyops_p2p.types import WalletAddress, Wei

_HOUR_S = 3600


def deposit_steps(action: Deposit, tools: StepTools) -> tuple[Step, ...]:
    """Pay in: SKYOPS by a permit, coin with the call."""
    settlement = tools.at.settlement
    worker = NO_ACCOUNT if action.worker is None else address_to_bytes(WalletAddress(action.worker))
    amount = Wei(action.amount)

    async def coin() -> Order:
        held = await tools.at.chain.balance(address_from_bytes(tools.account))
        if held < amount:
            raise ChainRefusal(
                f"the wallet holds {_said(held, 'ETH')} and needs {_said(amount, 'ETH')}, and some more for gas",
                code="funds_missing",
                hint=f"Send some to {address_from_bytes(tools.account)}, or deposit less.",
            )
        return settlement.deposit(NO_ACCOUNT, amount, worker)

    async def tokens() -> Order:
        await tools.need_tokens(amount)
        # Of whole hours, so that the same request makes the same permit again.
        begun = await tools.chain_now() // _HOUR_S * _HOUR_S
        deadline = begun + _HOUR_S + limits.PERMIT_S
        digest, document = await tools.at.token.permit(
            tools.account,
            settlement.account,
            amount,
            chain_id=tools.at.chain.chain_id,
            deadline_unix_s=deadline,
        )
        signature = await tools.signer.sign_typed(digest, document)
        return settlement.deposit_with_permit(
            tools.at.places.token, amount, worker, deadline_unix_s=deadline, signature=signature
        )

    where = "the deposit" if action.worker is None else f"the allotment for {action.worker}"
    text = f"moves {_said(amount, action.symbol)} from the wallet to {where}"
    return (Step("deposit", text, tokens if action.symbol == "SKYOPS" else coin),)


def request_withdrawal_steps(action: RequestWithdrawal, tools: StepTools) -> tuple[Step, ...]:
    """Announce a withdrawal."""
    token = tools.token_account(action.symbol)

    async def make() -> Order:
        deposited = await tools.at.settlement.deposited(tools.account, token)
        if deposited < action.amount:
            raise ChainRefusal(
                f"the deposit holds {_said(deposited, action.symbol)}, not {_said(action.amount, action.symbol)}",
                code="deposit_short",
                hint="Ask for that or less. Allotments come back to the deposit first: `skyops wallet withdraw --for"
                " WORKER`.",
            )
        return tools.at.settlement.request_withdrawal(token, Wei(action.amount))

    text = f"announces that {_said(action.amount, action.symbol)} leave the deposit, in place of what was announced"
    if not action.amount:
        text = f"takes back what was announced in {action.symbol}"
    return (Step("request", text, make),)


def withdraw_steps(action: Withdraw, tools: StepTools) -> tuple[Step, ...]:
    """Take out what was announced."""
    token = tools.token_account(action.symbol)

    async def make() -> Order:
        asked = await tools.at.settlement.withdrawal(tools.account, token)
        if not asked.ready_at_unix_s:
            raise ChainRefusal(
                f"no withdrawal of {action.symbol} was announced",
                code="nothing_announced",
                hint="Announce one with `skyops wallet withdraw AMOUNT`; two days later it can be taken out.",
            )
        order = tools.at.settlement.withdraw(token, tools.account)
        return await tools.unless_early(order, what="the withdrawal", at_unix_s=asked.ready_at_unix_s)

    return (Step("withdraw", f"moves the announced {action.symbol} from the deposit to the wallet", make),)


async def return_steps(action: ReturnAllotment, tools: StepTools) -> tuple[Step, ...]:
    """Ask for an allotment back, or take back what was asked for."""
    token, worker = tools.token_account(action.symbol), address_to_bytes(WalletAddress(action.worker))
    settlement = tools.at.settlement
    pair = await settlement.pair(tools.account, worker, token)

    async def ask() -> Order:
        if not pair.allotted:
            raise ChainRefusal(
                f"no {action.symbol} are set aside for {action.worker}",
                code="nothing_announced",
                hint="`skyops wallet balance` lists the allotments.",
            )
        return settlement.request_return(worker, token)

    async def take() -> Order:
        assert pair.returns_at_unix_s is not None
        order = settlement.take_back(worker, token)
        return await tools.unless_early(order, what="taking it back", at_unix_s=pair.returns_at_unix_s)

    said = _said(pair.allotted, action.symbol)
    if pair.returns_at_unix_s is None:
        return (Step("ask", f"asks for the {said} back that are set aside for {action.worker}", ask),)
    return (Step("take-back", f"moves what is left for {action.worker} to the deposit", take),)


def collect_steps(action: Collect, tools: StepTools) -> tuple[Step, ...]:
    """Pay out credits: of Settlement, and for SKYOPS of Disputes."""
    token = tools.token_account(action.symbol)

    async def earned() -> Order | None:
        if not await tools.at.settlement.credit(tools.account, token):
            return None
        return tools.at.settlement.collect(token, tools.account)

    async def owed() -> Order | None:
        if not await tools.at.disputes.owed(tools.account):
            return None
        return tools.at.disputes.collect(tools.account)

    steps = [Step("collect", f"moves the credit in {action.symbol} to the wallet", earned)]
    if action.symbol == "SKYOPS":
        steps.append(Step("collect-owed", "moves what disputes have brought to the wallet", owed))
    return tuple(steps)


def set_operator_steps(action: SetOperator, tools: StepTools) -> tuple[Step, ...]:
    """Name who else may redeem, or end that."""
    settlement, operator = tools.at.settlement, address_to_bytes(WalletAddress(action.operator))

    async def make() -> Order | None:
        if operator == tools.account:
            raise ChainRefusal(
                "a wallet redeems its own vouchers anyway",
                code="operator_is_owner",
                hint="Name the account that is to redeem for it.",
            )
        if await settlement.is_operator(tools.account, operator) == action.is_allowed:
            return None
        return settlement.set_operator(operator, is_allowed=action.is_allowed)

    does = "lets" if action.is_allowed else "no longer lets"
    text = f"{does} {action.operator} redeem this wallet's vouchers; what they bring stays this wallet's"
    return (Step("operator", text, make),)


def approve_steps(action: Approve, tools: StepTools) -> tuple[Step, ...]:
    """Set what a contract may take."""
    spender = {
        "Settlement": tools.at.settlement.account,
        "NodeRegistry": tools.at.registry.account,
        "Disputes": tools.at.disputes.account,
        "Reservations": tools.at.reservations.account,
    }[action.contract]

    async def make() -> Order:
        return tools.at.token.approve(spender, Wei(action.amount))

    text = (
        f"lets {action.contract} take up to {_said(action.amount, 'SKYOPS')}, in place of what it was allowed"
    )
    return (Step("approve", text, make),)


def _said(wei: int, symbol: str) -> str:
    return format_amount(wei, TOKENS[symbol])
