"""Settlement: vouchers, holdbacks, operators, the arbiter's hold, and receipts that are proven from a root."""

import boa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyops_p2p.core.auction.merkle import MerkleTree
from tests.contracts.chain import DAY, ETH, HOUR, UNIT, Person, deploy, domain_of, events, person, sha256
from tests.contracts.settled import ROOT, Settled, pay_parts, receipt


def test_redemption_pays_the_difference_less_fee_and_holdback(
    settled: Settled, alice: Person, bob: Person
) -> None:
    credited, held, fee = pay_parts(10 * UNIT)
    assert settled.redeem(alice, bob, 10 * UNIT) == credited
    fields = {
        "requester": alice.address, "worker": bob.address, "token": settled.token.address,
        "cumulative": 10 * UNIT, "credited": credited, "held": held, "receipts_root": ROOT,
    }  # fmt: skip
    assert events(settled.settlement) == [("Redeemed", fields)]
    assert settled.deposit_of(alice) == 90 * UNIT
    assert settled.credit_of(bob) == credited
    assert settled.settlement.fees(settled.token.address) == fee
    assert settled.state(alice, bob)[:4] == (10 * UNIT, held, 0, boa.env.timestamp + HOUR)
    pair = settled.settlement.pair_of(alice.address, bob.address, settled.token.address)
    assert settled.settlement.receipts_roots(pair) == ROOT


def test_ripe_holdback_comes_with_the_next_redemption(settled: Settled, alice: Person, bob: Person) -> None:
    first, held, _ = pay_parts(10 * UNIT)
    settled.redeem(alice, bob, 10 * UNIT)
    boa.env.time_travel(seconds=HOUR)
    second, later, _ = pay_parts(5 * UNIT)
    assert settled.redeem(alice, bob, 15 * UNIT) == second + held
    assert settled.state(alice, bob).held == later
    assert settled.credit_of(bob) == first + second + held


def test_unripe_holdback_grows_and_waits_a_whole_window_more(
    settled: Settled, alice: Person, bob: Person
) -> None:
    settled.redeem(alice, bob, 10 * UNIT)
    boa.env.time_travel(seconds=HOUR - 1)
    settled.redeem(alice, bob, 15 * UNIT)
    state = settled.state(alice, bob)
    assert state.held == pay_parts(10 * UNIT)[1] + pay_parts(5 * UNIT)[1]
    assert state.until == boa.env.timestamp + HOUR


def test_holdback_is_released_by_anybody_once_the_window_has_closed(
    settled: Settled, alice: Person, bob: Person, mallory: Person
) -> None:
    contract, where = settled.settlement, (alice.address, bob.address, settled.token.address)
    settled.redeem(alice, bob, 10 * UNIT)
    held = settled.state(alice, bob).held
    boa.env.time_travel(seconds=HOUR - 1)
    with boa.reverts("too_soon"):
        contract.release(*where, sender=mallory.address)
    boa.env.time_travel(seconds=1)
    assert contract.release(*where, sender=mallory.address) == held
    fields = dict(zip(("requester", "worker", "token"), where, strict=True)) | {"amount": held}
    assert events(contract) == [("HoldbackReleased", fields)]
    assert settled.credit_of(bob) == pay_parts(10 * UNIT)[0] + held
    with boa.reverts("nothing_held"):
        contract.release(*where)


def test_large_value_waits_a_day(settled: Settled, alice: Person, bob: Person, carol: Person) -> None:
    settled.deposit(alice, 1000 * UNIT)
    settled.redeem(alice, bob, 100 * UNIT)
    assert settled.state(alice, bob).until == boa.env.timestamp + HOUR
    settled.redeem(alice, carol, 101 * UNIT)
    assert settled.state(alice, carol).until == boa.env.timestamp + DAY
    boa.env.time_travel(seconds=HOUR)
    settled.redeem(alice, carol, 102 * UNIT)  # a small one does not shorten it
    assert settled.state(alice, carol).until == boa.env.timestamp + DAY - HOUR


def test_value_of_eth_counts_by_its_rate(settled: Settled, alice: Person, bob: Person, carol: Person) -> None:
    settled.deposit(alice, UNIT, token=ETH)
    settled.redeem(alice, bob, UNIT // 10, token=ETH)  # 1 ETH counts as 1,000 SKYOPS
    assert settled.state(alice, bob, ETH).until == boa.env.timestamp + HOUR
    settled.redeem(alice, carol, UNIT // 10 + 10**9, token=ETH)
    assert settled.state(alice, carol, ETH).until == boa.env.timestamp + DAY


def test_same_voucher_pays_once(settled: Settled, alice: Person, bob: Person) -> None:
    contract, token = settled.settlement, settled.token.address
    voucher = settled.voucher(alice, bob, 10 * UNIT)
    contract.redeem(bob.address, token, voucher, sender=bob.address)
    with boa.reverts("nothing_to_redeem"):
        contract.redeem(bob.address, token, voucher, sender=bob.address)
    assert contract.redeem_batch(bob.address, token, [voucher, voucher], sender=bob.address) == 0
    older = settled.voucher(alice, bob, 9 * UNIT)
    with boa.reverts("nothing_to_redeem"):
        contract.redeem(bob.address, token, older, sender=bob.address)
    assert settled.deposit_of(alice) == 90 * UNIT


def test_short_deposit_pays_what_is_there_and_the_rest_after_a_top_up(
    settled: Settled, alice: Person, bob: Person
) -> None:
    assert (
        settled.settlement.redeemable(alice.address, bob.address, settled.token.address, 150 * UNIT)
        == 100 * UNIT
    )
    settled.redeem(alice, bob, 150 * UNIT)
    assert settled.state(alice, bob).redeemed == 100 * UNIT
    assert settled.deposit_of(alice) == 0
    with boa.reverts("nothing_to_redeem"):
        settled.redeem(alice, bob, 150 * UNIT)
    settled.deposit(alice, 70 * UNIT)
    settled.redeem(alice, bob, 150 * UNIT)
    assert settled.state(alice, bob).redeemed == 150 * UNIT
    assert settled.deposit_of(alice) == 20 * UNIT
    assert settled.settlement.redeemable(alice.address, bob.address, settled.token.address, 150 * UNIT) == 0


def test_allotment_is_drawn_before_the_shared_deposit(settled: Settled, alice: Person, bob: Person) -> None:
    settled.deposit(alice, 10 * UNIT, worker=bob.address)
    settled.redeem(alice, bob, 4 * UNIT)
    assert (settled.state(alice, bob).allotted, settled.deposit_of(alice)) == (6 * UNIT, 100 * UNIT)
    settled.redeem(alice, bob, 15 * UNIT)
    assert (settled.state(alice, bob).allotted, settled.deposit_of(alice)) == (0, 95 * UNIT)


def test_what_is_less_than_a_unit_stays_for_the_next_voucher(
    settled: Settled, alice: Person, bob: Person
) -> None:
    settled.redeem(alice, bob, 10**9 + 999_999_999)
    assert settled.state(alice, bob).redeemed == 10**9
    with boa.reverts("nothing_to_redeem"):
        settled.redeem(alice, bob, 10**9 + 999_999_999)
    settled.redeem(alice, bob, 2 * 10**9)
    assert settled.state(alice, bob).redeemed == 2 * 10**9


@pytest.mark.parametrize(
    ("asked", "counts"), [(0, 500), (499, 500), (500, 500), (2000, 2000), (2001, 2000), (65_535, 2000)]
)
def test_holdback_is_kept_within_its_bounds(
    settled: Settled, alice: Person, bob: Person, asked: int, counts: int
) -> None:
    settled.redeem(alice, bob, 10 * UNIT, holdback=asked)
    assert settled.state(alice, bob).held == pay_parts(10 * UNIT, counts)[1]


def test_forged_vouchers_are_refused(
    settled: Settled, alice: Person, bob: Person, carol: Person, mallory: Person
) -> None:
    contract, token = settled.settlement, settled.token.address
    good = settled.voucher(alice, bob, 10 * UNIT)
    elsewhere = {**domain_of("Skyops Settlement", contract), "chainId": 4711}
    other = deploy("Settlement", settled.parameters.address, token, settled.active.address)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    vs = int.from_bytes(good[5], "big")
    high_s = ((order - (vs & (2**255 - 1))) | ((vs >> 255) ^ 1) << 255) % 2**256
    bad = {
        "another signer": settled.voucher(alice, bob, 10 * UNIT, signer=mallory),
        "another chain": settled.voucher(alice, bob, 10 * UNIT, domain=elsewhere),
        "another contract": settled.voucher(
            alice, bob, 10 * UNIT, domain=domain_of("Skyops Settlement", other)
        ),
        "another worker": settled.voucher(alice, carol, 10 * UNIT),
        "another token": settled.voucher(alice, bob, 10 * UNIT, token=ETH),
        "more money": (good[0], 11 * UNIT, *good[2:]),
        "another holdback": (*good[:2], 500, *good[3:]),
        "another root": (*good[:3], bytes(32), *good[4:]),
        "another requester": (mallory.address, *good[1:]),
        "no signature": (*good[:4], bytes(32), bytes(32)),
        "nobody": (ETH, *good[1:4], bytes(32), bytes(32)),
        "the twin with a high s": (*good[:5], high_s.to_bytes(32, "big")),
    }
    for reason, voucher in bad.items():
        with boa.reverts("bad_signature"):
            contract.redeem(bob.address, token, voucher, sender=bob.address)
            pytest.fail(reason)
    with boa.reverts("bad_signature"):  # one forged voucher undoes the batch
        contract.redeem_batch(bob.address, token, [good, bad["more money"]], sender=bob.address)
    assert settled.deposit_of(alice) == 100 * UNIT
    contract.redeem(bob.address, token, good, sender=bob.address)


def test_only_the_worker_or_its_operator_redeems(
    settled: Settled, alice: Person, bob: Person, carol: Person, mallory: Person
) -> None:
    contract, token = settled.settlement, settled.token.address
    voucher = settled.voucher(alice, bob, 10 * UNIT)
    for stranger in (alice, mallory):
        with boa.reverts("not_worker"):
            contract.redeem(bob.address, token, voucher, sender=stranger.address)
        with boa.reverts("not_worker"):
            contract.redeem_batch(bob.address, token, [voucher], sender=stranger.address)
    contract.set_operator(carol.address, True, sender=bob.address)
    fields = {"worker": bob.address, "operator": carol.address, "is_allowed": True}
    assert events(contract) == [("OperatorSet", fields)]
    contract.redeem(bob.address, token, voucher, sender=carol.address)
    assert (settled.credit_of(bob), settled.credit_of(carol)) == (pay_parts(10 * UNIT)[0], 0)
    contract.set_operator(carol.address, False, sender=bob.address)
    with boa.reverts("not_worker"):
        contract.redeem(bob.address, token, settled.voucher(alice, bob, 11 * UNIT), sender=carol.address)


def test_batch_is_as_good_as_one_by_one(settled: Settled, alice: Person, bob: Person, carol: Person) -> None:
    contract, token = settled.settlement, settled.token.address
    settled.deposit(carol, 3 * UNIT)
    vouchers = [settled.voucher(alice, bob, 10 * UNIT), settled.voucher(carol, bob, 5 * UNIT)]
    with boa.env.anchor():
        singly = sum(contract.redeem(bob.address, token, v, sender=bob.address) for v in vouchers)
        expected = settled.credit_of(bob), contract.fees(token)
    assert contract.redeem_batch(bob.address, token, vouchers, sender=bob.address) == singly
    assert [fields["cumulative"] for _, fields in events(contract)] == [10 * UNIT, 3 * UNIT]
    assert (settled.credit_of(bob), contract.fees(token)) == expected


def test_batch_of_two_hundred_and_not_one_more(settled: Settled, alice: Person, bob: Person) -> None:
    contract, token = settled.settlement, settled.token.address
    vouchers = [settled.voucher(alice, bob, (1 + number) * 10**9) for number in range(4)] * 50
    contract.redeem_batch(bob.address, token, vouchers, sender=bob.address)
    assert settled.state(alice, bob).redeemed == 4 * 10**9
    with boa.reverts():
        contract.redeem_batch(bob.address, token, [*vouchers, vouchers[0]], sender=bob.address)


def test_arbiter_keeps_the_holdback_and_gives_a_part_back(
    settled: Settled, alice: Person, bob: Person
) -> None:
    where = (alice.address, bob.address, settled.token.address)
    settled.redeem(alice, bob, 10 * UNIT)
    held = settled.state(alice, bob).held
    settled.arbiter.freeze(*where)
    boa.env.time_travel(seconds=2 * HOUR)
    with boa.reverts("disputed"):
        settled.settlement.release(*where)
    settled.redeem(alice, bob, 20 * UNIT)  # goes on; nothing old is released with it
    assert settled.state(alice, bob).held == 2 * held
    assert settled.arbiter.resolve(*where, held // 2) == held // 2
    assert settled.state(alice, bob).held == 2 * held - held // 2
    assert settled.deposit_of(alice) == 80 * UNIT + held // 2
    with boa.reverts("not_disputed"):
        settled.arbiter.resolve(*where, 1)


def test_arbiter_takes_at_most_what_is_held(settled: Settled, alice: Person, bob: Person) -> None:
    where = (alice.address, bob.address, settled.token.address)
    settled.redeem(alice, bob, 10 * UNIT)
    held = settled.state(alice, bob).held
    settled.arbiter.freeze(*where)
    settled.arbiter.freeze(*where)
    assert settled.state(alice, bob).disputes == 2
    assert settled.arbiter.resolve(*where, 10 * UNIT) == held
    assert settled.arbiter.resolve(*where, 10 * UNIT) == 0
    assert settled.credit_of(bob) == pay_parts(10 * UNIT)[0]


def test_arbiter_comes_inside_the_window_or_not_at_all(
    settled: Settled, alice: Person, bob: Person, mallory: Person
) -> None:
    where = (alice.address, bob.address, settled.token.address)
    with boa.reverts("nothing_held"):
        settled.arbiter.freeze(*where)
    settled.redeem(alice, bob, 10 * UNIT)
    for stranger in (alice, bob, mallory):
        with boa.reverts("not_arbiter"):
            settled.settlement.freeze(*where, sender=stranger.address)
        with boa.reverts("not_arbiter"):
            settled.settlement.resolve(*where, 1, sender=stranger.address)
    boa.env.time_travel(seconds=HOUR)
    with boa.reverts("too_late"):
        settled.arbiter.freeze(*where)


@given(count=st.integers(1, 20), data=st.data())
@settings(max_examples=20)
def test_any_receipt_is_proven_from_the_root_and_nothing_else_is(
    deployed: Settled, count: int, data: st.DataObject
) -> None:
    with boa.env.anchor():
        settled = deployed
        alice, bob = (person(name) for name in ("alice", "bob"))
        settled.deposit(alice, UNIT)
        receipts = [receipt(number) for number in range(count)]
        tree = MerkleTree([one.leaf for one in receipts])
        settled.redeem(alice, bob, UNIT, root=tree.root)
        where = (alice.address, bob.address, settled.token.address)
        index = data.draw(st.integers(0, count - 1))
        prove = settled.settlement.prove_receipt
        path = list(tree.path(index))
        assert prove(*where, receipts[index], index, count, path)
        field = data.draw(st.integers(0, 5))
        worse = list(receipts[index])
        worse[field] = sha256(worse[field]) if isinstance(worse[field], bytes) else worse[field] + 1
        assert not prove(*where, tuple(worse), index, count, path)
        assert not prove(*where, receipts[index], index, count, [*path, bytes(32)])
        assert not prove(*where, receipts[index], count, count, path)
        if path:
            assert not prove(*where, receipts[index], index, count, path[:-1])
            assert not prove(*where, receipts[index], index ^ 1, count, path)
        assert not prove(
            bob.address, alice.address, settled.token.address, receipts[index], index, count, path
        )
