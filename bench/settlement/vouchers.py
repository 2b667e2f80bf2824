"""Vouchers and receipts: signed and verified a second, and what an interval costs both sides, beside the usual ways."""

import argparse
import time
from collections.abc import Callable, Sequence

from coincurve import PrivateKey, PublicKey
from eth_account import Account as EthAccount
from eth_account.messages import SignableMessage, encode_typed_data

from bench.tables import number, percentile, print_place, print_table, say
from skyops_p2p.core.settlement.receipts import ChainPlace, check_half, open_signed, sign_half
from skyops_p2p.core.settlement.vouchers import check_voucher, digest_of
from skyops_p2p.crypto.typed_data import SETTLEMENT_NAME
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.wire.messages.settlement import Voucher
from skyops_p2p.wire.model import decode_message, encode_message
from tests.unit.core.settlement.pair_world import ALICE, BOB, PAIR, RICH, World, terms
from tests.vectors.settlement_cases import voucher
from tests.vectors.signed_receipt_cases import receipt, signed_receipt

ROUNDS = 5
AMOUNT = 10**16
ROOT = bytes(32)
INTERVAL_S = 60
FIELDS = {"worker": "address", "token": "address", "cumulative": "uint96", "holdbackBps": "uint16",
          "receiptsRoot": "bytes32"}  # fmt: skip
Work = Callable[[int], object]


def rate(work: Work, seconds: float) -> tuple[float, float]:
    """Return how often work is done in a second: the median of five rounds, and the slowest of them."""
    found = []
    for _ in range(ROUNDS):
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds / ROUNDS:
            work(done)
            done += 1
        found.append(done / (time.perf_counter() - began))
    return percentile(found, 0.5), min(found)


def usual_form(cumulative: int) -> SignableMessage:
    """Return what eth-account is given to sign a voucher."""
    domain = {"name": SETTLEMENT_NAME, "version": "1", "chainId": PAIR.chain_id,
              "verifyingContract": address_from_bytes(PAIR.contract)}  # fmt: skip
    members = {"Voucher": [{"name": name, "type": kind} for name, kind in FIELDS.items()]}
    content = {"worker": address_from_bytes(PAIR.worker), "token": address_from_bytes(PAIR.token),
               "cumulative": cumulative, "holdbackBps": PAIR.holdback_bps, "receiptsRoot": ROOT}  # fmt: skip
    return encode_typed_data(domain_data=domain, message_types=members, message_data=content)


def works() -> list[tuple[str, str, Work]]:
    """Return (what, by what, one piece of it); each checks what it has computed, or gives what others check."""
    key, digest, signed = PrivateKey(ALICE.secret), digest_of(PAIR, AMOUNT, ROOT), voucher(AMOUNT)
    assert EthAccount.sign_message(usual_form(AMOUNT), ALICE.secret).signature == signed.signature
    bare, requester = key.sign_recoverable(digest, hasher=None), address_from_bytes(PAIR.requester)
    data, facts, both = encode_message(signed), encode_message(receipt()), signed_receipt(receipt())
    half, _ = sign_half(facts, ChainPlace(), BOB, PAIR.domain)

    def verify_usually(_: int) -> None:
        assert EthAccount.recover_message(usual_form(AMOUNT), signature=signed.signature) == requester

    return [
        ("sign 32 bytes", "coincurve: the bound", lambda _: key.sign_recoverable(digest, hasher=None)),
        ("sign a voucher", "skyops", lambda n: voucher(AMOUNT + n)),
        ("sign a voucher", "eth-account", lambda n: EthAccount.sign_message(usual_form(AMOUNT + n), ALICE.secret)),
        ("recover a key", "coincurve: the bound",
         lambda _: PublicKey.from_signature_and_message(bare, digest, hasher=None)),
        ("decode and verify a voucher", "skyops", lambda _: check_voucher(decode_message(Voucher, data), PAIR)),
        ("verify a voucher", "eth-account", verify_usually),
        ("sign half of a receipt", "skyops", lambda n: sign_half(facts, ChainPlace(n, ROOT), BOB, PAIR.domain)),
        ("verify half of a receipt", "skyops", lambda _: check_half(facts, half, PAIR.worker, PAIR.domain)),
        ("decode and verify a receipt, both halves", "skyops", lambda _: open_signed(both, PAIR.domain)),
    ]  # fmt: skip


def intervals(count: int) -> list[float]:
    """Return the milliseconds that each interval of a minute takes both machines, with all readings and messages."""
    world = World()
    world.both(RICH)
    world.begin(terms())
    world.settle()
    world.pass_time(10 + 20 + 40)
    times = []
    for _ in range(count):
        vouchers, began = len(world.vouchers), time.perf_counter()
        world.pass_time(INTERVAL_S)
        times.append((time.perf_counter() - began) * 1000)
        assert len(world.vouchers) == vouchers + 1
    return times


def jobs(count: int) -> list[float]:
    """Return the milliseconds of whole lanes, from the offer to the receipt with both halves, of one interval each."""
    world = World()
    world.both(RICH)
    times = []
    for job in range(1, count + 1):
        began = time.perf_counter()
        lane = world.begin(terms(job % 256, rate_wei=10**15 + job))
        world.settle()
        world.tick(1000)
        world.finish(lane)
        world.settle()
        times.append((time.perf_counter() - began) * 1000)
        assert not world.payer.account.lanes
    assert world.payer.account.receipts.count == count
    return times


def main(argv: Sequence[str]) -> None:
    """Run and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench settlement.vouchers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each row")
    parser.add_argument("--intervals", type=int, default=300)
    options = parser.parse_args(argv)
    rows: list[list[str]] = []
    for what, by, work in works():
        median, least = rate(work, options.seconds)
        rows.append([what, by, number(median), number(least), number(1e6 / median)])
        say(" ".join(rows[-1]))
    print_table(("what", "by", "a second, median of 5", "slowest of 5", "µs each"), rows)
    whole = [("an interval of a minute, 60 readings of each side", intervals(options.intervals)),
             ("a lane of one interval, with its receipt", jobs(min(options.intervals, 255)))]  # fmt: skip
    print_table(
        ("both machines, with encoding, signatures and records", "ms, p50", "ms, p99"),
        [[what, number(percentile(times, 0.5)), number(percentile(times, 0.99))] for what, times in whole],
    )
    print(
        "One core. Sizes: a Voucher of one interval has "
        f"{len(encode_message(voucher()))} bytes, a SignedReceipt with both halves {len(signed_receipt(receipt()))}."
    )
    print_place()
