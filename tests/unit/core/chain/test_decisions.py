"""Fees, endpoints, nonces and ranges: the small decisions of the chain client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p import limits
from skyops_p2p.core.chain.endpoints import EndpointBook
from skyops_p2p.core.chain.facts import Block, Fees, Log, LogFilter
from skyops_p2p.core.chain.fees import first_fees, raised_fees
from skyops_p2p.core.chain.following import (
    Checkpoint,
    blocks_to_check,
    check_checkpoint,
    check_logs,
    next_range,
)
from skyops_p2p.errors import ChainError
from skyops_p2p.types import MonotonicS, WalletAddress, Wei

AT = MonotonicS
wei = st.integers(0, 10**15).map(Wei)


@given(base=wei, tip=wei, bound=wei)
def test_first_fees_are_within_the_bound_and_pay_the_base_fee(base: Wei, tip: Wei, bound: Wei) -> None:
    fees = first_fees(base_fee_wei=base, tip_wei=tip, fee_wei_max=bound)
    if fees is None:
        assert base > bound
    else:
        assert base <= fees.max_fee_wei <= bound
        assert fees.tip_wei <= fees.max_fee_wei


@given(most=wei, tip=wei, base=wei, bound=wei)
def test_raised_fees_are_what_nodes_accept_as_a_replacement(
    most: Wei, tip: Wei, base: Wei, bound: Wei
) -> None:
    paid = Fees(max(most, tip), min(most, tip))
    fees = raised_fees(paid, base_fee_wei=base, fee_wei_max=bound)
    if fees is not None:
        assert fees.max_fee_wei * 10 >= paid.max_fee_wei * 11
        assert fees.tip_wei * 10 >= paid.tip_wei * 11
        assert fees.tip_wei <= fees.max_fee_wei <= bound


def test_a_failing_endpoint_rests_twice_as_long_each_time_and_no_longer_than_the_bound() -> None:
    book = EndpointBook(2)
    instants = [step / 4 for step in range(400, 600)]
    rests = []
    for _ in range(10):
        book.fail(0, AT(100.0))
        rests.append(min(t for t in instants if book.choose(AT(t), tried=frozenset({1})) == 0))
    assert [rest - 100 for rest in rests[:3]] == [0.5, 1.0, 2.0]
    assert rests[-1] - 100 == limits.CHAIN_REST_S_MAX
    assert book.choose(AT(100.0), tried=frozenset()) == 1
    book.succeed(0)
    assert book.choose(AT(100.0), tried=frozenset()) == 0


def test_heads_may_go_back_as_far_as_a_reorganisation() -> None:
    book = EndpointBook(1)
    far = limits.CHAIN_REORG_BLOCKS_MAX
    assert book.accept_head(1000)
    assert book.accept_head(1000 - far)
    assert not book.accept_head(1000 - far - 1)


def test_ranges_end_at_the_depth_and_at_the_bound() -> None:
    at = Checkpoint(10, bytes(32))
    assert next_range(at, 14, confirmations=4) is None
    assert next_range(at, 15, confirmations=4) == (11, 11)
    assert next_range(at, 10**6, confirmations=4) == (11, 10 + limits.CHAIN_LOG_BLOCKS_MAX)


def test_a_checkpoint_whose_block_is_gone_stops_the_follower() -> None:
    at = Checkpoint(10, bytes(32))
    check_checkpoint(at, Block(10, bytes(32), bytes(32), 0, Wei(0)))
    for other in (None, Block(10, b"\1" * 32, bytes(32), 0, Wei(0))):
        with pytest.raises(ChainError) as raised:
            check_checkpoint(at, other)
        assert raised.value.code == "reorg_too_deep"


BOB = WalletAddress("0x1111111111111111111111111111111111111111")
EVE = WalletAddress("0x2222222222222222222222222222222222222222")
TOPIC = b"\xaa" * 32


def log(number: int, index: int = 0, *, address: WalletAddress = BOB, block_hash: bytes = bytes(32)) -> Log:
    return Log(address, (TOPIC,), b"", number, block_hash, bytes(32), index)


def test_events_in_order_and_in_range_pass() -> None:
    check_logs([log(5), log(5, 1), log(6)], LogFilter((BOB,), (TOPIC,)), 5, 6)


@pytest.mark.parametrize(
    "logs",
    [
        [log(4)],
        [log(7)],
        [log(6), log(5)],
        [log(5), log(5)],
        [log(5, address=EVE)],
    ],
)
def test_events_that_were_not_asked_for_are_a_lie(logs: list[Log]) -> None:
    with pytest.raises(ChainError) as raised:
        check_logs(logs, LogFilter((BOB,), (TOPIC,)), 5, 6)
    assert raised.value.code == "rpc_lied"


def test_one_number_with_two_hashes_is_a_lie() -> None:
    with pytest.raises(ChainError) as raised:
        blocks_to_check([log(5), log(5, 1, block_hash=b"\1" * 32)])
    assert raised.value.code == "rpc_lied"
