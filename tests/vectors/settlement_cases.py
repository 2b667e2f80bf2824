"""Vectors of chapter 07: lanes, vouchers, meters, what intervals cost, receipts and their trees, double histories."""

from dataclasses import replace
from typing import Any

from skyops_p2p.core.settlement.account import terms_from
from skyops_p2p.core.settlement.amounts import wei_to_bytes
from skyops_p2p.core.settlement.lanes import FactsPart, Lane, LaneTerms, offer_of
from skyops_p2p.core.settlement.meters import NOTHING, Counts, are_apart, smaller
from skyops_p2p.core.settlement.vouchers import PairTerms, digest_of, sign_voucher
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.wire.messages.settlement import LaneOffer, Voucher, VoucherItemPart
from skyops_p2p.wire.model import decode_message, encode_message
from tests.vectors.people import ALICE, BOB, CAROL, MALLORY, NOW, RULES
from tests.vectors.price_cases import price_cases
from tests.vectors.settlement_examples import CONTRACT, TOKEN

Case = dict[str, Any]
DISPUTES = bytes([0xD1] * 20)
PAIR = PairTerms(
    network=RULES.network,
    chain_id=RULES.chain_id,
    contract=CONTRACT,
    disputes=DISPUTES,
    token=TOKEN,
    requester=address_to_bytes(ALICE.wallet.address),
    worker=address_to_bytes(BOB.wallet.address),
    holdback_bps=1000,
)
RATE = 3_600_000 * 10**12
"""10^12 wei for each millisecond."""
AWARD = bytes([0xA0] * 32)
CAROL_ACCOUNT = address_to_bytes(CAROL.wallet.address)
FACTS = FactsPart(
    spec_digest=bytes([4] * 32),
    mode="priority",
    class_milli=6100,
    outcome="succeeded",
    result=bytes([2] * 32),
    log_head=bytes([3] * 32),
    started_unix_ms=NOW,
    ended_unix_ms=NOW + 10_999,
    verification="exact",
    redundancy=3,
)


def pair_written(pair: PairTerms = PAIR) -> Case:
    """Write who pays whom."""
    accounts = {
        name: getattr(pair, name).hex() for name in ("contract", "disputes", "token", "requester", "worker")
    }
    numbers = {"chain_id": pair.chain_id, "holdback_bps": pair.holdback_bps}
    return {"network": pair.network, **accounts, **numbers, "unit_wei": str(pair.unit_wei)}


def counts_written(counts: Counts) -> Case:
    return counts.part().model_dump()


def terms(number: int = 1, **changes: Any) -> LaneTerms:
    wanted: Case = {"job_id": bytes([number] * 16), "shard": 0, "epoch": 1, "award": AWARD, "rate_wei": RATE}
    return LaneTerms(**wanted | changes)


# --- lanes --------------------------------------------------------------------------------------------------------
def _offer(lane: LaneTerms, **changes: Any) -> bytes:
    return encode_message(offer_of(lane, PAIR).model_copy(update=changes))


def lane_cases() -> list[Case]:
    first, dear = terms(), terms(rate_wei=2**96 - 1)
    far = terms(2, shard=1023, epoch=2**31, prepaid_ms=10_000, interval_ms_max=300_000)
    rows: list[tuple[str, LaneTerms, bytes, str | None]] = [
        ("a lane", first, _offer(first), None),
        ("the last shard and epoch, paid ahead", far, _offer(far), None),
        ("the highest rate", dear, _offer(dear), None),
        ("the lowest rate", terms(rate_wei=1), _offer(terms(rate_wei=1)), None),
        ("a rate of nothing", first, _offer(first, rate=bytes(32)), "malformed"),
        ("a rate of 2^96", first, _offer(first, rate=wei_to_bytes(2**96)), "malformed"),
        ("named after another epoch", first, _offer(first, epoch=2), "wrong_terms"),
        ("named after another shard", first, _offer(first, shard=1), "wrong_terms"),
        ("named after another job", first, _offer(first, job_id=bytes(16)), "wrong_terms"),
        ("on another chain", first, _offer(first, chain_id=1), "wrong_network"),
        ("on another contract", first, _offer(first, contract=DISPUTES), "wrong_contract"),
        ("of another requester", first, _offer(first, requester=PAIR.worker), "wrong_pair"),
        ("in ETH", first, _offer(first, token=bytes(20)), "wrong_pair"),
        ("a lease that the worker does not know", first, _offer(terms(3)), "unknown_lane"),
        ("another epoch than was agreed", first, _offer(terms(epoch=2)), "unknown_lane"),
        ("another rate than was agreed", first, _offer(terms(rate_wei=RATE - 1)), "wrong_terms"),
        ("under another award", first, _offer(terms(award=bytes(32))), "wrong_terms"),
        ("paid ahead, which was not agreed", first, _offer(terms(prepaid_ms=1)), "wrong_terms"),
        ("longer intervals than were agreed", first, _offer(terms(interval_ms_max=60_001)), "wrong_terms"),
        ("another holdback", first, _offer(first, holdback_bps=500), "wrong_terms"),
        ("another chain and another contract", first, _offer(first, chain_id=1, contract=DISPUTES), "wrong_network"),
    ]  # fmt: skip
    needs = 16_000 * 10**12
    return [
        *(_lane_case(name, agreed, data, 2**100, code) for name, agreed, data, code in rows),
        _lane_case("a deposit for the first interval and 6 seconds", first, _offer(first), needs, None),
        _lane_case("a deposit that is a wei short", first, _offer(first), needs - 1, "deposit_too_small"),
        _lane_case("what is paid ahead must be covered", far, _offer(far), 26_000 * 10**12, None),
        _lane_case("and is not", far, _offer(far), 26_000 * 10**12 - 1, "deposit_too_small"),
    ]


def _lane_case(name: str, agreed: LaneTerms, data: bytes, allotted: int, code: str | None) -> Case:
    said = {
        "pair": pair_written(),
        "agreed": _offer(agreed).hex(),
        "allotted": str(allotted),
        "bytes": data.hex(),
    }
    if code is not None:
        return {"name": name, **said, "code": code}
    read = terms_from(decode_message(LaneOffer, data))
    return {"name": name, **said, "lane": read.lane.hex(), "rate": str(read.rate_wei)}


# --- vouchers -----------------------------------------------------------------------------------------------------
ITEM = VoucherItemPart(lane=terms().lane, interval=1, counts=Counts(runtime_ms=10_000).part())


def voucher(
    cumulative: int = 10**16, *, wallet: Wallet = ALICE.wallet, pair: PairTerms = PAIR, **changes: Any
) -> Voucher:
    """Sign a voucher, then change it: the signature is over what it was."""
    root = changes.pop("signed_root", bytes(32))
    signed = sign_voucher(pair, wallet, cumulative=cumulative, receipts_root=root, items=(ITEM,))
    return signed.model_copy(update=changes)


def voucher_cases() -> list[Case]:
    good = [
        ("an interval", voucher()),
        ("a wei", voucher(1)),
        ("all that fits", voucher(2**96 - 1)),
        ("with a root", voucher(signed_root=sha256(b"root"))),
    ]
    high_s = voucher().signature
    s = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 - int.from_bytes(
        high_s[32:64], "big"
    )
    mirrored = high_s[:32] + s.to_bytes(32, "big") + bytes([55 - high_s[64]])
    elsewhere = {
        "another chain": _other(chain_id=1),
        "another contract": _other(contract=DISPUTES),
        "another worker": _other(worker=CAROL_ACCOUNT),
        "ETH": _other(token=bytes(20)),
    }
    bad: list[tuple[str, Voucher, str]] = [
        ("for another chain", voucher(chain_id=1), "wrong_network"),
        ("for another contract", voucher(contract=DISPUTES), "wrong_contract"),
        ("of another requester", voucher(requester=PAIR.worker), "wrong_pair"),
        ("for another worker", voucher(worker=CAROL_ACCOUNT), "wrong_pair"),
        ("in ETH", voucher(token=bytes(20)), "wrong_pair"),
        ("with another holdback", voucher(holdback_bps=999), "wrong_terms"),
        ("of 2^96", voucher(cumulative=10**16).model_copy(update={"cumulative": wei_to_bytes(2**96)}), "malformed"),
        ("wrong in all", voucher(chain_id=1, contract=DISPUTES, token=bytes(20), holdback_bps=1), "wrong_network"),
        ("wrong in all but the chain", voucher(contract=DISPUTES, token=bytes(20), holdback_bps=1), "wrong_contract"),
        ("another pair and another holdback", voucher(token=bytes(20), holdback_bps=1), "wrong_pair"),
        ("signed by somebody else", voucher(wallet=MALLORY.wallet), "bad_signature"),
        ("with another amount than was signed", voucher(10**16 + 1, signature=high_s), "bad_signature"),
        ("with another root than was signed", voucher(receipts_root=bytes([1] * 32)), "bad_signature"),
        ("with s in the upper half", voucher(signature=mirrored), "bad_signature"),
        ("with v of 0", voucher(signature=high_s[:64] + bytes([high_s[64] - 27])), "bad_signature"),
        ("without a signature", voucher(signature=bytes(65)), "bad_signature"),
        *((f"whose signature is for {what}", voucher(signature=other), "bad_signature")
          for what, other in elsewhere.items()),
    ]  # fmt: skip
    return [
        *(
            {"name": name, "pair": pair_written(), "bytes": encode_message(one).hex(),
             "digest": digest_of(PAIR, _amount(one), one.receipts_root).hex(), "cumulative": str(_amount(one))}
            for name, one in good
        ),
        *(
            {"name": name, "pair": pair_written(), "bytes": encode_message(one).hex(), "code": code}
            for name, one, code in bad
        ),
    ]  # fmt: skip


def _amount(one: Voucher) -> int:
    return int.from_bytes(one.cumulative, "big")


def _other(**changes: Any) -> bytes:
    """Return a signature for another pair that is otherwise right."""
    return voucher(pair=replace(PAIR, **changes)).signature


# --- meters and what they cost ------------------------------------------------------------------------------------
_SLACK = {
    "runtime_ms": 2000,
    "gpu_ms": 32_000,
    "cpu_ms": 512_000,
    "memory_mib_s": 2048,
    "moved_bytes": 1 << 20,
}


def meter_cases() -> list[Case]:
    rows = [
        (
            "the same",
            Counts(10_000, 9500, 4000, 20_480, 1 << 20),
            Counts(10_000, 9500, 4000, 20_480, 1 << 20),
        ),
        ("nothing", NOTHING, NOTHING),
        ("one side has no runtime", Counts(2001), NOTHING),
        ("one side meters the runtime alone", Counts(10_000), Counts(10_000, 10**9, 10**9, 10**9, 10**9)),
    ]
    for name, slack in _SLACK.items():
        base = 50 * (slack + 1)
        rows += [
            (f"{name}: as much as two readings explain", _counts(name, 1 + slack), _counts(name, 1)),
            (f"{name}: more than two readings explain", _counts(name, 2 + slack), _counts(name, 1)),
            (f"{name}: two per cent of the larger", _counts(name, base), _counts(name, base - slack - 1)),
            (f"{name}: more than two per cent", _counts(name, base - 50), _counts(name, base - 51 - slack)),
            (f"{name}: the other side has less", _counts(name, 1), _counts(name, 2 + slack)),
        ]
    return [
        {
            "name": name,
            "requester": counts_written(first),
            "worker": counts_written(second),
            "smaller": counts_written(smaller(first, second)),
            "are_apart": are_apart(first, second),
        }
        for name, first, second in rows
    ]


def _counts(name: str, number: int) -> Counts:
    return Counts(**{"runtime_ms": 0} | {name: number})


Interval = tuple[int, int, bool, bool]
"""Runtime of the requester, of the worker, is it the last, does it bring a receipt."""


def cost_cases() -> list[Case]:
    going: list[Interval] = [(10_000, 10_000, False, False), (29_700, 30_000, False, False)]
    rows: list[tuple[str, int, int, list[Interval]]] = [
        ("each interval by the smaller total", RATE, 0, [*going, (45_000, 44_500, True, True)]),
        ("rounded down, by totals", 10**9 + 7, 0, [*going, (70_001, 70_003, False, False)]),
        (
            "paid ahead until the last",
            RATE,
            10_000,
            [(0, 0, False, False), *going, (30_500, 30_500, True, True)],
        ),
        (
            "a total never falls",
            RATE,
            0,
            [*going, (29_000, 31_000, False, False), (29_500, 50_000, True, False)],
        ),
        ("an interval costs a wei at least", 1, 0, going),
        ("with a receipt, a unit at least", 1, 0, [*going, (30_000, 30_000, True, True)]),
        ("a last one of nothing", RATE, 0, [(0, 0, True, True)]),
        ("the last gives nothing back", RATE, 60_000, [(0, 0, False, False), (10_000, 10_000, True, True)]),
        ("the highest rate", 2**96 - 1, 0, going),
    ]
    return [_cost_case(*row) for row in rows]


def _cost_case(name: str, rate: int, prepaid_ms: int, intervals: list[Interval]) -> Case:
    lane = Lane(terms(rate_wei=rate, prepaid_ms=prepaid_ms))
    written = []
    for mine, theirs, is_last, has_receipt in intervals:
        requester, worker = Counts(mine), Counts(theirs, theirs // 2)
        lane.is_last = is_last
        least = PAIR.unit_wei if has_receipt else 1
        lane = lane.paid_with(requester, worker, lane.cost(requester, worker, least_wei=least))
        said = {"requester": counts_written(requester), "worker": counts_written(worker)}
        written.append({**said, "is_last": is_last, "has_receipt": has_receipt, "amount": str(lane.paid)})
    said = {"rate": str(rate), "prepaid_ms": prepaid_ms, "unit_wei": str(PAIR.unit_wei)}
    return {"name": name, **said, "intervals": written, "metering_root": lane.tree.root.hex()}


FAMILIES = {
    "lanes": ("07-settlement.md, Lanes", lane_cases),
    "meters": ("07-settlement.md, Meters", meter_cases),
    "lane-costs": ("07-settlement.md, Meters", cost_cases),
    "vouchers": ("07-settlement.md, Vouchers", voucher_cases),
    "prices": ("07-settlement.md, Prices", price_cases),
}
