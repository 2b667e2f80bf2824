# pragma version 0.4.3
"""
@title Deposits, allotments, credits and fees of the settlement
@license Apache-2.0
@notice Every wei is in one place: a requester's deposit, an allotment of it to one worker, a worker's holdback or an
        escrowed job (kept by the parts that use this one), a worker's credit, or the fees. What leaves a deposit
        by the owner's wish waits for a delay, in which vouchers are still redeemed from it.
@dev Withdrawals never look at the pause. Terms are a copy of the Parameters, in one slot; anybody may renew it.
"""
from . import tokens

interface Parameters:
    def get(key: uint256) -> uint256: view
    def is_paused() -> bool: view

interface Token:
    def decimals() -> uint8: view

interface Burnable:
    def burn(amount: uint256): nonpayable

event Deposited:
    owner: indexed(address)
    token: indexed(address)
    amount: uint256  # what arrived

event Allotted:
    owner: indexed(address)
    worker: indexed(address)
    token: indexed(address)
    amount: uint256

event ReturnRequested:
    owner: indexed(address)
    worker: indexed(address)
    token: indexed(address)
    ready_at: uint256

event Returned:
    owner: indexed(address)
    worker: indexed(address)
    token: indexed(address)
    amount: uint256

event WithdrawalRequested:
    owner: indexed(address)
    token: indexed(address)
    amount: uint256
    ready_at: uint256

event Withdrawn:
    owner: indexed(address)
    token: indexed(address)
    to: address
    amount: uint256

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

event TermsRenewed:
    terms: uint256

event ArbiterBound:
    arbiter: indexed(address)

struct Withdrawal:
    amount: uint256
    ready_at: uint256  # Unix s; 0: none asked for

FEE_POOL: constant(uint256) = 0  # keys of Parameters
FEE_FUND: constant(uint256) = 1
FEE_BURN: constant(uint256) = 2
WINDOW: constant(uint256) = 3
LARGE_WINDOW: constant(uint256) = 4
LARGE_AMOUNT: constant(uint256) = 5
HOLDBACK_LEAST: constant(uint256) = 6
HOLDBACK_MOST: constant(uint256) = 7
WITHDRAWAL_DELAY: constant(uint256) = 8
SKYOPS_PER_ETH: constant(uint256) = 9
BONUS_POOL: constant(uint256) = 29
VERIFICATION_FUND: constant(uint256) = 30

BP: constant(uint256) = 10_000
UNIT: constant(uint256) = 10**9
DECIMALS_MAX: constant(uint256) = 36
# A pair's slot: redeemed 64 | held 64 | allotted 64, in units | held until, Unix s 32 | open disputes 32. One slot, so
# that the redemption of an allotted voucher writes two in all; the unit is 10^-9 of a token, or its least one.
PART: constant(uint256) = 2**64 - 1
SECONDS: constant(uint256) = 2**32 - 1
DISPUTE: constant(uint256) = 1 << 224

PARAMETERS: public(immutable(address))
TOKEN: public(immutable(address))  # SKYOPS: its burned part is destroyed, that of others is sent to BURNED

arbiter: public(address)  # the Disputes contract; bound once, for good
binder: address  # who may bind it: the deployer, until it has

pairs: public(HashMap[bytes32, uint256])  # pair -> packed slot, see above
deposits: public(HashMap[address, HashMap[address, uint256]])  # owner -> token -> wei, shared by all its workers
units: HashMap[address, uint256]  # token, other than SKYOPS and ETH -> its unit in wei; 0: never deposited
returns_at: public(HashMap[bytes32, uint256])  # pair -> when the allotment may be taken back, Unix s; 0: not asked
withdrawals: public(HashMap[address, HashMap[address, Withdrawal]])
credits: public(HashMap[address, HashMap[address, uint256]])  # owner -> token -> wei, to be collected at any time
fees: public(HashMap[address, uint256])  # token -> wei, to be paid out by anybody
terms: public(uint256)  # fee bp 16 | window s 32 | large window s 32 | large amount 96 | holdback bp 16, 16 | rate 32


@deploy
def __init__(parameters: address, token: address):
    assert parameters != empty(address) and token != empty(address), "bad_address"
    PARAMETERS = parameters
    TOKEN = token
    self.binder = msg.sender
    self._renew_terms()


@external
def bind_arbiter(arbiter: address):
    """@notice Say which contract judges disputes. Once, by the deployer, who has no other right and none after."""
    assert msg.sender == self.binder, "not_allowed"
    assert arbiter.is_contract, "bad_address"
    self.binder = empty(address)
    self.arbiter = arbiter
    log ArbiterBound(arbiter=arbiter)


@external
@payable
@nonreentrant
def deposit(token: address, amount: uint256, worker: address = empty(address)) -> uint256:
    """
    @notice Add to the caller's deposit, or to its allotment for one worker. ETH comes with the call.
    @param worker Zero: the deposit that all workers share.
    @return What arrived.
    """
    return self._deposit(token, amount, worker, msg.value)


@external
@nonreentrant
def deposit_with_permit(
    token: address, amount: uint256, worker: address, deadline: uint256, v: uint8, r: bytes32, s: bytes32
) -> uint256:
    """@notice The same for a token with EIP-2612; a permit that somebody has carried already is no harm."""
    ok: bool = raw_call(
        token,
        abi_encode(
            msg.sender, self, amount, deadline, v, r, s,
            method_id=method_id("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)"),
        ),
        revert_on_failure=False,
    )
    return self._deposit(token, amount, worker, 0)


@external
@nonreentrant
def allot(worker: address, token: address, amount: uint256):
    """@notice Move a part of the caller's deposit where only this worker's vouchers can draw on it, in whole units."""
    assert worker != empty(address), "bad_address"
    assert self.deposits[msg.sender][token] >= amount, "deposit_too_small"
    self.deposits[msg.sender][token] -= amount
    self._allot(msg.sender, worker, token, amount)


@external
@nonreentrant
def request_return(worker: address, token: address):
    """@notice Ask for an allotment back; after the delay what is left of it can be taken."""
    pair: bytes32 = self._pair(msg.sender, worker, token)
    assert (self.pairs[pair] >> 128) & PART > 0, "nothing_allotted"
    ready_at: uint256 = block.timestamp + self._parameter(WITHDRAWAL_DELAY)
    self.returns_at[pair] = ready_at
    log ReturnRequested(owner=msg.sender, worker=worker, token=token, ready_at=ready_at)


@external
@nonreentrant
def take_back(worker: address, token: address) -> uint256:
    """@notice Move what is left of an allotment to the caller's deposit. @return That."""
    pair: bytes32 = self._pair(msg.sender, worker, token)
    self._assert_ready(self.returns_at[pair])
    state: uint256 = self.pairs[pair]
    amount: uint256 = ((state >> 128) & PART) * self._unit(token)
    self.returns_at[pair] = 0
    self.pairs[pair] = state & ~(PART << 128)
    self.deposits[msg.sender][token] += amount
    log Returned(owner=msg.sender, worker=worker, token=token, amount=amount)
    return amount


@external
@nonreentrant
def request_withdrawal(token: address, amount: uint256):
    """@notice Announce a withdrawal. Replaces an earlier one; 0 takes it back."""
    assert self.deposits[msg.sender][token] >= amount, "deposit_too_small"
    ready_at: uint256 = 0
    if amount > 0:
        ready_at = block.timestamp + self._parameter(WITHDRAWAL_DELAY)
    self.withdrawals[msg.sender][token] = Withdrawal(amount=amount, ready_at=ready_at)
    log WithdrawalRequested(owner=msg.sender, token=token, amount=amount, ready_at=ready_at)


@external
@nonreentrant
def withdraw(token: address, to: address) -> uint256:
    """@notice Pay what was announced, or what redemptions have left of it. @return That."""
    assert to != empty(address), "bad_address"
    asked: Withdrawal = self.withdrawals[msg.sender][token]
    self._assert_ready(asked.ready_at)
    amount: uint256 = min(asked.amount, self.deposits[msg.sender][token])
    self.withdrawals[msg.sender][token] = empty(Withdrawal)
    self.deposits[msg.sender][token] -= amount
    log Withdrawn(owner=msg.sender, token=token, to=to, amount=amount)
    tokens._push(token, to, amount)
    return amount


@external
@nonreentrant
def collect(token: address, to: address) -> uint256:
    """@notice Pay the caller's credit. @return That."""
    assert to != empty(address), "bad_address"
    amount: uint256 = self.credits[msg.sender][token]
    self.credits[msg.sender][token] = 0
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
    burned: uint256 = total - pool - fund
    self.fees[token] = 0
    log FeesPaid(token=token, pool=pool, fund=fund, burned=burned)
    tokens._push(token, self._place(BONUS_POOL), pool)
    tokens._push(token, self._place(VERIFICATION_FUND), fund)
    if token == TOKEN:
        extcall Burnable(token).burn(burned)
    else:
        tokens._push(token, tokens.BURNED, burned)
    return total


@external
def renew_terms():
    """@notice Copy what has changed in Parameters. Anybody may."""
    self._renew_terms()


@external
@view
def pair_of(requester: address, worker: address, token: address) -> bytes32:
    return self._pair(requester, worker, token)


@internal
def _deposit(token: address, amount: uint256, worker: address, sent: uint256) -> uint256:
    assert not staticcall Parameters(PARAMETERS).is_paused(), "paused"
    received: uint256 = tokens._pull(token, msg.sender, amount, sent)
    log Deposited(owner=msg.sender, token=token, amount=received)
    self._learn_unit(token)
    if worker == empty(address):
        self.deposits[msg.sender][token] += received
    else:
        self._allot(msg.sender, worker, token, received)
    return received


@internal
def _learn_unit(token: address):
    """@notice Ask a token once how fine it is."""
    if token == tokens.ETH or token == TOKEN or self.units[token] > 0:
        return
    decimals: uint256 = convert(staticcall Token(token).decimals(), uint256)
    assert decimals <= DECIMALS_MAX, "bad_decimals"
    self.units[token] = 1 if decimals <= 9 else 10**(decimals - 9)


@internal
@view
def _unit(token: address) -> uint256:
    if token == TOKEN or token == tokens.ETH:
        return UNIT
    return max(1, self.units[token])


@internal
def _allot(owner: address, worker: address, token: address, amount: uint256):
    """@notice Allot what is no part of the deposit any more; what is less than a unit goes there."""
    unit: uint256 = self._unit(token)
    parts: uint256 = amount // unit
    assert parts > 0, "nothing_to_allot"
    pair: bytes32 = self._pair(owner, worker, token)
    assert parts + ((self.pairs[pair] >> 128) & PART) <= PART, "allotment_too_large"
    self.pairs[pair] += parts << 128
    self.returns_at[pair] = 0  # who adds has changed its mind about a return
    if amount > parts * unit:
        self.deposits[owner][token] += amount - parts * unit
    log Allotted(owner=owner, worker=worker, token=token, amount=parts * unit)


@internal
def _renew_terms():
    fee: uint256 = self._parameter(FEE_POOL) + self._parameter(FEE_FUND) + self._parameter(FEE_BURN)
    packed: uint256 = fee << 240 | self._parameter(WINDOW) << 208 | self._parameter(LARGE_WINDOW) << 176
    packed |= self._parameter(LARGE_AMOUNT) << 80
    packed |= self._parameter(HOLDBACK_LEAST) << 64 | self._parameter(HOLDBACK_MOST) << 48
    self.terms = packed | self._parameter(SKYOPS_PER_ETH)
    log TermsRenewed(terms=self.terms)


@internal
def _pay(owner: address, token: address, amount: uint256, fee: uint256):
    """@notice Credit what has been earned, and set the fee aside."""
    if amount > 0:
        self.credits[owner][token] += amount
    if fee > 0:
        self.fees[token] += fee


@internal
@view
def _window(terms: uint256, token: address, amount: uint256) -> uint256:
    """@return The challenge window of a payment, s. Tokens without a known price have the long one."""
    value_in_skyops: uint256 = amount
    if token == tokens.ETH:
        value_in_skyops = amount * (terms & (2**32 - 1))
    elif token != TOKEN:
        return (terms >> 176) & (2**32 - 1)
    if value_in_skyops > (terms >> 80) & (2**96 - 1):
        return (terms >> 176) & (2**32 - 1)
    return (terms >> 208) & (2**32 - 1)


@internal
@view
def _assert_ready(ready_at: uint256):
    assert ready_at != 0, "not_requested"
    assert block.timestamp >= ready_at, "too_soon"


@internal
@view
def _only_arbiter():
    assert msg.sender == self.arbiter, "not_arbiter"


@internal
@view
def _parameter(key: uint256) -> uint256:
    return staticcall Parameters(PARAMETERS).get(key)


@internal
@view
def _place(key: uint256) -> address:
    return convert(convert(self._parameter(key), uint160), address)


@internal
@pure
def _pair(requester: address, worker: address, token: address) -> bytes32:
    return keccak256(abi_encode(requester, worker, token))
