"""A fetch asks several holders, believes none of them, and ends with everything or says what is missing."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p import limits
from skyops_p2p.core.content import fetch as ft
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.errors import UnexpectedEvent
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.cid import DAG_PB, RAW, Cid

BOB, CAROL, MALLORY = PeerId("bob"), PeerId("carol"), PeerId("mallory")


def cid(name: str) -> Cid:
    return Cid(RAW if name.startswith("leaf") else DAG_PB, hashlib.sha256(name.encode()).digest())


def graph(files: int, leaves: int) -> dict[Cid, tuple[Cid, ...]]:
    """A root with files, each with leaves; {block: what it links to}."""
    nodes = {cid("root"): tuple(cid(f"file{i}") for i in range(files))}
    for i in range(files):
        nodes[cid(f"file{i}")] = tuple(cid(f"leaf{i}.{j}") for j in range(leaves))
        nodes |= {cid(f"leaf{i}.{j}"): () for j in range(leaves)}
    return nodes


class World:
    """Performs a fetch's effects on simulated holders and a simulated store."""

    def __init__(
        self,
        nodes: dict[Cid, tuple[Cid, ...]],
        holders: dict[PeerId, set[Cid]],
        *,
        blocks_max: int | None = None,
    ) -> None:
        self.nodes, self.holders = nodes, holders
        self.stored: set[Cid] = set()
        self.asked: list[tuple[PeerId, Cid]] = []
        self.waiting: dict[PeerId, list[Cid]] = {}
        self.dropped: dict[PeerId, str] = {}
        self.end: ft.EndFetch | None = None
        self.now = MonotonicS(0.0)
        self.pending: list[Event] = []
        self.machine = ft.Fetch(cid("root"), blocks_max=blocks_max or len(nodes), window=4)

    def begin(self) -> None:
        self.take(ft.FetchBegun(tuple(self.holders)))
        for holder in self.holders:
            self.take(ft.HolderReady(holder))

    def take(self, event: Event) -> None:
        self.pending.append(event)
        while self.pending:
            effects = self.machine.handle(self.pending.pop(0), self.now)
            self.machine.check_invariants()
            for effect in effects:
                self.perform(effect)

    def perform(self, effect: Effect) -> None:
        match effect:
            case ft.LookUp(cids):
                here = {c: self.nodes[c] for c in cids if c in self.stored}
                self.pending.append(ft.LookedUp(here, tuple(c for c in cids if c not in here)))
            case ft.AskHolder(holder, cids):
                self.asked += [(holder, c) for c in cids]
                self.waiting.setdefault(holder, []).extend(cids)
            case ft.DropHolder(holder, code):
                self.dropped[holder] = code
                self.waiting.pop(holder, None)
            case ft.EndFetch():
                self.end = effect

    def answer(self, holder: PeerId, count: int = 1) -> None:
        """A holder sends what it has of the next blocks that it owes, and says what it lacks."""
        cids, self.waiting[holder] = self.waiting[holder][:count], self.waiting[holder][count:]
        has = {c: self.nodes[c] for c in cids if c in self.holders[holder]}
        lacks = tuple(c for c in cids if c not in has)
        if has:
            self.stored |= has.keys()
            self.take(ft.BlocksStored(holder, has))
        if lacks:
            self.take(ft.BlocksAbsent(holder, lacks))

    def run(self) -> None:
        """Let the holders answer in turn until nothing is owed."""
        while self.end is None and any(self.waiting.values()):
            for holder in [holder for holder, cids in self.waiting.items() if cids]:
                if self.waiting.get(holder):
                    self.answer(holder, 2)

    @property
    def code(self) -> str:
        assert self.end is not None, "the fetch has not ended"
        return self.end.code


def world(*holders: PeerId, files: int = 3, leaves: int = 5) -> World:
    nodes = graph(files, leaves)
    return World(nodes, {holder: set(nodes) for holder in holders})


def test_everything_comes_from_one_holder() -> None:
    w = world(BOB)
    w.begin()
    w.run()
    assert w.code == ""
    assert w.stored == set(w.nodes)
    assert w.machine.blocks_done == w.machine.blocks_received == len(w.nodes)


def test_two_holders_share_the_work_and_no_block_is_asked_twice() -> None:
    w = world(BOB, CAROL, files=6, leaves=9)
    w.begin()
    w.run()
    assert w.code == ""
    assert len(w.asked) == len(w.nodes)
    assert {holder for holder, _ in w.asked} == {BOB, CAROL}


def test_what_is_here_is_not_asked_for_again() -> None:
    w = world(BOB)
    w.stored = {c for c in w.nodes if c != cid("leaf1.3")}
    w.begin()
    w.run()
    assert [c for _, c in w.asked] == [cid("leaf1.3")]
    assert w.code == ""


def test_a_bundle_that_is_all_here_needs_no_holder() -> None:
    w = world()
    w.stored = set(w.nodes)
    w.begin()
    assert w.code == ""
    assert w.machine.blocks_done == len(w.nodes)


def test_a_holder_that_sends_a_wrong_block_is_dropped_and_its_blocks_asked_elsewhere() -> None:  # CON-11
    w = world(MALLORY, BOB)
    w.begin()
    while not w.waiting.get(MALLORY):
        w.answer(BOB)
    w.take(ft.BlockWrong(MALLORY))
    w.run()
    assert w.dropped == {MALLORY: "wrong_block"}
    assert w.code == ""


def test_a_holder_that_stalls_is_dropped_at_its_deadline() -> None:
    w = world(MALLORY, BOB, files=8)
    w.begin()
    assert w.waiting == {MALLORY: [cid("root")]}
    deadline = w.machine.next_deadline()
    assert deadline == limits.CONTENT_STALL_S
    w.now = MonotonicS(deadline - 1)
    w.take(DeadlineReached())
    assert w.dropped == {}
    w.now = deadline
    w.take(DeadlineReached())
    assert w.dropped == {MALLORY: "stalled"}
    w.run()
    assert w.code == ""


def test_a_block_that_one_holder_lacks_is_asked_of_another() -> None:
    w = world(BOB, CAROL)
    w.holders[BOB] = {cid("root")}
    w.begin()
    w.run()
    assert w.code == ""


def test_a_block_that_all_lack_is_named() -> None:
    w = world(BOB, CAROL)
    for has in w.holders.values():
        has.discard(cid("leaf2.4"))
    w.begin()
    w.run()
    assert w.end == ft.EndFetch("content_missing", (cid("leaf2.4"),))


def test_a_fetch_without_a_holder_left_ends() -> None:
    w = world(BOB)
    w.begin()
    w.take(ft.HolderGone(BOB))
    assert w.end == ft.EndFetch("no_holder", (cid("root"),))


def test_holders_that_break_off_one_after_the_other_are_given_up_together() -> None:
    w = world(*(PeerId(f"m{i}") for i in range(6)))
    w.begin()
    for holder in list(w.holders):
        if w.end is None:
            w.take(ft.HolderGone(holder))
    assert w.code in ("content_missing", "no_holder")
    assert sum(1 for _, c in w.asked if c == cid("root")) <= limits.CONTENT_ATTEMPTS_MAX


def test_a_graph_larger_than_its_reference_is_refused() -> None:  # CON-12
    nodes = graph(3, 5)
    w = World(nodes, {MALLORY: set(nodes)}, blocks_max=len(nodes) - 1)
    w.begin()
    w.run()
    assert w.code == "bundle_mismatch"


def test_a_block_in_two_places_is_fetched_once() -> None:
    nodes = graph(2, 2)
    nodes[cid("file1")] = (*nodes[cid("file0")], *nodes[cid("file1")], cid("leaf0.0"))
    w = World(nodes, {BOB: set(nodes)}, blocks_max=20)
    w.begin()
    w.run()
    assert w.code == ""
    assert sum(1 for _, c in w.asked if c == cid("leaf0.0")) == 1


def test_what_a_dropped_holder_still_delivered_is_not_asked_again() -> None:
    w = world(BOB, CAROL, files=1, leaves=1)
    w.begin()
    late = w.asked[0][0]
    w.take(ft.HolderGone(late))
    w.waiting.pop(late)
    w.stored.add(cid("root"))
    w.take(ft.BlocksStored(late, {cid("root"): w.nodes[cid("root")]}))
    w.run()
    assert w.code == ""


def test_a_large_graph_is_not_kept_in_memory() -> None:
    w = world(BOB, files=300, leaves=50)
    w.begin()
    most = 0
    while w.end is None:
        w.answer(BOB, 2)
        most = max(most, len(w.machine._wanted) + sum(map(len, w.machine._unseen)))
    assert w.code == ""
    assert most < 1000, "a window of nodes with their links, not the 15,301 blocks of the graph"


def test_more_holders_than_the_bound_are_not_asked() -> None:
    w = world(*(PeerId(f"p{i}") for i in range(limits.CONTENT_HOLDERS_MAX + 1)))
    w.begin()
    assert len(w.machine._holders) == limits.CONTENT_HOLDERS_MAX


def test_an_ended_fetch_ignores_what_comes_late_and_a_new_one_takes_only_its_beginning() -> None:
    w = world(BOB)
    with pytest.raises(UnexpectedEvent):
        w.take(ft.HolderReady(BOB))
    w.begin()
    w.run()
    for event in (
        ft.HolderReady(BOB),
        ft.HolderGone(BOB),
        ft.BlocksAbsent(BOB, ()),
        ft.BlocksStored(BOB, {}),
        ft.BlockWrong(BOB),
        ft.LookedUp({}, ()),
        DeadlineReached(),
    ):
        assert w.machine.handle(event, w.now) == []
    assert w.machine.next_deadline() is None


@given(seed=st.integers(0, 2**32), files=st.integers(0, 6), leaves=st.integers(1, 8), peers=st.integers(0, 5))
def test_any_holders_in_any_order_lead_to_all_blocks_or_to_a_stated_end(seed, files, leaves, peers) -> None:
    chance = random.Random(seed)
    nodes = graph(files, leaves)
    share = chance.choice([0.5, 0.9, 1.0])
    holders = {PeerId(f"p{i}"): {c for c in nodes if chance.random() < share} for i in range(peers)}
    w = World(nodes, holders)
    w.stored = {c for c in nodes if chance.random() < 0.3}
    w.begin()
    for _ in range(5000):
        owing = [holder for holder, cids in w.waiting.items() if cids]
        if w.end is not None:
            break
        if not owing:
            raise AssertionError("nobody owes anything, and the fetch goes on")
        holder = chance.choice(owing)
        match chance.choice(["answer"] * 20 + ["gone", "wrong", "late"]):
            case "answer":
                w.answer(holder, chance.randint(1, 4))
            case "gone":
                del w.waiting[holder]
                w.take(ft.HolderGone(holder))
            case "wrong":
                w.take(ft.BlockWrong(holder))
            case "late":
                w.now = MonotonicS(w.now + chance.choice([1.0, 20.0]))
                if (deadline := w.machine.next_deadline()) is not None and deadline <= w.now:
                    w.take(DeadlineReached())
    assert w.end is not None
    assert w.code or w.stored >= set(nodes)
    assert not w.code or w.end.missing
