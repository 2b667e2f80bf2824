# pragma version 0.4.3
"""
@title Cumulative vouchers of a pair: requester, worker, token
@license Apache-2.0
@notice A voucher says how much the pair's jobs have cost in all, so the newest one is all that is needed; the contract
        pays the difference to what it has paid before, less the fee and the holdback. The receipts' root in it is of
        the append-only tree of all receipts of the pair: with it any single job can be proven.
@dev EIP-712, domain "Skyops Settlement", "1", chain, contract. What is in a pair's slot: see ledger.vy.
"""
from . import ledger
from . import merkle
from . import signatures

uses: ledger

event Redeemed:
    requester: indexed(address)
    worker: indexed(address)
    token: indexed(address)
    cumulative: uint256  # redeemed of the pair, with this
    credited: uint256  # to the worker, with what was released of the holdback
    held: uint256  # of the pair, after this
    receipts_root: bytes32

event HoldbackReleased:
    requester: indexed(address)
    worker: indexed(address)
    token: indexed(address)
    amount: uint256

event HoldbackFrozen:
    requester: indexed(address)
    worker: indexed(address)
    token: indexed(address)

event HoldbackResolved:
    requester: indexed(address)
    worker: indexed(address)
    token: indexed(address)
    seized: uint256  # given back to the requester

event OperatorSet:
    worker: indexed(address)
    operator: indexed(address)
    is_allowed: bool

struct Voucher:
    requester: address
    cumulative: uint96  # wei
    holdback_bps: uint16  # of what is paid, within the bounds of Parameters
    receipts_root: bytes32
    r: bytes32
    vs: bytes32  # EIP-2098

struct Receipt:
    job_id: bytes32
    execution_hash: bytes32
    log_hash: bytes32
    metering_hash: bytes32
    amount: uint256  # wei of the pair's token
    ended_unix_s: uint256

BATCH_MAX: constant(uint256) = 200
VOUCHER_TYPE: constant(bytes32) = keccak256(
    "Voucher(address worker,address token,uint96 cumulative,uint16 holdbackBps,bytes32 receiptsRoot)"
)
NAME_HASH: constant(bytes32) = keccak256("Skyops Settlement")

SEPARATOR: immutable(bytes32)
CHAIN: immutable(uint256)

receipts_roots: public(HashMap[bytes32, bytes32])  # pair -> root of the tree of its receipts
operators: public(HashMap[address, HashMap[address, bool]])  # worker -> who may redeem for it -> yes


@deploy
def __init__():
    SEPARATOR = signatures._separator(NAME_HASH)
    CHAIN = chain.id


@external
@nonreentrant
def redeem(worker: address, token: address, voucher: Voucher) -> uint256:
    """
    @notice Redeem one voucher, as far as the requester's money reaches; the rest stays to be redeemed later.
    @return What the worker's credit grew by.
    """
    self._only_worker(worker)
    credited: uint256 = 0
    fee: uint256 = 0
    unit: uint256 = ledger._unit(token)
    (credited, fee) = self._redeem(worker, token, voucher, ledger.terms, self._own_separator(), unit)
    assert credited + fee > 0, "nothing_to_redeem"
    ledger._pay(worker, token, credited, fee)
    return credited


@external
@nonreentrant
def redeem_batch(worker: address, token: address, vouchers: DynArray[Voucher, BATCH_MAX]) -> uint256:
    """
    @notice Redeem many vouchers of one worker and token. What has been redeemed or finds no money is passed over; a
            wrong signature undoes all.
    @return What the worker's credit grew by.
    """
    self._only_worker(worker)
    terms: uint256 = ledger.terms
    separator: bytes32 = self._own_separator()
    unit: uint256 = ledger._unit(token)
    credited: uint256 = 0
    fees: uint256 = 0
    for voucher: Voucher in vouchers:
        amount: uint256 = 0
        fee: uint256 = 0
        (amount, fee) = self._redeem(worker, token, voucher, terms, separator, unit)
        credited = unsafe_add(credited, amount)
        fees = unsafe_add(fees, fee)
    ledger._pay(worker, token, credited, fees)
    return credited


@external
@nonreentrant
def release(requester: address, worker: address, token: address) -> uint256:
    """@notice Credit a holdback whose window has closed. Anybody may. @return How much that was."""
    pair: bytes32 = ledger._pair(requester, worker, token)
    state: uint256 = ledger.pairs[pair]
    parts: uint256 = (state >> 64) & ledger.PART
    assert parts > 0, "nothing_held"
    assert state < ledger.DISPUTE, "disputed"
    assert block.timestamp >= (state >> 192) & ledger.SECONDS, "too_soon"
    ledger.pairs[pair] = state & ~(ledger.PART << 64)
    held: uint256 = parts * ledger._unit(token)
    ledger._pay(worker, token, held, 0)
    log HoldbackReleased(requester=requester, worker=worker, token=token, amount=held)
    return held


@external
def set_operator(operator: address, is_allowed: bool):
    """@notice Let another account redeem the caller's vouchers, such as a watch-tower. Money goes to the worker only."""
    self.operators[msg.sender][operator] = is_allowed
    log OperatorSet(worker=msg.sender, operator=operator, is_allowed=is_allowed)


@external
@nonreentrant
def freeze(requester: address, worker: address, token: address):
    """@notice Keep a pair's holdback until a dispute is decided; only inside the window, only by the arbiter."""
    ledger._only_arbiter()
    pair: bytes32 = ledger._pair(requester, worker, token)
    state: uint256 = ledger.pairs[pair]
    assert (state >> 64) & ledger.PART > 0, "nothing_held"
    assert block.timestamp < (state >> 192) & ledger.SECONDS, "too_late"
    ledger.pairs[pair] = state + ledger.DISPUTE
    log HoldbackFrozen(requester=requester, worker=worker, token=token)


@external
@nonreentrant
def resolve(requester: address, worker: address, token: address, amount: uint256) -> uint256:
    """
    @notice End one dispute's hold, and give up to `amount` of the holdback to the requester's deposit.
    @return What was given.
    """
    ledger._only_arbiter()
    pair: bytes32 = ledger._pair(requester, worker, token)
    state: uint256 = ledger.pairs[pair]
    assert state >= ledger.DISPUTE, "not_disputed"
    unit: uint256 = ledger._unit(token)
    parts: uint256 = min(amount // unit, (state >> 64) & ledger.PART)
    seized: uint256 = parts * unit
    ledger.pairs[pair] = state - ledger.DISPUTE - (parts << 64)
    ledger.deposits[requester][token] += seized
    log HoldbackResolved(requester=requester, worker=worker, token=token, seized=seized)
    return seized


@external
@view
def pair_state(
    requester: address, worker: address, token: address
) -> (uint256, uint256, uint256, uint256, uint256):
    """@return Redeemed, held and allotted wei; Unix s until which is held; number of open disputes."""
    state: uint256 = ledger.pairs[ledger._pair(requester, worker, token)]
    unit: uint256 = ledger._unit(token)
    return (
        (state & ledger.PART) * unit,
        ((state >> 64) & ledger.PART) * unit,
        ((state >> 128) & ledger.PART) * unit,
        (state >> 192) & ledger.SECONDS,
        state >> 224,
    )


@external
@view
def redeemable(requester: address, worker: address, token: address, cumulative: uint256) -> uint256:
    """@return What a voucher could draw now, before fee and holdback: what is promised, and there."""
    state: uint256 = ledger.pairs[ledger._pair(requester, worker, token)]
    unit: uint256 = ledger._unit(token)
    parts: uint256 = min(cumulative // unit, ledger.PART)
    if parts <= state & ledger.PART:
        return 0
    there: uint256 = ((state >> 128) & ledger.PART) + ledger.deposits[requester][token] // unit
    return min(parts - (state & ledger.PART), there) * unit


@external
@view
def prove_receipt(
    requester: address,
    worker: address,
    token: address,
    receipt: Receipt,
    index: uint256,
    count: uint256,
    path: DynArray[bytes32, merkle.DEPTH_MAX],
) -> bool:
    """@return Whether the receipt is leaf `index` of the `count` receipts under the pair's newest root."""
    root: bytes32 = self.receipts_roots[ledger._pair(requester, worker, token)]
    leaf: bytes32 = sha256(concat(b"\x00", abi_encode(receipt)))
    return merkle._contains(root, leaf, index, count, path)


@internal
def _redeem(
    worker: address, token: address, voucher: Voucher, terms: uint256, separator: bytes32, unit: uint256
) -> (uint256, uint256):
    """@return What the worker's credit grows by, and the fee; zeros where there is nothing to redeem."""
    pair: bytes32 = ledger._pair(voucher.requester, worker, token)
    state: uint256 = ledger.pairs[pair]
    redeemed: uint256 = state & ledger.PART
    wanted: uint256 = min(unsafe_div(convert(voucher.cumulative, uint256), unit), ledger.PART)
    if wanted <= redeemed:
        return 0, 0
    self._check(worker, token, voucher, separator)
    wanted = unsafe_sub(wanted, redeemed)
    allotted: uint256 = (state >> 128) & ledger.PART
    taken: uint256 = min(wanted, allotted)
    allotted = unsafe_sub(allotted, taken)
    if taken < wanted:
        taken += self._take(voucher.requester, token, wanted - taken, unit)
    if taken == 0:
        return 0, 0
    fee: uint256 = taken * (terms >> 240) // ledger.BP
    rate: uint256 = max(convert(voucher.holdback_bps, uint256), (terms >> 64) & 65535)
    held: uint256 = (taken - fee) * min(rate, (terms >> 48) & 65535) // ledger.BP
    credited: uint256 = taken - fee - held
    old: uint256 = (state >> 64) & ledger.PART
    until: uint256 = (state >> 192) & ledger.SECONDS
    if block.timestamp >= until and state < ledger.DISPUTE:
        credited += old
    else:
        held += old
    until = max(until, block.timestamp + ledger._window(terms, token, taken * unit))
    redeemed += taken
    ledger.pairs[pair] = redeemed | held << 64 | allotted << 128 | until << 192 | state >> 224 << 224
    self.receipts_roots[pair] = voucher.receipts_root
    log Redeemed(
        requester=voucher.requester,
        worker=worker,
        token=token,
        cumulative=redeemed * unit,
        credited=credited * unit,
        held=held * unit,
        receipts_root=voucher.receipts_root,
    )
    return credited * unit, fee * unit


@internal
@view
def _check(worker: address, token: address, voucher: Voucher, separator: bytes32):
    struct_hash: bytes32 = keccak256(
        abi_encode(
            VOUCHER_TYPE, worker, token, voucher.cumulative, voucher.holdback_bps, voucher.receipts_root
        )
    )
    digest: bytes32 = signatures._digest(separator, struct_hash)
    signer: address = signatures._compact_signer(digest, voucher.r, voucher.vs)
    assert signer == voucher.requester and signer != empty(address), "bad_signature"


@internal
def _take(requester: address, token: address, wanted: uint256, unit: uint256) -> uint256:
    """@notice Take from the deposit that all workers share. @return What was there of it, in units."""
    there: uint256 = ledger.deposits[requester][token]
    parts: uint256 = min(wanted, there // unit)
    if parts > 0:
        ledger.deposits[requester][token] = there - parts * unit
    return parts


@internal
@view
def _only_worker(worker: address):
    assert msg.sender == worker or self.operators[worker][msg.sender], "not_worker"


@internal
@view
def _own_separator() -> bytes32:
    if chain.id == CHAIN:
        return SEPARATOR
    return signatures._separator(NAME_HASH)  # the chain has forked
