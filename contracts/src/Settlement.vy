# pragma version 0.4.3
"""
@title Settlement: deposits, vouchers and the escrow of jobs
@license Apache-2.0
@notice The one contract that holds what requesters have put in and workers have earned. It cannot be changed, has no
        owner, and no call of it moves anybody's balance but the owner's own or by the owner's signature; the arbiter,
        bound once, can give a holdback or an escrowed payment back to the requester it came from, nothing else.
"""
from .parts import escrow
from .parts import ledger
from .parts import vouchers

initializes: ledger
initializes: vouchers[ledger := ledger]
initializes: escrow[ledger := ledger]

exports: (
    ledger.PARAMETERS,
    ledger.TOKEN,
    ledger.allot,
    ledger.arbiter,
    ledger.bind_arbiter,
    ledger.collect,
    ledger.credits,
    ledger.deposit,
    ledger.deposit_with_permit,
    ledger.deposits,
    ledger.fees,
    ledger.pair_of,
    ledger.pay_fees,
    ledger.renew_terms,
    ledger.request_return,
    ledger.request_withdrawal,
    ledger.returns_at,
    ledger.take_back,
    ledger.terms,
    ledger.withdraw,
    ledger.withdrawals,
    vouchers.freeze,
    vouchers.operators,
    vouchers.pair_state,
    vouchers.prove_receipt,
    vouchers.receipts_roots,
    vouchers.redeem,
    vouchers.redeem_batch,
    vouchers.redeemable,
    vouchers.release,
    vouchers.resolve,
    vouchers.set_operator,
    escrow.REGISTRY,
    escrow.accept,
    escrow.cancel,
    escrow.claim,
    escrow.complete,
    escrow.expire,
    escrow.fail,
    escrow.freeze_job,
    escrow.job_count,
    escrow.jobs,
    escrow.post_job,
    escrow.release_job,
    escrow.resolve_job,
)


@deploy
def __init__(parameters: address, token: address, registry: address):
    ledger.__init__(parameters, token)
    vouchers.__init__()
    escrow.__init__(registry)
