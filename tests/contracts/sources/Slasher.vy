# pragma version 0.4.3
# Does to a registry what it is told; stands in for Disputes and Reservations.

interface NodeRegistry:
    def lock(owner: address, amount: uint256): nonpayable
    def unlock(owner: address, amount: uint256): nonpayable
    def hold(owner: address, is_held: bool): nonpayable
    def slash(owner: address, amount: uint256, is_final: bool) -> uint256: nonpayable

REGISTRY: immutable(address)


@deploy
def __init__(registry: address):
    REGISTRY = registry


@external
def lock(owner: address, amount: uint256):
    extcall NodeRegistry(REGISTRY).lock(owner, amount)


@external
def unlock(owner: address, amount: uint256):
    extcall NodeRegistry(REGISTRY).unlock(owner, amount)


@external
def hold(owner: address, is_held: bool):
    extcall NodeRegistry(REGISTRY).hold(owner, is_held)


@external
def slash(owner: address, amount: uint256, is_final: bool) -> uint256:
    return extcall NodeRegistry(REGISTRY).slash(owner, amount, is_final)
