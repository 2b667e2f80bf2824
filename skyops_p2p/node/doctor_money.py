"""The doctor's checks of money: the chain, the contracts, coin for gas, and what the node pays with and stands for."""

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.sqlite import STORE_FILE_NAME, count_entries, peek_value
from skyops_p2p.config import NodeConfig
from skyops_p2p.core.settlement.amounts import ETH, SKYOPS, format_amount
from skyops_p2p.errors import ChainError, ChainRefusal, ConfigError, IdentityError, StoreError
from skyops_p2p.limits import DOCTOR_CHAIN_TIMEOUT_S
from skyops_p2p.node.evidence.desk import STEM
from skyops_p2p.node.finding import Finding
from skyops_p2p.node.identity import read_address
from skyops_p2p.node.settlement.journal import RECEIPT_STEM

COIN_LOW_WEI = 10**15
"""A thousandth of the coin: some dozen transactions at 1 gwei."""
_LEAVE = "docs/chain.md says how one moves: pay everything out, then begin with a new data directory."


async def check_money(config: NodeConfig) -> list[Finding]:
    """Check that jobs could be paid; one finding that says so where nothing is paid.

    Asks the chain, for DOCTOR_CHAIN_TIMEOUT_S at most.
    """
    if not config.payment.directory:
        return [Finding("payment", "ok", "nothing is paid: payment.directory is empty")]
    found: list[Finding] = []
    try:
        found.append(await trio.to_thread.run_sync(_receipts, config))
        with trio.fail_after(DOCTOR_CHAIN_TIMEOUT_S):
            await _look(config, found)
    except ConfigError as error:
        found.append(Finding("chain", "fail", error.message, error.hint))
    except (ChainRefusal, StoreError) as error:
        found.append(Finding("contracts", "fail", f"{error.message} ({error.code})", error.hint))
    except ChainError as error:
        is_known = _kept(config) is not None
        jobs = "jobs are paid all the same" if is_known else "jobs are not paid before it has answered once"
        found.append(Finding("chain", "warn", f"{error.message} ({error.code}); {jobs}", error.hint))
    except trio.TooSlowError:
        mend = "`skyops chain status` asks each endpoint and says what is wrong with it."
        text = f"no answer within {DOCTOR_CHAIN_TIMEOUT_S:g} s"
        found.append(Finding("chain", "warn", text, mend))
    return found


async def _look(config: NodeConfig, found: list[Finding]) -> None:
    """Add the findings one by one, so that those before a failure are told."""
    from skyops_p2p.adapters.contracts import (
        open_contracts,
    )  # takes long to import, and only who pays has them
    from skyops_p2p.adapters.contracts.finding import contracts_at, newer_names, read_kept

    async with open_contracts(config) as newest:
        head = await newest.chain.head()
        found.append(Finding("chain", "ok", f"chain {newest.chain.chain_id}, block {head.number}"))
        at, kept = newest, _kept(config)
        if kept is not None:
            places = read_kept(newest.chain.chain_id, newest.places.directory, kept)
            at = contracts_at(newest.chain, places)
            newer = newer_names(places, newest.places)
            if newer:
                text = f"a newer version is published of {', '.join(newer)}; this node stays with its own"
                found.append(Finding("contracts", "warn", text, _LEAVE))
        if at is newest or at.places == newest.places:
            found.append(Finding("contracts", "ok", f"found by the Directory {config.payment.directory}"))
        from skyops_p2p.crypto.wallet import address_to_bytes
        from skyops_p2p.node.wallet.reading import read_balance, read_stake

        try:
            account = address_to_bytes(read_address(config.data_dir))
        except IdentityError:
            return  # the check of the wallet says so
        balance = await read_balance(at, account, ())
        skyops, coin = balance.tokens
        found.append(_coin(coin.wallet_wei, balance.wallet))
        found.append(_deposit(skyops.deposit_wei))
        if config.worker.enabled:
            found.append(_stake((await read_stake(at, account)).state))


def _receipts(config: NodeConfig) -> Finding:
    """Look at the receipts of this node, and at those of others that it holds as evidence; blocking.

    Raises:
        StoreError: The store cannot be read.
    """
    path = config.data_dir / STORE_FILE_NAME
    own, held = count_entries(path, RECEIPT_STEM), count_entries(path, STEM)
    text = f"{own} of this node's jobs; {held} of {limits.RECEIPTS_HELD_MAX} held of everybody's"
    if own and not held:
        mend = "`skyops run`: they are taken up and told to others when the node starts."
        return Finding("receipts", "warn", f"{text}: nobody but the two sides can show them", mend)
    return Finding("receipts", "ok", text)


def _coin(wei: int, wallet: str) -> Finding:
    text = f"{format_amount(wei, ETH)} for gas"
    if wei >= COIN_LOW_WEI:
        return Finding("coin", "ok", text)
    mend = f"Send some of the chain's coin to {wallet}: without it nothing can be deposited or redeemed."
    return Finding("coin", "warn", text, mend)


def _deposit(wei: int) -> Finding:
    if wei:
        return Finding("deposit", "ok", format_amount(wei, SKYOPS))
    mend = "To pay for jobs: `skyops wallet deposit 10 SKYOPS`. Who only works needs none."
    return Finding("deposit", "warn", "nothing, so this node can pay for no job", mend)


def _stake(state: str) -> Finding:
    if state == "active":
        return Finding("stake", "ok", "ACTIVE")
    mend = "`skyops stake add` makes it ACTIVE; a worker without a stake gets hardly any jobs, and sits in no jury."
    return Finding("stake", "warn", f"this node is {state.upper()} in NodeRegistry", mend)


def _kept(config: NodeConfig) -> bytes | None:
    """Return the store's value about the contracts.

    Raises:
        StoreError: The store cannot be read.
    """
    from skyops_p2p.adapters.contracts.finding import kept_name
    from skyops_p2p.crypto.wallet import address_to_bytes
    from skyops_p2p.types import WalletAddress

    directory = address_to_bytes(WalletAddress(config.payment.directory))
    return peek_value(config.data_dir / STORE_FILE_NAME, kept_name(config.network.chain_id, directory))
