# pragma version 0.4.3
"""
@title SKYOPS, the market's token
@license Apache-2.0
@notice ERC-20 with EIP-2612 permits. The whole supply is made at deployment; it can only be burned after.
        Where the deployment says so (test networks) a faucet gives a fixed amount to an account once a day.
@dev Sources: EIP-20, EIP-712, EIP-2612. No owner, no minter, no pause.
"""
from ethereum.ercs import IERC20
from .parts import signatures

implements: IERC20

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

event Approval:
    owner: indexed(address)
    spender: indexed(address)
    value: uint256

name: public(constant(String[6])) = "Skyops"
symbol: public(constant(String[6])) = "SKYOPS"
decimals: public(constant(uint8)) = 18
FAUCET_INTERVAL_S: public(constant(uint256)) = 86400

PERMIT_TYPE: constant(bytes32) = keccak256(
    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)
NAME_HASH: constant(bytes32) = keccak256("Skyops")

FAUCET_AMOUNT: public(immutable(uint256))  # what one call gives, in wei; 0: there is no faucet

totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
nonces: public(HashMap[address, uint256])  # of permits
faucet_next: public(HashMap[address, uint256])  # when an account may ask again, Unix s


@deploy
def __init__(holder: address, supply: uint256, faucet_amount: uint256):
    assert holder != empty(address), "bad_address"
    FAUCET_AMOUNT = faucet_amount
    self._mint(holder, supply)


@external
def transfer(to: address, amount: uint256) -> bool:
    self._move(msg.sender, to, amount)
    return True


@external
def transferFrom(sender: address, to: address, amount: uint256) -> bool:
    allowed: uint256 = self.allowance[sender][msg.sender]
    assert allowed >= amount, "allowance_too_small"
    if allowed != max_value(uint256):  # the greatest allowance is never used up
        self._approve(sender, msg.sender, allowed - amount)
    self._move(sender, to, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    self._approve(msg.sender, spender, amount)
    return True


@external
def burn(amount: uint256):
    """@notice Destroy tokens of the caller."""
    assert self.balanceOf[msg.sender] >= amount, "balance_too_small"
    self.balanceOf[msg.sender] -= amount
    self.totalSupply -= amount
    log Transfer(sender=msg.sender, receiver=empty(address), value=amount)


@external
def permit(
    owner: address, spender: address, amount: uint256, deadline: uint256, v: uint8, r: bytes32, s: bytes32
):
    """@notice Set an allowance by the owner's signature (EIP-2612). `deadline` is in Unix s."""
    assert block.timestamp <= deadline, "permit_expired"
    nonce: uint256 = self.nonces[owner]
    struct_hash: bytes32 = keccak256(abi_encode(PERMIT_TYPE, owner, spender, amount, nonce, deadline))
    digest: bytes32 = signatures._digest(signatures._separator(NAME_HASH), struct_hash)
    assert owner != empty(address), "bad_signature"
    assert signatures._signer(digest, v, r, s) == owner, "bad_signature"
    self.nonces[owner] = nonce + 1
    self._approve(owner, spender, amount)


@external
def faucet():
    """@notice Give the caller FAUCET_AMOUNT, once in FAUCET_INTERVAL_S; only on test networks."""
    assert FAUCET_AMOUNT > 0, "no_faucet"
    assert block.timestamp >= self.faucet_next[msg.sender], "faucet_too_soon"
    self.faucet_next[msg.sender] = block.timestamp + FAUCET_INTERVAL_S
    self._mint(msg.sender, FAUCET_AMOUNT)


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    return signatures._separator(NAME_HASH)


@internal
def _move(sender: address, to: address, amount: uint256):
    assert to != empty(address), "bad_address"
    assert self.balanceOf[sender] >= amount, "balance_too_small"
    self.balanceOf[sender] -= amount
    self.balanceOf[to] += amount
    log Transfer(sender=sender, receiver=to, value=amount)


@internal
def _approve(owner: address, spender: address, amount: uint256):
    self.allowance[owner][spender] = amount
    log Approval(owner=owner, spender=spender, value=amount)


@internal
def _mint(to: address, amount: uint256):
    self.totalSupply += amount
    self.balanceOf[to] += amount
    log Transfer(sender=empty(address), receiver=to, value=amount)
