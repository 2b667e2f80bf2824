"""Vectors of chapter 07, "Prices" and "Amounts": what each formula gives for what is put in, as decimal text."""

from typing import Any

from skyops_p2p.core.settlement import prices
from skyops_p2p.core.settlement.amounts import wei_of_credits
from skyops_p2p.types import MicroCredits

Case = dict[str, Any]
Given = dict[str, int]
SKY = 10**18
GWEI = 10**9


def price_cases() -> list[Case]:
    rows: list[tuple[str, str, Given]] = [
        *(("credits", name, {"microcredits": number}) for name, number in
          (("none", 0), ("one", 1), ("a credit", 10**6), ("the most", 2**53 - 1))),
        ("redemption", "all of it", _redeem(10 * SKY)),
        ("redemption", "the difference", _redeem(10 * SKY, redeemed=4 * SKY)),
        ("redemption", "no more than there is", _redeem(10 * SKY, funds=7 * SKY + 1)),
        ("redemption", "nothing that is not above the last", _redeem(4 * SKY, redeemed=4 * SKY)),
        ("redemption", "a lower one", _redeem(3 * SKY, redeemed=4 * SKY)),
        ("redemption", "less than a unit", _redeem(4 * SKY + GWEI - 1, redeemed=4 * SKY)),
        ("redemption", "a unit: fee and holdback round down to nothing", _redeem(GWEI)),
        ("redemption", "thirty-four units: a fee of one", _redeem(34 * GWEI)),
        ("redemption", "a holdback below the least", _redeem(SKY, holdback_bps=0)),
        ("redemption", "a holdback above the most", _redeem(SKY, holdback_bps=10_000)),
        ("redemption", "a fee of nothing", _redeem(SKY, fee_bps=0)),
        ("redemption", "in wei", _redeem(12_345, unit=1)),
        ("fee_shares", "of a fee", {"fee": 3 * SKY}),
        ("fee_shares", "what rounding leaves is burned", {"fee": 7}),
        *(("holdback_bps", f"for a trust of {trust}", {"trust_permille": trust})
          for trust in (0, 399, 400, 401, 500, 501, 713, 899, 900, 901, 1000)),
        ("refund", "what is not promised", {"funds": 10 * SKY, "cumulative": 7 * SKY, "redeemed": 5 * SKY}),
        ("refund", "nothing was promised", {"funds": 10 * SKY, "cumulative": 0, "redeemed": 0}),
        ("refund", "all is promised, and more", {"funds": SKY, "cumulative": 7 * SKY, "redeemed": 5 * SKY}),
        ("refund", "redeemed all that was promised", {"funds": SKY, "cumulative": 5 * SKY, "redeemed": 5 * SKY}),
        ("runway_s", "an hour", {"funds": 3 * SKY, "promised": SKY, "rate_wei": 2 * SKY}),
        ("runway_s", "rounded down", {"funds": 3 * SKY - 1, "promised": SKY, "rate_wei": 2 * SKY}),
        ("runway_s", "over", {"funds": SKY, "promised": 2 * SKY, "rate_wei": SKY}),
        ("exposure", "not paid ahead", {"rate_wei": SKY, "interval_ms": 60_000, "grace_ms": 6000, "prepaid_ms": 0}),
        ("exposure", "paid ahead", {"rate_wei": SKY, "interval_ms": 10_000, "grace_ms": 6000, "prepaid_ms": 10_000}),
        ("early_exit", "half used", {"prepaid": 10 * SKY, "used": 5 * SKY}),
        ("early_exit", "nothing used", {"prepaid": 10 * SKY, "used": 0}),
        ("early_exit", "all used", {"prepaid": 10 * SKY, "used": 10 * SKY}),
        ("early_exit", "the fee rounds up", {"prepaid": 10, "used": 3}),
        ("no_show", "an hour", {"rate_wei": 2 * SKY}),
        ("late_start", "in time", _late(0)),
        ("late_start", "a millisecond", _late(1)),
        ("late_start", "ten seconds", _late(10_000)),
        ("late_start", "a little more", _late(10_001)),
        ("late_start", "all of the interval", _late(40_001)),
        ("late_start", "never more than all", _late(10**6)),
        ("preemption", "since the checkpoint", {"rate_wei": SKY, "unsaved_ms": 12_345}),
        ("preemption", "a minute at most", {"rate_wei": SKY, "unsaved_ms": 60_001}),
    ]  # fmt: skip
    return [_case(formula, name, given) for formula, name, given in rows]


def _redeem(cumulative: int, **changes: int) -> Given:
    usual = {"redeemed": 0, "funds": 100 * SKY, "holdback_bps": 1000, "fee_bps": 300, "unit": GWEI}
    return {"cumulative": cumulative, **usual, **changes}


def _late(late_ms: int) -> Given:
    return {"rate_wei": SKY, "late_ms": late_ms, "interval_ms": 10_000}


def _case(formula: str, name: str, given: Given) -> Case:
    written = {key: str(number) for key, number in given.items()}
    gives = {key: str(number) for key, number in worked_out(formula, given).items()}
    return {"name": f"{formula}: {name}", "formula": formula, "given": written, "gives": gives}


def worked_out(formula: str, given: Given) -> dict[str, int]:
    """Return what the first implementation makes of a case."""
    match formula:
        case "credits":
            return {"wei": wei_of_credits(MicroCredits(given["microcredits"]))}
        case "redemption":
            keys = ("holdback_bps", "fee_bps", "unit")
            paid = prices.redemption(
                given["cumulative"], given["redeemed"], given["funds"], **{key: given[key] for key in keys}
            )
            return {name: getattr(paid, name) for name in ("taken", "fee", "held", "credited")}
        case "fee_shares":
            shares = prices.fee_shares(given["fee"])
            return {"pool": shares.pool, "fund": shares.fund, "burned": shares.burned}
        case "exposure":
            worker, requester = prices.exposure(
                given["rate_wei"], given["interval_ms"], given["grace_ms"], given["prepaid_ms"]
            )
            return {"worker": worker, "requester": requester}
        case "early_exit":
            refund, fee = prices.early_exit(given["prepaid"], given["used"])
            return {"refund": refund, "fee": fee}
    return {_UNIT_OF.get(formula, "wei"): getattr(prices, formula)(**given)}


_UNIT_OF = {"holdback_bps": "bps", "runway_s": "seconds"}
