"""The requester's end of a lease: opens sessions with the worker, attaches again, and turns messages into events."""

import logging
from collections.abc import Awaitable, Callable

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.receipts import LeaseFacts
from skyops_p2p.core.rules import LEASE_PROTOCOL
from skyops_p2p.errors import NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.node.lease_link import FROM_WORKER, LeaseLink
from skyops_p2p.node.session import LiveSession
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages import execution as msg
from skyops_p2p.wire.model import Message

log = logging.getLogger(__name__)

OpenSession = Callable[[PeerId, str], Awaitable[LiveSession]]
"""(worker, stream protocol) -> an established session, dialling if need be."""


class LeaseClient:
    """One lease as its requester holds it; at most one session at a time.

    Args:
        facts: Of the lease.
        open_session: Reaches the worker.
    """

    def __init__(self, facts: LeaseFacts, open_session: OpenSession) -> None:
        self.facts = facts
        self._open_session = open_session
        self._link: LeaseLink | None = None

    @property
    def is_linked(self) -> bool:
        """Whether a session stands."""
        return self._link is not None and self._link.is_open

    @property
    def session(self) -> LiveSession | None:
        """The one that stands."""
        return self._link.session if self._link is not None else None

    async def begin(self, first: msg.LeaseOpen | msg.LeaseAttach) -> msg.LeaseReady:
        """Open a session and say what the lease begins with.

        Returns:
            The worker's word that the lease stands.

        Raises:
            NetworkError: The worker cannot be reached, or does not answer in time.
            RemoteProtocolError: It refuses; the code says why.
        """
        await self.close("superseded")
        try:
            session = await self._open_session(self.facts.worker, LEASE_PROTOCOL)
        except RemoteProtocolError as error:  # of the handshake: it says nothing about the lease
            raise NetworkError(
                f"no session: {error.message} ({error.code})", code="session_failed"
            ) from error
        link = LeaseLink(session, FROM_WORKER)
        try:
            with trio.fail_after(limits.LEASE_ANSWER_TIMEOUT_S):
                await link.send(first)
                answer = await link.receive()
        except trio.TooSlowError as error:
            await link.aclose("timeout")
            raise NetworkError("the worker did not answer in time", code="timeout") from error
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.LEASE_BEAT_S):
                await link.aclose("failed")
            raise
        if isinstance(answer, msg.LeaseRefused):
            await link.aclose("refused")
            raise RemoteProtocolError(
                answer.text or answer.code, code=answer.code, rule="EXE-1", peer=self.facts.worker
            )
        if not isinstance(answer, msg.LeaseReady) or answer.epoch != self.facts.epoch:
            await link.aclose("wrong_type")
            raise RemoteProtocolError(
                "no answer to a lease", code="wrong_type", rule="EXE-18", peer=self.facts.worker
            )
        self._link = link
        return answer

    async def serve(self, take: Callable[[Message], Awaitable[None]]) -> SkyopsError:
        """Read the present session until it ends, and return why: a RemoteProtocolError for what the worker sent.

        Args:
            take: Takes each message; a RemoteProtocolError of it ends the session with its code.
        """
        link = self._link
        if link is None:
            return NetworkError("no session stands", code="session_failed")
        try:
            while True:
                await take(await link.receive())
        except NetworkError as error:
            return NetworkError(error.message, code=link.session.code or error.code)
        except RemoteProtocolError as error:
            log.info("lease_message_refused worker=%s code=%s", link.peer[-8:], error.code)
            await link.aclose(error.code)
            return error
        except SkyopsError as error:  # a full disk: the log is fetched again once there is room
            log.warning("lease_interrupted worker=%s code=%s", link.peer[-8:], error.code)
            await link.aclose("interrupted")
            await trio.sleep(limits.FLUSH_INTERVAL_S)
            return error
        finally:
            if self._link is link:
                self._link = None

    async def send(self, message: Message) -> bool:
        """Send if a session stands; whether it went out. What was lost is noticed by whoever reads the session."""
        if self._link is None:
            return False
        try:
            await self._link.send(message)
        except NetworkError as error:
            log.debug("not_sent kind=%s code=%s", message.name, error.code)
            return False
        return True

    async def close(self, code: str) -> None:
        """End the present session, if there is one."""
        link, self._link = self._link, None
        if link is not None:
            await link.aclose(code)
