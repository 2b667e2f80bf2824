# pragma version 0.4.3
"""
@title Money in and out: ERC-20 tokens, and ETH as the zero address
@license Apache-2.0
@notice Tokens that return nothing are accepted; what counts is how the balance changed, so that tokens with a fee on
        transfer cannot make anybody owe what never arrived, nor take more than was paid.
"""
from ethereum.ercs import IERC20

ETH: constant(address) = empty(address)
BURNED: constant(address) = 0x000000000000000000000000000000000000dEaD


@internal
def _pull(token: address, owner: address, amount: uint256, sent: uint256) -> uint256:
    """
    @notice Take `amount` from the owner, who has approved it, or keep the ETH that came with the call.
    @param sent What came with the call, wei.
    @return What arrived.
    """
    if token == ETH:
        assert sent == amount, "wrong_eth_amount"
        return amount
    assert sent == 0, "wrong_eth_amount"
    before: uint256 = staticcall IERC20(token).balanceOf(self)
    assert extcall IERC20(token).transferFrom(owner, self, amount, default_return_value=True), "transfer_failed"
    return staticcall IERC20(token).balanceOf(self) - before


@internal
def _push(token: address, to: address, amount: uint256):
    """@notice Pay, after all books are closed. More than `amount` never leaves."""
    if amount == 0:
        return
    if token == ETH:
        raw_call(to, b"", value=amount)
        return
    before: uint256 = staticcall IERC20(token).balanceOf(self)
    assert extcall IERC20(token).transfer(to, amount, default_return_value=True), "transfer_failed"
    assert staticcall IERC20(token).balanceOf(self) + amount >= before, "took_too_much"
