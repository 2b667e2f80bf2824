"""Whatever is done to both stores, they answer alike."""

from contextlib import AsyncExitStack

import trio
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.adapters.memory import MemoryDisk, open_memory_store
from skyops_p2p.adapters.sqlite import open_sqlite_store
from skyops_p2p.ports import StoredNode

PEERS = st.sampled_from(["alice", "bob", "carol"])
STEMS = st.sampled_from(["peering", "auction"])
NODES = st.builds(
    StoredNode,
    peer=PEERS,
    record=st.binary(max_size=8),
    addrs=st.lists(st.text(max_size=5).filter(str.isprintable), max_size=2).map(tuple),
    state=st.sampled_from(["active", "suspect"]),
    seen_unix_ms=st.integers(0, 5),
)
CALLS = st.one_of(
    st.tuples(st.just("append"), STEMS, PEERS, st.binary(max_size=8)),
    st.tuples(st.just("entries"), STEMS),
    st.tuples(st.just("compact"), STEMS, PEERS, st.integers(-1, 4)),
    st.tuples(st.just("put_nodes"), st.lists(NODES, max_size=4)),
    st.tuples(st.just("forget_nodes"), st.lists(PEERS, max_size=2)),
    st.tuples(st.just("nodes")),
    st.tuples(st.just("set_value"), PEERS, st.binary(max_size=8)),
    st.tuples(st.just("value"), PEERS),
    st.tuples(st.just("reopen")),
)


async def answers(open_store, calls):
    """Perform the calls and return what each one gave."""
    given_back = []
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store())
        for name, *arguments in calls:
            if name == "reopen":
                await stack.aclose()
                store = await stack.enter_async_context(open_store())
            elif name == "compact":
                given_back.append(await store.compact(*arguments[:2], keep_last=arguments[2]))
            else:
                given_back.append(await getattr(store, name)(*arguments))
    return given_back


@given(st.lists(CALLS, max_size=20))
def test_the_twins_answer_alike(tmp_path_factory, calls):
    path = tmp_path_factory.mktemp("twin") / "store.db"
    disk = MemoryDisk()
    durable = trio.run(answers, lambda: open_sqlite_store(path), calls)
    in_memory = trio.run(answers, lambda: open_memory_store(disk), calls)
    assert durable == in_memory
