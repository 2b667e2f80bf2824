"""Messages of a lease over a session: typed on both sides, nothing else passes. Spec: protocol/05-execution.md."""

from collections.abc import Mapping

from skyops_p2p.core.execution.receipts import LeaseFacts
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.node.session import LiveSession
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages import execution as msg
from skyops_p2p.wire.messages.verification import ResultCommitted, RevealResult
from skyops_p2p.wire.model import Message, decode_fields, decode_message, encode_message

FROM_REQUESTER: Mapping[int, type[Message]] = {
    kind.number: kind
    for kind in (
        msg.LeaseOpen,
        msg.LeaseAttach,
        msg.Beat,
        RevealResult,
        msg.ResultTaken,
        msg.LeaseStop,
        msg.TaskStart,
    )
}
FROM_WORKER: Mapping[int, type[Message]] = {
    kind.number: kind
    for kind in (
        msg.LeaseReady,
        msg.LeaseRefused,
        msg.WorkerBeat,
        msg.LogBatch,
        msg.CheckpointSaved,
        ResultCommitted,
        msg.ResultReady,
        msg.PreemptionNotice,
        msg.TaskEnded,
    )
}


class LeaseLink:
    """One session that carries a lease.

    Args:
        session: Opened on the lease protocol.
        inbound: The messages that this side takes, by number.
    """

    def __init__(self, session: LiveSession, inbound: Mapping[int, type[Message]]) -> None:
        self.session = session
        self._inbound = inbound
        self._bytes_max = max(kind.bytes_max for kind in inbound.values())
        self._items_max = max(kind.items_max for kind in inbound.values())

    @property
    def peer(self) -> PeerId:
        """The other side."""
        return self.session.peer

    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent."""
        return self.session.is_open

    async def send(self, message: Message) -> None:
        """Send one message.

        Raises:
            NetworkError: Code `session_closed`, or the stream broke.
        """
        await self.session.send(encode_message(message))

    async def receive(self) -> Message:
        """Wait for the peer's next message.

        Raises:
            NetworkError: Code `session_closed`.
            RemoteProtocolError: `wrong_type` (out of place), `malformed`, `oversized`, `non_canonical`.

        Rules: EXE-18.
        """
        data = await self.session.receive()
        number = decode_fields(data, bytes_max=self._bytes_max, items_max=self._items_max)[0]
        kind = self._inbound.get(number)
        if kind is None:  # EXE-18
            raise RemoteProtocolError(
                f"message {number} has no place here", code="wrong_type", rule="EXE-18", peer=self.peer
            )
        return decode_message(kind, data)

    async def aclose(self, code: str = "done") -> None:
        """End the session, with a reason for the peer."""
        await self.session.aclose(code)


def short_name(facts: LeaseFacts) -> str:
    """Return a lease's name for logs, sandboxes and directories: job, shard and epoch."""
    return f"{facts.job_id.hex()[:12]}-{facts.shard}-{facts.epoch}"


def copy_label(facts: LeaseFacts) -> str:
    """Return the label under which keepers have copies of a shard's newest checkpoint."""
    return f"{facts.job_id.hex()}/{facts.shard}"
