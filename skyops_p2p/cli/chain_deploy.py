"""`chain deploy`: a new set of contracts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from skyops_p2p.cli.chain_contracts import named, needed_endpoints
from skyops_p2p.cli.invocation import Invocation, data_dir_option, json_option
from skyops_p2p.cli.output import ProgressLine, print_fields, print_json
from skyops_p2p.errors import ChainRefusal, IdentityError

if TYPE_CHECKING:
    from skyops_p2p.config import NodeConfig
    from skyops_p2p.crypto.wallet import Wallet
    from skyops_p2p.ports import Chain
    from skyops_p2p.types import Wei


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is to be done."""

    config: "NodeConfig"
    deployer: "Wallet"
    poor: "Wallet | None"
    """Gets coin and SKYOPS; None: nobody."""
    supply: "Wei"
    faucet: "Wei"
    is_another: bool


@click.command()
@click.option("--another", is_flag=True, help="Deploy another set, though there is one.")
@click.option(
    "--development",
    is_flag=True,
    help="Test chains: pay with the first development account, and give this wallet coin and SKYOPS.",
)
@click.option("--supply", default="1000000000 SKYOPS", help="SKYOPS in all; who deploys gets them.")
@click.option("--faucet", default="0 SKYOPS", help="Test chains: SKYOPS that anybody may take once a day.")
@data_dir_option
@json_option
@click.pass_obj
def deploy(
    invocation: Invocation, *, another: bool, development: bool, supply: str, faucet: str, as_json: bool
) -> None:
    """Deploy the market's contracts with this node's wallet, which becomes their governor.

    Stopped or killed half-way, the same command goes on where it was. The node of this data directory must not run: one
    process sends for a wallet.
    """
    import trio

    from skyops_p2p.core.settlement.amounts import SKYOPS, parse_amount
    from skyops_p2p.testnet.chain.development import governor

    config = needed_endpoints(invocation.load_config()[0])
    own = _own_wallet(config, invocation, is_needed=not development)
    deployer = governor() if development or own is None else own
    wanted = Deployment(
        config=config,
        deployer=deployer,
        poor=own if development else None,
        supply=parse_amount(supply, SKYOPS)[0],
        faucet=parse_amount(faucet, SKYOPS)[0],
        is_another=another,
    )
    with ProgressLine(is_shown=not as_json) as progress:
        told = trio.run(_deploy, wanted, progress.show)
    if as_json:
        print_json(told)
        return
    click.echo(f"Deployed the contracts on chain {told['chain_id']}, for {told['gas_used']:,} gas.")
    print_fields([("governor", told["governor"]), *told["contracts"].items()])
    click.echo()
    click.echo("Next, in the config file of each node:")
    click.echo(f'  [payment]\n  directory = "{told["contracts"]["Directory"]}"')


def _own_wallet(config: "NodeConfig", invocation: Invocation, *, is_needed: bool) -> "Wallet | None":
    from skyops_p2p.cli.identity import open_identity

    try:
        return open_identity(config.data_dir, invocation.environment).wallet
    except IdentityError as error:
        if is_needed or error.code != "key_missing":
            raise
        return None


async def _deploy(wanted: Deployment, progress: Callable[[str], None]) -> dict[str, Any]:
    from skyops_p2p.adapters.chain import KeySigner, open_chain, open_sender
    from skyops_p2p.adapters.contracts.deployment import DeploymentTerms, StepCounter, deploy_journalled
    from skyops_p2p.adapters.contracts.opening import sender_terms
    from skyops_p2p.adapters.sqlite import STORE_FILE_NAME, open_sqlite_store
    from skyops_p2p.crypto.wallet import address_from_bytes, address_to_bytes

    config, deployer = wanted.config, wanted.deployer
    account = address_to_bytes(deployer.address)
    terms = DeploymentTerms(account, wanted.supply, wanted.faucet, account, account, account)
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with (
        open_sqlite_store(config.data_dir / STORE_FILE_NAME) as store,
        open_chain(config.chain.endpoints, chain_id=config.network.chain_id) as chain,
        open_sender(chain, KeySigner(deployer), store, terms=sender_terms(config)) as sender,
    ):
        if not wanted.is_another:
            await _refuse_if_there(chain, config)
        places, executor = await deploy_journalled(
            chain, sender, store, terms, is_another=wanted.is_another, progress=StepCounter(progress).done
        )
        if wanted.poor is not None:
            await executor.give(places, address_to_bytes(wanted.poor.address))
    return {
        "chain_id": places.chain_id,
        "governor": deployer.address,
        "contracts": {name: address_from_bytes(found) for name, found in named(places).items()},
        "gas_used": executor.gas_used,
        "fee_wei": str(executor.fee_wei),
    }


async def _refuse_if_there(chain: "Chain", config: "NodeConfig") -> None:
    """Refuse if the settings lead to a whole set of contracts already.

    Raises:
        ChainRefusal: `contracts_deployed`.
    """
    from skyops_p2p.adapters.contracts.finding import read_directory
    from skyops_p2p.crypto.wallet import address_to_bytes
    from skyops_p2p.types import WalletAddress

    if not config.payment.directory:
        return
    try:
        await read_directory(chain, address_to_bytes(WalletAddress(config.payment.directory)))
    except ChainRefusal as error:
        if error.code != "contracts_missing":
            raise
        return
    raise ChainRefusal(
        f"payment.directory leads to contracts already: {config.payment.directory}",
        code="contracts_deployed",
        hint="Use them, or deploy another set with --another.",
    )
