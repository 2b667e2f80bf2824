"""The ports that one node is built on, together."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, TypeVarTuple, Unpack

import trio

from skyops_p2p.node.book_shelf import BookShelf, MemoryShelf
from skyops_p2p.node.job_ports import JobPorts
from skyops_p2p.node.standing import NeutralStanding, StandingSource
from skyops_p2p.ports import (
    DhtRules,
    Entropy,
    HardwareProbe,
    Money,
    Network,
    OpenStore,
    Prover,
    StakeCheck,
    Store,
    WallClock,
)

OpenNetwork = Callable[[DhtRules], AbstractAsyncContextManager[Network]]
"""Starts the network with the node's rules for DHT values; it listens once the context is entered."""

OpenMoney = Callable[[Store], AbstractAsyncContextManager[Money]]
"""Opens the contracts for the node's wallet; the store that it is given has the journal of what is sent."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Compute(Protocol):
    """Runs a computation that takes long: in a thread, or in place where virtual time stands still meanwhile."""

    async def __call__(self, function: Callable[[Unpack[Ts]], T], /, *args: *Ts) -> T:
        """Return what the function returns, or raise what it raises."""


async def in_place(function: Callable[[Unpack[Ts]], T], /, *args: *Ts) -> T:
    """Compute in the loop itself: for simulations, whose clock must not run on beside a thread."""
    await trio.lowlevel.checkpoint()
    return function(*args)


async def in_thread(function: Callable[[Unpack[Ts]], T], /, *args: *Ts) -> T:
    """Compute in a worker thread, so that the node answers meanwhile."""
    return await trio.to_thread.run_sync(function, *args)


@dataclass(frozen=True, slots=True)
class NodePorts:
    """Everything that a node asks of the world. The simulator supplies its own."""

    open_network: OpenNetwork
    open_store: OpenStore
    wall_clock: WallClock
    entropy: Entropy
    hardware: HardwareProbe
    stake: StakeCheck
    standing: StandingSource = field(default_factory=NeutralStanding)
    """Reputation and weights of workers; neutral until there are receipts."""
    books: BookShelf = field(default_factory=MemoryShelf)
    """Where bid books are kept."""
    compute: Compute = in_place
    """How what takes long is computed: audits of bid books, checks of proofs of compute."""
    prover: Prover | None = None
    """What a worker proves its compute with; without one it refuses every challenge."""
    jobs: JobPorts | None = None
    """Where jobs run and where their data is; without it a node matches jobs, but neither runs nor submits any."""
    open_money: OpenMoney | None = None
    """How money is reached; without it nothing is paid. It raises ChainError while no endpoint answers and the store
    does not know the contracts yet; ChainRefusal if there are none, or false ones."""
    needs_stake: bool = False
    """Whether the stake port is asked at all; without a chain it is neutral."""
