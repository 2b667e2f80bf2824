"""Finds a network's contracts through its Directory, once, and checks that they belong together.

What was found is kept in the node's store: a node goes on with the contracts that hold its money when the Directory
names newer ones, and starts while no endpoint answers. contracts/README.md, "Who can do what", says why the wiring is
checked: whoever deployed could have bound a false arbiter.
"""

from dataclasses import dataclass

from skyops_p2p.adapters.contracts.calling import Contract
from skyops_p2p.adapters.contracts.disputes import Disputes
from skyops_p2p.adapters.contracts.parameters import Directory, Parameters
from skyops_p2p.adapters.contracts.registry import NodeRegistry
from skyops_p2p.adapters.contracts.reservations import Reservations
from skyops_p2p.adapters.contracts.settlement import Settlement
from skyops_p2p.adapters.contracts.token import Token
from skyops_p2p.core.settlement.funds import NO_ACCOUNT, ContractSet
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.errors import ChainError, ChainRefusal
from skyops_p2p.ports import Chain, Store

PUBLISHED = ("Parameters", "SkyopsToken", "Settlement", "NodeRegistry", "Disputes", "Reservations")
"""The names in the Directory, in the order of ContractSet and of what is kept."""
_OTHER_CONTRACT = {"abi_mismatch", "call_reverted"}
"""What comes of asking a contract that is another one, or none."""
_KEPT_NAME = "contracts-{}-{}"
_CHECK_HINT = "Do not put money there; ask whoever runs the network for the right `payment.directory`."


@dataclass(frozen=True, slots=True)
class Contracts:
    """A network's contracts, ready to be asked."""

    chain: Chain
    places: ContractSet
    directory: Directory
    parameters: Parameters
    token: Token
    settlement: Settlement
    registry: NodeRegistry
    disputes: Disputes
    reservations: Reservations


def contracts_at(chain: Chain, places: ContractSet) -> Contracts:
    """Return the contracts at known places."""
    return Contracts(
        chain,
        places,
        Directory(chain, places.directory),
        Parameters(chain, places.parameters),
        Token(chain, places.token),
        Settlement(chain, places.settlement),
        NodeRegistry(chain, places.registry),
        Disputes(chain, places.disputes),
        Reservations(chain, places.reservations),
    )


async def find_contracts(chain: Chain, directory: bytes, store: Store | None) -> Contracts:
    """Return the contracts that a Directory leads to; those that the store has, if it has them.

    Args:
        chain: Where they are.
        directory: 20 bytes.
        store: The node's; None: nothing is kept.

    Raises:
        ChainError: The chain cannot be asked, and the store does not have them.
        ChainRefusal: `contracts_missing`, or `contracts_unfit`: they do not belong together.
        StoreError: The store cannot be used.
    """
    name = kept_name(chain.chain_id, directory)
    kept = None if store is None else await store.value(name)
    if kept is not None:
        return contracts_at(chain, read_kept(chain.chain_id, directory, kept))
    found = contracts_at(chain, await read_directory(chain, directory))
    await check_wiring(found)
    if store is not None:
        await store.set_value(name, _to_bytes(found.places))
    return found


async def read_directory(chain: Chain, directory: bytes) -> ContractSet:
    """Return the newest version of each contract.

    Raises:
        ChainRefusal: `contracts_missing`: there is no Directory, or it lacks a name.
    """
    address = address_from_bytes(directory)
    if not await chain.code(address):
        raise ChainRefusal(
            f"there is no contract at {address} on chain {chain.chain_id}",
            code="contracts_missing",
            hint="`payment.directory` and `chain.endpoints` must belong together; `skyops chain deploy` makes a set.",
        )
    asked = Directory(chain, directory)
    accounts = [await asked.latest(name) for name in PUBLISHED]
    missing = [name for name, account in zip(PUBLISHED, accounts, strict=True) if account == NO_ACCOUNT]
    if missing:
        raise ChainRefusal(
            f"the Directory at {address} does not name {', '.join(missing)}",
            code="contracts_missing",
            hint="Its deployment was not finished: `skyops chain deploy` by the same wallet goes on with it.",
        )
    return read_kept(chain.chain_id, directory, b"".join(accounts))


async def check_wiring(found: Contracts) -> None:
    """Check that contracts point to each other, and that arbiter and slashers are the ones that are published.

    Raises:
        ChainRefusal: `contracts_unfit`.
    """
    places = found.places
    pointers = {
        "Directory": (found.directory, "PARAMETERS", places.parameters),
        "Settlement, parameters": (found.settlement, "PARAMETERS", places.parameters),
        "Settlement, token": (found.settlement, "TOKEN", places.token),
        "Settlement, registry": (found.settlement, "REGISTRY", places.registry),
        "Settlement, arbiter": (found.settlement, "arbiter", places.disputes),
        "NodeRegistry, parameters": (found.registry, "PARAMETERS", places.parameters),
        "NodeRegistry, token": (found.registry, "TOKEN", places.token),
        "Disputes, settlement": (found.disputes, "SETTLEMENT", places.settlement),
        "Disputes, registry": (found.disputes, "REGISTRY", places.registry),
        "Disputes, token": (found.disputes, "TOKEN", places.token),
        "Reservations, registry": (found.reservations, "REGISTRY", places.registry),
        "Reservations, token": (found.reservations, "TOKEN", places.token),
    }
    wrong = [
        what
        for what, (contract, getter, wanted) in pointers.items()
        if not await _points_to(contract, getter, wanted)
    ]
    if not wrong:
        slashers = {"Disputes": places.disputes, "Reservations": places.reservations}
        wrong = [
            f"NodeRegistry, slasher {name}"
            for name, account in slashers.items()
            if not await found.registry.is_slasher(account)
        ]
    if wrong:
        raise ChainRefusal(
            f"the contracts of the Directory do not belong together: {'; '.join(wrong)}",
            code="contracts_unfit",
            hint=_CHECK_HINT,
        )


async def _points_to(contract: Contract, getter: str, wanted: bytes) -> bool:
    try:
        return await contract.account_of(f"{getter}()") == wanted
    except ChainError as error:
        if error.code not in _OTHER_CONTRACT:
            raise
        return False


def _to_bytes(places: ContractSet) -> bytes:
    return b"".join(_accounts(places))


def _accounts(places: ContractSet) -> tuple[bytes, ...]:
    """Return the accounts in the order of PUBLISHED."""
    return (
        places.parameters,
        places.token,
        places.settlement,
        places.registry,
        places.disputes,
        places.reservations,
    )


def kept_name(chain_id: int, directory: bytes) -> str:
    """Return the name of the store's value with the contracts that were found."""
    return _KEPT_NAME.format(chain_id, directory.hex())


def newer_names(kept: ContractSet, newest: ContractSet) -> tuple[str, ...]:
    """Return the names in the Directory of which a newer version is published than the one that a node uses."""
    pairs = zip(PUBLISHED, _accounts(kept), _accounts(newest), strict=True)
    return tuple(name for name, ours, theirs in pairs if ours != theirs)


def read_kept(chain_id: int, directory: bytes, accounts: bytes) -> ContractSet:
    """Return the contracts that the store's value names.

    Raises:
        ChainRefusal: `contracts_unfit`: it cannot be read.
    """
    if len(accounts) != 20 * len(PUBLISHED):
        raise ChainRefusal(
            "what this node's store says about the contracts cannot be read", code="contracts_unfit"
        )
    parts = [accounts[place : place + 20] for place in range(0, len(accounts), 20)]
    parameters, token, settlement, registry, disputes, reservations = parts
    return ContractSet(
        chain_id=chain_id,
        directory=directory,
        parameters=parameters,
        token=token,
        settlement=settlement,
        registry=registry,
        disputes=disputes,
        reservations=reservations,
    )
