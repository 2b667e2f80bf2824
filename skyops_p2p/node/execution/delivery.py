"""A sealed result that outlived its run: after a restart it waits for its owner. Spec: EXE-15, EXE-16."""

import logging
from collections.abc import Iterable

from skyops_p2p.core.execution.outcomes import SUCCEEDED
from skyops_p2p.core.execution.receipts import LeaseFacts
from skyops_p2p.errors import NetworkError, SkyopsError
from skyops_p2p.node.execution.offer import ResultOffer
from skyops_p2p.node.execution.tools import RunTools
from skyops_p2p.node.lease_link import LeaseLink, short_name
from skyops_p2p.wire.messages import execution as msg
from skyops_p2p.wire.messages.verification import RevealResult

log = logging.getLogger(__name__)

PARTS = ("inputs", "outputs", "log")
"""Under "run/NAME/PART" the content store keeps what belongs to a run, and checkpoints under names of their own."""


class Delivery:
    """One result that nobody has taken yet.

    Args:
        facts: Of the lease.
        offer: The result.
        tools: Of the node.
    """

    def __init__(self, facts: LeaseFacts, offer: ResultOffer, tools: RunTools) -> None:
        self.facts = facts
        self.is_taken = False
        self._offer = offer
        self._tools = tools

    async def carry(self, link: LeaseLink) -> None:
        """Offer the result in a session, until it is taken or the session ends.

        Raises:
            RemoteProtocolError: The peer sends nonsense.

        Rules: EXE-15.
        """
        try:
            await link.send(msg.LeaseReady(epoch=self.facts.epoch, phase="delivering", log_count=0))
            await link.send(self._offer.message())
            while not self.is_taken:
                message = await link.receive()
                if isinstance(message, RevealResult) and self._offer.show(message):
                    await link.send(self._offer.message())
                if isinstance(message, msg.ResultTaken) and self._offer.is_taken_by(message.receipt):
                    self.is_taken = True
                    await release_run(self._tools, self.facts, code=SUCCEEDED)
        except NetworkError as error:
            log.info("delivery_broken run=%s code=%s", short_name(self.facts), error.code)


async def release_run(tools: RunTools, facts: LeaseFacts, *, code: str, owners: Iterable[str] = ()) -> None:
    """Let go of what the store holds for a run, and of its journal but for the epoch.

    What cannot be released now, because the disk is full or the store closed, is released at the next start.

    Args:
        tools: Of the node.
        facts: Of the lease.
        code: How it ended.
        owners: Besides PARTS, under which its checkpoints are kept.
    """
    name = short_name(facts)
    try:
        for owner in (*owners, *(f"run/{name}/{part}" for part in PARTS)):
            await tools.shelf.release(owner)
        await tools.journal.end(facts, code)
    except SkyopsError as error:
        log.warning("run_not_released run=%s code=%s", name, error.code)
