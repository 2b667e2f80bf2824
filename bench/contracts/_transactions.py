"""What a call costs as a transaction of its own, on py-evm."""

from typing import Any

import boa
from boa.contracts.vyper.vyper_contract import VyperContract

from tests.contracts.chain import Person

TRANSACTION = 21_000
Row = tuple[str, int, int]


def gas_of(contract: VyperContract, call: str, *args: Any, sender: Person, value: int = 0) -> int:
    """Send a call as a transaction of its own; return what it would be charged."""
    state = boa.env.evm.vm.state
    state.lock_changes()  # begins a transaction: storage is what it was, and everything is cold
    precompiles = [number.to_bytes(20, "big") for number in range(1, 11)]
    for address in (bytes.fromhex(contract.address[2:]), bytes.fromhex(sender.address[2:]), *precompiles):
        state.mark_address_warm(address)
    getattr(contract, call)(*args, sender=sender.address, value=value)
    done = contract._computation
    data = sum(16 if byte else 4 for byte in done.msg.data)
    total = TRANSACTION + data + int(done.get_gas_used())
    return total - min(int(done.get_gas_refund()), total // 5)
