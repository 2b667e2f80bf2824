"""May a node begin with the contracts that its settings name? Not while others still owe it something.

A data directory has the vouchers of its contracts. With another Directory in the settings nobody would redeem them, and
nobody would say so.
"""

from collections.abc import Iterable

from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount
from skyops_p2p.core.settlement.funds import ContractSet
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.errors import ConfigError
from skyops_p2p.node.settlement.journal import PairState


def check_same_contracts(pairs: Iterable[PairState], contracts: ContractSet) -> None:
    """Refuse contracts that are not those by which this node is owed something.

    Args:
        pairs: As the journal has them.
        contracts: Of the settings.

    Raises:
        ConfigError: `contracts_changed`.
    """
    owed: dict[bytes, int] = {}
    for pair in pairs:
        left_wei = pair.account.cumulative - pair.funds[0]
        if (
            pair.key.contract != contracts.settlement
            and not pair.key.is_payer
            and left_wei >= pair.terms.unit_wei
        ):
            owed[pair.key.contract] = owed.get(pair.key.contract, 0) + left_wei
    if not owed:
        return
    texts = [
        f"{format_amount(wei, SKYOPS)} by Settlement {address_from_bytes(one)}" for one, wei in owed.items()
    ]
    raise ConfigError(
        f"this data directory is owed {', and '.join(texts)}, which payment.directory leads to no more",
        code="contracts_changed",
        hint="Put the former payment.directory back and `skyops settle`; the new one takes a new data directory, as"
        " docs/chain.md says.",
    )
