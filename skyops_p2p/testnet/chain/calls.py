"""Calls of the embedded chain that keep no effects, and estimates of gas."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from eth.estimators.gas import binary_gas_search_1000_tolerance
from eth.exceptions import VMError
from eth.vm.spoof import SpoofTransaction
from eth_utils.exceptions import ValidationError

from skyops_p2p.testnet.chain.refusals import Refused


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What `eth_call` and `eth_estimateGas` are asked."""

    sender: bytes
    to: bytes
    """Empty: a creation."""
    value: int
    data: bytes
    gas: int


def run_call(vm: Any, request: CallRequest, *, is_next: bool) -> bytes:
    """Run a call; see `EmbeddedChain.call`."""
    with _refusing(), _costless(vm, is_next=is_next) as state:
        computation = state.costless_execute_transaction(_spoofed(vm, request))
        computation.raise_if_error()
    output: bytes = computation.output
    return output


def estimate_gas(vm: Any, request: CallRequest, *, is_next: bool) -> int:
    """Find out what gas a call takes; see `EmbeddedChain.estimate`."""
    with _refusing(), _costless(vm, is_next=is_next) as state:
        gas: int = binary_gas_search_1000_tolerance(state, _spoofed(vm, request))
    return gas


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except VMError as error:
        data = error.args[0] if error.args and isinstance(error.args[0], bytes) else b""
        raise Refused(f"execution reverted: {type(error).__name__}", number=3, data=data) from error
    except ValidationError as error:
        raise Refused(str(error)) from error


@contextmanager
def _costless(vm: Any, *, is_next: bool) -> Iterator[Any]:
    """Yield a state in which nothing has to be paid: in the block after the machine's, or in its own."""
    if is_next:
        with vm.in_costless_state() as state:
            yield state
    else:
        header = vm.get_header().copy(base_fee_per_gas=0)
        yield vm.build_state(vm.chaindb.db, header, vm.chain_context, vm.previous_hashes)


def _spoofed(vm: Any, request: CallRequest) -> Any:
    unsigned = vm.create_unsigned_transaction(
        nonce=vm.state.get_nonce(request.sender),
        gas_price=0,
        gas=request.gas,
        to=request.to,
        value=request.value,
        data=request.data,
    )
    return SpoofTransaction(unsigned, from_=request.sender)
