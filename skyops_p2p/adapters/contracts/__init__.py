"""The market's contracts as the node uses them: calls with types, over the ports Chain and Sender.

One module for each contract makes orders and reads values; `finding` follows the Directory, `money` is the port Money,
`stake` the port StakeCheck, `deployment` puts a new set on a chain, `refusals` says what a revert means, `opening`
opens all of it. contracts/README.md says what the contracts do.
"""

from skyops_p2p.adapters.contracts.finding import Contracts, find_contracts
from skyops_p2p.adapters.contracts.money import ContractMoney
from skyops_p2p.adapters.contracts.opening import open_contracts, open_money
from skyops_p2p.adapters.contracts.stake import RegistryStake

__all__ = [
    "ContractMoney",
    "Contracts",
    "RegistryStake",
    "find_contracts",
    "open_contracts",
    "open_money",
]
