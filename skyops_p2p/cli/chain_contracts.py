"""Which chain a command means where the settings name none, and what `chain status` says of the contracts."""

from typing import TYPE_CHECKING, Any

from skyops_p2p.errors import ChainError, ConfigError

if TYPE_CHECKING:
    from skyops_p2p.config import NodeConfig
    from skyops_p2p.core.settlement.funds import ContractSet

EMBEDDED_POLL_S = 0.2
"""Seconds between looks at an embedded chain, which makes a block at once."""


def with_endpoints(config: "NodeConfig") -> "NodeConfig":
    """Return the settings with the embedded chain of this user as the endpoint, if they name none and it runs."""
    if config.chain.endpoints:
        return config
    from skyops_p2p.testnet.chain.place import chain_place, find_chain

    found = find_chain(chain_place(None))
    if found is None:
        return config
    # It makes a block only when there is a transaction, so nobody can wait for blocks above one.
    poll_s = min(config.chain.poll_s, EMBEDDED_POLL_S)
    update = {"endpoints": (found.url,), "confirmations": 0, "poll_s": poll_s}
    return config.model_copy(update={"chain": config.chain.model_copy(update=update)})


def needed_endpoints(config: "NodeConfig") -> "NodeConfig":
    """Return the same, and refuse if there is no endpoint at all.

    Raises:
        ConfigError: `chain_not_configured`.
    """
    found = with_endpoints(config)
    if not found.chain.endpoints:
        raise ConfigError(
            "no chain is configured, and no embedded one runs",
            code="chain_not_configured",
            hint="Set chain.endpoints, or `skyops chain start`.",
        )
    return found


def named(places: "ContractSet") -> dict[str, bytes]:
    """Return {name in the Directory: account}, the Directory itself first."""
    return {
        "Directory": places.directory,
        "Parameters": places.parameters,
        "SkyopsToken": places.token,
        "Settlement": places.settlement,
        "NodeRegistry": places.registry,
        "Disputes": places.disputes,
        "Reservations": places.reservations,
    }


async def contract_rows(config: "NodeConfig") -> list[dict[str, Any]]:
    """Look at each contract of the network; what is wrong is part of the answer.

    Args:
        config: With `payment.directory` and endpoints.
    """
    from skyops_p2p.adapters.chain import open_chain
    from skyops_p2p.adapters.contracts.artifacts import artifact
    from skyops_p2p.adapters.contracts.finding import (
        check_wiring,
        contracts_at,
        kept_name,
        newer_names,
        read_directory,
        read_kept,
    )
    from skyops_p2p.adapters.sqlite import STORE_FILE_NAME, peek_value
    from skyops_p2p.crypto.wallet import address_from_bytes, address_to_bytes
    from skyops_p2p.types import WalletAddress

    directory = address_to_bytes(WalletAddress(config.payment.directory))
    kept = peek_value(config.data_dir / STORE_FILE_NAME, kept_name(config.network.chain_id, directory))
    rows: list[dict[str, Any]] = []
    try:
        async with open_chain(config.chain.endpoints, chain_id=config.network.chain_id) as chain:
            at = contracts_at(chain, await read_directory(chain, directory))
            own = at.places if kept is None else read_kept(chain.chain_id, directory, kept)
            newer = newer_names(own, at.places)
            for name, account in named(at.places).items():
                address = address_from_bytes(account)
                is_ours = artifact(name).is_code(await chain.code(address))
                version = 1 if name == "Directory" else await at.directory.version_count(name)
                row = {"contract": name, "address": address, "version": version}
                rows.append(row | {"state": "ok" if is_ours else "other", "is_newer": name in newer})
            await check_wiring(at)
    except ChainError as error:
        row = {"contract": "Directory", "address": config.payment.directory, "version": 0, "state": "fail"}
        row["is_newer"] = False
        return [*rows, row | {"error": error.code, "message": error.message}]
    return rows
