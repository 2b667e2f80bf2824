"""Partitions and slow nodes: which faults each node gets, from what a person asked for."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from skyops_p2p.errors import TestnetError
from skyops_p2p.testnet.launcher import Testnet
from skyops_p2p.testnet.record import TestnetRecord, locked, read_record, write_record

_AT_ONCE = 16


def parse_groups(words: Sequence[str], record: TestnetRecord) -> tuple[tuple[str, ...], ...]:
    """Return the groups of a partition; nodes that were not named form one more group.

    Args:
        words: Each a comma-separated group ("node-1,node-2"); "|" separates groups inside one word too.
        record: The network.

    Raises:
        TestnetError: `unknown_node`, or `partition_invalid` (a node twice, or everybody in one group).
    """
    texts = [part for word in words for part in word.split("|")]
    groups = [tuple(name.strip() for name in text.split(",") if name.strip()) for text in texts]
    groups = [group for group in groups if group]
    named = [record.entry(name).name for group in groups for name in group]
    if len(set(named)) != len(named):
        double = next(name for name in named if named.count(name) > 1)
        raise TestnetError(f"{double!r} stands in the partition twice", code="partition_invalid")
    rest = tuple(entry.name for entry in record.nodes if entry.name not in named)
    if rest:
        groups.append(rest)
    if len(groups) < 2:
        raise TestnetError(
            "a partition needs at least two groups",
            code="partition_invalid",
            hint="`skyops testnet partition node-1,node-2` cuts these two off from the rest.",
        )
    return tuple(groups)


def partition(testnet: Testnet, groups: tuple[tuple[str, ...], ...]) -> None:
    """Cut the network into groups; an earlier partition is replaced. No groups: heal."""
    with locked(testnet.directory):
        record = read_record(testnet.directory).model_copy(update={"partition": groups})
        write_record(testnet.directory, record)
        testnet.record = record
    faults = {}
    for entry in record.nodes:
        own = next((group for group in groups if entry.name in group), ())
        blocked = [other.peer_id for other in record.nodes if groups and other.name not in own]
        faults[entry.name] = testnet.faults(entry.name) | {"blocked": blocked}
    _set_all(testnet, faults)


def heal(testnet: Testnet) -> None:
    """End the partition, and make every slow node quick again."""
    partition(testnet, ())
    _set_all(testnet, {entry.name: {} for entry in testnet.record.nodes})


def slow(testnet: Testnet, name: str, *, delay_ms: int, loss_permille: int) -> None:
    """Delay, or lose, what one node sends. Zeros end it."""
    testnet.record.entry(name)
    faults = testnet.faults(name) | {"delay_ms": delay_ms, "loss_permille": loss_permille}
    testnet.set_faults(name, faults)


def _set_all(testnet: Testnet, faults: dict[str, dict[str, object]]) -> None:
    """Set the faults of several nodes at once: a partition should begin everywhere at the same time."""
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        for _ in pool.map(lambda name: testnet.set_faults(name, faults[name]), faults):
            pass
