"""The port Follower: events from a checkpoint in the local store, once their blocks are deep enough."""

import logging

import trio

from skyops_p2p import limits
from skyops_p2p.core.chain.facts import LogFilter
from skyops_p2p.core.chain.following import Checkpoint, LogBatch, check_checkpoint, next_range
from skyops_p2p.errors import ChainError, LocalProtocolError, RemoteProtocolError, StoreError
from skyops_p2p.ports import Chain, Store
from skyops_p2p.wire import canonical

logger = logging.getLogger(__name__)

_FINAL = frozenset({"reorg_too_deep", "chain_replaced", "chain_wrong"})
"""What waiting does not mend."""


class LogFollower:
    """Hands out events; see the port.

    Args:
        name: Of its checkpoint, at most CHAIN_FOLLOW_NAME_CHARS_MAX characters.
        wanted: Which events; they may not change under one name.
        first: Where to begin without a checkpoint: the block in which the contract was made, 1 at least.
        confirmations: Blocks above an event's own that make it final, 0 to CHAIN_REORG_BLOCKS_MAX.
        poll_s: Seconds between looks.
    """

    def __init__(
        self,
        chain: Chain,
        store: Store,
        *,
        name: str,
        wanted: LogFilter,
        first: int,
        confirmations: int,
        poll_s: float,
    ) -> None:
        if not 0 < len(name) <= limits.CHAIN_FOLLOW_NAME_CHARS_MAX or first < 1:
            raise LocalProtocolError("a follower has a short name, and begins at block 1 or later")
        self._chain = chain
        self._store = store
        self._value_name = f"chain-follow-{chain.chain_id}-{name}"
        self._wanted = wanted
        self._first = first
        self._confirmations = confirmations
        self._poll_s = poll_s
        self._checkpoint: Checkpoint | None = None
        self._given: LogBatch | None = None

    async def next(self) -> LogBatch:
        """Wait for further events; blocks without any are passed over."""
        if self._given is not None:
            raise LocalProtocolError("the batch before is not done")
        while True:
            try:
                batch = await self._read()
            except ChainError as error:
                if error.code in _FINAL:
                    raise
                logger.warning("chain_follow_failed name=%s code=%s", self._value_name, error.code)
                batch = None
            if batch is None:
                await trio.sleep(self._poll_s)
            elif batch.logs:
                self._given = batch
                return batch
            else:
                await self._keep(batch.checkpoint)

    async def done(self, batch: LogBatch) -> None:
        """Note for good that a batch was dealt with."""
        if batch is not self._given:
            raise LocalProtocolError("this batch was not given last")
        with trio.CancelScope(shield=True):
            await self._keep(batch.checkpoint)
        self._given = None

    async def _read(self) -> LogBatch | None:
        """Return the next blocks' events, or None if no further block is deep enough."""
        checkpoint = await self._where()
        head = await self._chain.head()
        wanted_range = next_range(checkpoint, head.number, confirmations=self._confirmations)
        if wanted_range is None:
            return None
        first, last = wanted_range
        end = await self._chain.block(last)
        if end is None:
            return None  # an endpoint that lags; the next look asks again
        logs = await self._chain.logs(self._wanted, first, last)
        # Both ends as before: then what lies between is one chain, and the one that was followed so far.
        check_checkpoint(checkpoint, await self._chain.block(checkpoint.number))
        after = await self._chain.block(last)
        if after is None or after.hash != end.hash:
            raise ChainError(f"block {last} changed while it was read", code="chain_moved")
        return LogBatch(logs, Checkpoint(last, end.hash))

    async def _where(self) -> Checkpoint:
        if self._checkpoint is None:
            kept = await self._store.value(self._value_name)
            self._checkpoint = _decoded(kept) if kept is not None else await self._beginning()
        return self._checkpoint

    async def _beginning(self) -> Checkpoint:
        before = await self._chain.block(self._first - 1)
        if before is None:
            raise ChainError(f"the chain has no block {self._first - 1} yet", code="chain_moved")
        return Checkpoint(before.number, before.hash)

    async def _keep(self, checkpoint: Checkpoint) -> None:
        await self._store.set_value(
            self._value_name, canonical.encode({0: checkpoint.number, 1: checkpoint.hash})
        )
        self._checkpoint = checkpoint


def _decoded(kept: bytes) -> Checkpoint:
    try:
        fields = canonical.decode(kept)
        return Checkpoint(fields[0], fields[1])
    except (RemoteProtocolError, KeyError, TypeError) as error:
        raise StoreError("a follower's checkpoint cannot be read", code="store_torn") from error
