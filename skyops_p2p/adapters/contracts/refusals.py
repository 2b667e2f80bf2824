"""What a contract's refusal means: its code, as the contract gives it, and a sentence for people."""

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from skyops_p2p.adapters.chain.abi import selector
from skyops_p2p.errors import ChainRefusal

_ERROR = selector("Error(string)")
_REASON_CHARS_MAX = 64

REASONS: dict[str, str] = {
    # money
    "paused": "the guardian has paused new commitments; withdrawals and redemptions go on",
    "wrong_eth_amount": "the coin that came with the call is not the amount",
    "transfer_failed": "the token did not move: is the balance large enough?",
    "took_too_much": "the token took more than was paid",
    "balance_too_small": "the account does not hold so many tokens",
    "allowance_too_small": "the contract is not approved to take so many tokens",
    "permit_expired": "the permit's deadline has passed",
    "no_faucet": "this token has no faucet",
    "faucet_too_soon": "the faucet gives once a day",
    "bad_decimals": "the token has too many decimals",
    "bad_address": "an account that must be there is zero, or is no contract",
    "bad_signature": "the signature is not that of the account, or not of this contract and chain",
    "deposit_too_small": "the deposit does not hold so much",
    "nothing_to_allot": "less than a unit (10^-9) cannot be allotted",
    "allotment_too_large": "the allotment would be larger than a pair can have",
    "nothing_allotted": "nothing is allotted to this worker",
    "not_requested": "it was not asked for before",
    "too_soon": "its delay or window is not over yet",
    "too_late": "its window has closed",
    "not_worker": "only the worker, or its operator, may do this",
    "not_requester": "only the requester may do this",
    "nothing_to_redeem": "the vouchers pay nothing now: redeemed before, or no money is left",
    "nothing_held": "nothing is held back of this pair",
    "disputed": "a dispute is open",
    "not_disputed": "no dispute is open",
    "not_arbiter": "only the Disputes contract may do this",
    "not_allowed": "this account has not the right",
    "no_payment": "a job is paid with more than nothing",
    "bad_deadline": "the deadline has passed or lies too far ahead",
    "wrong_state": "it is not in the state for this",
    "not_active": "the worker's node is not ACTIVE in NodeRegistry",
    # parameters and directory
    "unknown_key": "there is no such parameter",
    "not_governor": "only the governor may do this",
    "no_proposal": "nothing is proposed for this parameter",
    "out_of_bounds": "the value is outside the parameter's bounds",
    "not_paused": "it is not paused",
    "paused_lately": "the last pause ended too short a time ago",
    "bad_name": "a contract's name is not empty",
    # stake
    "registered_already": "this wallet has a node in NodeRegistry already",
    "no_binding": "a node is registered with the digest of its binding",
    "not_registered": "this wallet has no node in NodeRegistry",
    "slashed": "this wallet's node was slashed for good",
    "stake_too_small": "the stake is too small, or locked by reservations and seats",
    "nothing_unbonding": "no stake is unbonding",
    "not_slasher": "only the contracts that were bound may do this",
    # disputes
    "no_such_receipt": "the receipt is not under the pair's newest root",
    "too_old": "it is too long ago to be disputed",
    "amount_too_large": "the receipt's amount is more than was redeemed",
    "disputed_already": "this job has been disputed before",
    "charged_already": "the worker was slashed for this result before",
    "bad_result": "a commitment and a verdict must be named",
    "amount_too_small": "what the worker would lose does not pay a jury",
    "is_party": "a party of the dispute is no juror of it",
    "wrong_phase": "the jury is in another phase",
    "no_juror": "this account cannot be a juror: not ACTIVE, or registered after the dispute was opened",
    "no_such_ticket": "the stake does not cover this ticket",
    "seated_already": "this account sits in the jury already",
    "seats_taken": "all seats are taken by better tickets",
    "not_seated": "this account does not sit in the jury",
    "committed_already": "the vote was committed already",
    "bad_commitment": "the vote is not the one that was committed",
    "bad_vote": "a vote is 1 (the worker is right) or 2 (it is wrong)",
    "revealed_already": "the vote was revealed already",
    "no_more_appeals": "a dispute has two appeals",
    "not_loser": "only the side that lost may appeal",
    "settled_already": "the jury was settled already",
    "same_content": "the two statements say the same",
    "nothing_at_stake": "the account has nothing at stake",
    # reservations
    "bad_token": "reservations are in SKYOPS or ETH",
    "offer_expired": "the offer has expired",
    "bad_term": "the term is outside what the offer and the contract allow",
    "bad_start": "it must begin between now and 30 days ahead",
    "offer_taken": "the offer was taken or revoked already",
    "bad_price": "the price is nothing, or too large",
    "not_running": "the reservation does not run",
    "not_party": "only its requester or its worker may do this",
    "wrong_time": "it is too early or too late for this",
    "asked_lately": "a check-in may be asked for once a day",
    "stale_usage": "usage only grows",
    "not_checked_in": "the worker has not checked in",
    "nothing_to_draw": "nothing more is earned yet",
    "over": "the reservation is over",
    "refund_too_small": "the refund would be less than was asked for at least",
    "not_absent": "the worker has not missed a check-in",
}
"""A contract's code -> what it means; contracts/README.md lists who says what."""


def explained(refusal: ChainRefusal) -> ChainRefusal:
    """Return a refusal that says what the contract meant; one that is no contract's comes back as it is.

    Args:
        refusal: As the port Chain raises it; `data` holds what the call returned.
    """
    if refusal.code != "call_reverted":
        return refusal
    reason = revert_reason(refusal.data)
    if not reason:
        return refusal
    meaning = REASONS.get(reason)
    return ChainRefusal(
        f"{meaning} ({reason})" if meaning else f"the contract refuses: {reason}",
        code="call_reverted",
        hint="contracts/README.md says what each call wants.",
        data=refusal.data,
        reason=reason,
    )


def revert_reason(data: bytes) -> str:
    """Return the text of Error(string), or "" if that is not what a call returned."""
    if not data.startswith(_ERROR):
        return ""
    try:
        (text,) = decode(["string"], data[len(_ERROR) :])
    except (DecodingError, OverflowError, ValueError):
        return ""
    return "".join(letter if letter.isprintable() else " " for letter in text[:_REASON_CHARS_MAX])
