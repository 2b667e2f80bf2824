# pragma version 0.4.3
"""
@title What is owed to whom, and the fees
@license Apache-2.0
@notice Everybody collects what he is owed himself; anybody may send the fees where they belong.
"""
from . import tokens

interface Parameters:
    def get(key: uint256) -> uint256: view

interface Burnable:
    def burn(amount: uint256): nonpayable

event Collected:
    owner: indexed(address)
    token: indexed(address)
    to: address
    amount: uint256

event FeesPaid:
    token: indexed(address)
    pool: uint256
    fund: uint256
    burned: uint256

BP: constant(uint256) = 10_000

FEE_POOL: constant(uint256) = 0  # keys of Parameters
FEE_FUND: constant(uint256) = 1
FEE_BURN: constant(uint256) = 2
BONUS_POOL: constant(uint256) = 29
VERIFICATION_FUND: constant(uint256) = 30

PARAMETERS: public(immutable(address))
TOKEN: public(immutable(address))

owed: public(HashMap[address, HashMap[address, uint256]])  # owner -> token -> wei, to be collected at any time
fees: public(HashMap[address, uint256])


@deploy
def __init__(parameters: address, token: address):
    PARAMETERS = parameters
    TOKEN = token


@external
@nonreentrant
def collect(token: address, to: address) -> uint256:
    """@notice Pay what the caller is owed. @return That."""
    assert to != empty(address), "bad_address"
    amount: uint256 = self.owed[msg.sender][token]
    self.owed[msg.sender][token] = 0
    log Collected(owner=msg.sender, token=token, to=to, amount=amount)
    tokens._push(token, to, amount)
    return amount


@external
@nonreentrant
def pay_fees(token: address) -> uint256:
    """@notice Send the fees of a token where they belong. Anybody may. @return How much that was."""
    total: uint256 = self.fees[token]
    pool: uint256 = self._parameter(FEE_POOL)
    fund: uint256 = self._parameter(FEE_FUND)
    whole: uint256 = max(1, pool + fund + self._parameter(FEE_BURN))
    pool = total * pool // whole
    fund = total * fund // whole
    self.fees[token] = 0
    log FeesPaid(token=token, pool=pool, fund=fund, burned=total - pool - fund)
    tokens._push(token, self._place(BONUS_POOL), pool)
    tokens._push(token, self._place(VERIFICATION_FUND), fund)
    if token == TOKEN:
        extcall Burnable(token).burn(total - pool - fund)
    else:
        tokens._push(token, tokens.BURNED, total - pool - fund)
    return total


@internal
def _earn(owner: address, token: address, amount: uint256) -> uint256:
    """@notice Owe what has been earned less the fee. @return The fee."""
    rate: uint256 = self._parameter(FEE_POOL) + self._parameter(FEE_FUND) + self._parameter(FEE_BURN)
    fee: uint256 = amount * rate // BP
    self.owed[owner][token] += amount - fee
    self.fees[token] += fee
    return fee


@internal
@view
def _parameter(key: uint256) -> uint256:
    return staticcall Parameters(PARAMETERS).get(key)


@internal
@view
def _place(key: uint256) -> address:
    return convert(convert(self._parameter(key), uint160), address)
