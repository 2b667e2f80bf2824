"""A pair under loss, repetition, reordering and restarts at any step: nobody loses more than was said beforehand."""

import ast
import itertools
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from skyops_p2p import limits
from skyops_p2p.core import settlement
from skyops_p2p.core.auction.merkle import MerkleTree, leaf_hash
from skyops_p2p.core.settlement import pay_events as ev
from skyops_p2p.core.settlement import prices
from skyops_p2p.core.settlement.amounts import ETH, SKYOPS, format_amount, parse_amount, wei_from_bytes
from skyops_p2p.core.settlement.meters import Counts, are_apart, later, smaller
from skyops_p2p.core.settlement.payer import PayerState
from skyops_p2p.core.settlement.trees import GrowingTree, prove
from skyops_p2p.wire.messages.settlement import Voucher
from tests.unit.core.settlement.pair_world import EXPOSED_MS, HOUR_WEI, PAIR, RICH, World, terms

LANES = 3
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("begin", "tick", "tick", "long", "deliver", "deliver", "lose", "repeat", "swap", "die", "finish", "lapse")
        ),
        st.integers(0, 5),
        st.sampled_from(("alice", "bob")),
    ),
    min_size=20,
    max_size=60,
)  # fmt: skip
PREPAID = st.sampled_from((0, limits.PAY_INTERVAL_MS))
WORK_MS_MAX = limits.PAY_INTERVAL_MS_MAX + EXPOSED_MS
"""Unpaid work at most, and what alice may believe bob about one time that she was away."""


class Faults:
    """A world that goes wrong step by step, with the two bounds checked after each."""

    def __init__(self, prepaid_ms: int) -> None:
        self.world = World()
        self.prepaid_ms = prepaid_ms
        self.lapsed: dict[bytes, int] = {}
        """Lane -> vouchers that alice had signed when it lapsed."""
        self.world.both(RICH)

    def do(self, step: str, number: int, who: str) -> None:
        world, lane = self.world, terms(number % LANES + 1, prepaid_ms=self.prepaid_ms)
        match step:
            case "begin" if lane.lane not in world.runs:
                world.begin(lane)
            case "tick" | "long":
                world.pass_time(1 + number if step == "tick" else 20 * number, is_linked=False)
            case "deliver" if world.queue:
                world.deliver(0)
            case "lose" if world.queue:
                world.queue.pop(number % len(world.queue))
            case "repeat" if world.queue:
                world.deliver(number % len(world.queue), keep=True)
            case "swap" if world.queue:
                world.deliver(number % len(world.queue))
            case "die":
                world.fault_after = number
            case "finish" if lane.lane in world.runs:
                world.finish(lane.lane)
            case "lapse" if lane.lane in world.runs:
                world.lapse(lane.lane)
                self.lapsed.setdefault(lane.lane, len(self.signed()))

    def signed(self) -> list[int]:
        """Amounts that alice has signed, in order, each once."""
        amounts = (
            wei_from_bytes(m.cumulative) for m in self.world.sent("alice", Voucher) if isinstance(m, Voucher)
        )
        return list(dict.fromkeys(amounts))

    def check(self) -> None:
        world = self.world
        for run in world.runs.values():  # bob: SET-8
            assert run.used_ms - run.covered_ms <= WORK_MS_MAX
        seen_ms = sum(run.alice_saw_ms + self.prepaid_ms for run in world.runs.values())
        believed_ms = world.restarts * LANES * WORK_MS_MAX
        rounding = 10 * len(self.signed()) + LANES * PAIR.unit_wei
        limit = prices.charge(HOUR_WEI, seen_ms + believed_ms) + rounding
        assert max([world.payer.account.cumulative, *self.signed()]) <= limit  # alice: SET-8, SET-20
        for amounts in (world.vouchers, self.signed()):  # SET-11
            assert all(first < second for first, second in itertools.pairwise(amounts))
        assert world.payee.account.cumulative <= max([0, *self.signed()])


@settings(max_examples=150)
@given(STEPS, PREPAID)
def test_exposure_is_bounded_and_vouchers_rise_whatever_happens(
    steps: list[tuple[str, int, str]], prepaid_ms: int
) -> None:  # SET-8, SET-11, SET-18, SET-19, SET-20
    faults = Faults(prepaid_ms)
    for step in steps:
        faults.do(*step)
        faults.check()
    world = faults.world
    world.fault_after = None
    world.both(ev.LinkRestored())
    for lane in world.runs:
        world.finish(lane)
    world.pass_time(3 * limits.PAY_STOP_MS / 1000)
    faults.check()
    assert world.payer.state is PayerState.CLEAR
    assert world.payer.account.cumulative == world.payee.account.cumulative
    assert not world.payer.account.lanes
    assert not world.payee.account.lanes
    assert world.payer.account.receipts == world.payee.account.receipts


@settings(max_examples=40)
@given(STEPS)
def test_nothing_is_signed_for_a_lease_that_has_lapsed(steps: list[tuple[str, int, str]]) -> None:  # SET-18
    faults = Faults(0)
    for step in steps:
        faults.do(*step)
    faults.world.pass_time(100)
    vouchers = {m.cumulative: m for m in faults.world.sent("alice", Voucher) if isinstance(m, Voucher)}
    for lane, before in faults.lapsed.items():
        later_ones = list(vouchers.values())[before:]
        assert not any(item.lane == lane for voucher in later_ones for item in voucher.items)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 30)), max_size=6))
def test_lanes_add_up_to_what_was_promised(steps: list[tuple[int, int]]) -> None:  # SET-7
    world = World()
    world.both(RICH)
    lanes = [world.begin(terms(number + 1)) for number in range(3)]
    world.settle()
    for lane, seconds in steps:
        world.pass_time(seconds)
        if seconds > 25:
            world.finish(lanes[lane])
            world.settle()
    closed = sum(
        effect.paid for effect in world.effects_of("alice", ev.CloseLane) if isinstance(effect, ev.CloseLane)
    )
    open_ = sum(lane.paid for lane in world.payer.account.lanes.values())
    assert closed + open_ == world.payer.account.cumulative == world.payee.account.cumulative


WEI = st.integers(0, 10**24)


@given(WEI, WEI, WEI, st.integers(0, 10_000))
def test_money_is_conserved(
    cumulative: int, redeemed: int, funds: int, holdback: int
) -> None:  # SET-22, SET-23
    found = prices.redemption(cumulative, redeemed, funds, holdback_bps=holdback, unit=10**9)
    assert found.taken == found.fee + found.held + found.credited
    assert 0 <= found.taken <= funds
    assert min(found.fee, found.held, found.credited) >= 0
    shares = prices.fee_shares(found.fee)
    assert shares.pool + shares.fund + shares.burned == found.fee
    back = prices.refund(funds, cumulative, redeemed)
    assert back + min(max(cumulative - redeemed, 0), funds) == funds
    left, fee = prices.early_exit(funds, cumulative)
    assert left + fee + min(funds, cumulative) == funds


@given(WEI, st.lists(st.integers(0, 10**7), max_size=20))
def test_charging_by_totals_never_gathers_rounding(rate: int, steps: list[int]) -> None:  # SET-7
    total = 0
    for step in steps:
        total += step
    assert 0 <= rate * total - prices.charge(rate, total) * prices.HOUR_MS < prices.HOUR_MS


@given(st.integers(0, 2**256 - 1), st.sampled_from((SKYOPS, ETH)))
def test_amounts_read_back_what_they_print(wei: int, token: object) -> None:  # SET-1
    assert token in (SKYOPS, ETH)
    text = format_amount(wei, SKYOPS if token is SKYOPS else ETH)
    assert parse_amount(text) == (wei, token)
    assert parse_amount(f"{wei} wei", SKYOPS) == (wei, SKYOPS)


COUNTS = st.builds(Counts, *[st.integers(0, 10**9)] * 5)


@given(COUNTS, COUNTS, COUNTS)
def test_smaller_counts_never_fall_and_being_apart_is_mutual(
    a: Counts, b: Counts, c: Counts
) -> None:  # SET-6
    assert are_apart(a, b) == are_apart(b, a)
    assert not are_apart(a, a)
    grown = later(a, c)
    assert later(smaller(a, b), smaller(grown, b)) == smaller(grown, b)


@given(st.integers(1, 70), st.data())
def test_a_growing_tree_is_the_tree_of_its_leaves(count: int, data: st.DataObject) -> None:  # SET-14
    leaves = tuple(leaf_hash(bytes([number])) for number in range(count))
    tree = GrowingTree()
    for leaf in leaves:
        tree = tree.with_leaf(leaf)
        tree.check_invariants()
    assert tree.root == MerkleTree(leaves).root
    index = data.draw(st.integers(0, count - 1))
    proof = prove(leaves, index)
    assert proof.holds(tree.root, leaves[index])
    assert not proof.holds(tree.root, leaf_hash(b"another"))


def test_there_is_no_float_in_settlement() -> None:
    """Money is never divided with /, and no number with a point stands beside it; one function makes instants."""
    found = []
    files = sorted(Path(settlement.__file__).parent.glob("*.py"))
    assert len(files) > 1
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and function.name == "after":
                function.body = []
        for node in ast.walk(tree):
            is_float = isinstance(node, ast.Constant) and isinstance(node.value, float)
            is_division = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
            if is_float or is_division or (isinstance(node, ast.Name) and node.id == "float"):
                found.append(f"{path.name}:{getattr(node, 'lineno', 0)}")
    assert found == []
