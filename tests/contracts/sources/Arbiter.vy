# pragma version 0.4.3
# Does to a settlement what it is told; stands in for Disputes.

interface Settlement:
    def freeze(requester: address, worker: address, token: address): nonpayable
    def resolve(requester: address, worker: address, token: address, amount: uint256) -> uint256: nonpayable
    def freeze_job(job: bytes32): nonpayable
    def resolve_job(job: bytes32, is_refunded: bool): nonpayable

SETTLEMENT: immutable(address)


@deploy
def __init__(settlement: address):
    SETTLEMENT = settlement


@external
def freeze(requester: address, worker: address, token: address):
    extcall Settlement(SETTLEMENT).freeze(requester, worker, token)


@external
def resolve(requester: address, worker: address, token: address, amount: uint256) -> uint256:
    return extcall Settlement(SETTLEMENT).resolve(requester, worker, token, amount)


@external
def freeze_job(job: bytes32):
    extcall Settlement(SETTLEMENT).freeze_job(job)


@external
def resolve_job(job: bytes32, is_refunded: bool):
    extcall Settlement(SETTLEMENT).resolve_job(job, is_refunded)
