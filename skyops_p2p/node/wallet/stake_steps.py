"""Steps of what is done with a node's stake."""

from skyops_p2p.adapters.contracts.parameters import Parameter
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount
from skyops_p2p.core.settlement.contract_facts import StakeState
from skyops_p2p.errors import ChainRefusal
from skyops_p2p.node.wallet.actions import AddStake, Unstake
from skyops_p2p.node.wallet.steps import Step, StepTools
from skyops_p2p.types import Wei


async def add_stake_steps(action: AddStake, tools: StepTools) -> tuple[Step, ...]:
    """Approve, register or add, and mark as alive."""
    at, amount = tools.at, action.amount
    said = format_amount(amount, SKYOPS)
    is_new = (await at.registry.node(tools.account)).state is StakeState.UNKNOWN
    burn = await at.parameters.value(Parameter.REGISTRATION_BURN) if is_new else 0

    async def approve() -> Order | None:
        least = await at.parameters.value(Parameter.STAKE_LEAST)
        if is_new and amount < least:
            raise ChainRefusal(
                f"{said} are less than the least stake, {format_amount(least, SKYOPS)}",
                code="stake_short",
                hint=f"`skyops stake add {least // SKYOPS.one}` is enough; {format_amount(burn, SKYOPS)} of the"
                " wallet are burned besides.",
            )
        await tools.need_tokens(amount + burn)
        return await tools.approval(at.registry.account, amount + burn)

    async def register() -> Order:
        binding = bytes.fromhex(action.binding)
        return at.registry.register(binding, action.metadata_uri, Wei(amount + burn))

    async def add() -> Order:
        return at.registry.add_stake(Wei(amount))

    async def mark() -> Order | None:
        node = await at.registry.node(tools.account)
        least = await at.parameters.value(Parameter.STAKE_LEAST)
        if node.state in (StakeState.ACTIVE, StakeState.SLASHED) or 0 < node.stake < least:
            return None
        return at.registry.mark([tools.account])

    burned = f", burning {format_amount(burn, SKYOPS)} besides" if burn else ""
    staking = Step("stake", f"registers the node with a stake of {said}{burned}", register)
    if not is_new:
        staking = Step("stake", f"adds {said} to the stake", add)
    return (
        Step("approve", f"lets NodeRegistry take {format_amount(amount + burn, SKYOPS)}", approve),
        staking,
        Step("mark", "marks the node as alive, which makes it ACTIVE", mark),
    )


def unstake_steps(action: Unstake, tools: StepTools) -> tuple[Step, ...]:
    """Begin to take stake out."""

    async def make() -> Order:
        node = await tools.at.registry.node(tools.account)
        free = node.stake - node.locked
        if not 0 < action.amount <= free:
            locked = f"; {format_amount(node.locked, SKYOPS)} are locked" if node.locked else ""
            raise ChainRefusal(
                f"{format_amount(free, SKYOPS)} of the stake can be taken out{locked}",
                code="stake_short",
                hint="Ask for that or less; `skyops stake status` shows all of it.",
            )
        return tools.at.registry.unstake(Wei(action.amount))

    said = format_amount(action.amount, SKYOPS)
    text = f"takes {said} out of the stake; the time of unbonding begins anew for all that is unbonding"
    return (Step("unstake", text, make),)


def withdraw_stake_steps(tools: StepTools) -> tuple[Step, ...]:
    """Pay out what has been unbonding long enough."""

    async def make() -> Order:
        node = await tools.at.registry.node(tools.account)
        if not node.unbonding:
            raise ChainRefusal(
                "no stake is unbonding",
                code="nothing_announced",
                hint="`skyops stake unstake AMOUNT` begins to take stake out.",
            )
        order = tools.at.registry.withdraw_stake(tools.account)
        return await tools.unless_early(order, what="paying the stake out", at_unix_s=node.unbonded_at_unix_s)

    return (Step("withdraw", "moves what was unbonding to the wallet", make),)
