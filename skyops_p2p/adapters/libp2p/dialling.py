"""Dial peers: one address after the other, within a deadline, and only the peer that was asked for."""

import logging
from typing import Any

import trio
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from multiaddr import Multiaddr as RawMultiaddr
from multiaddr.exceptions import Error as MultiaddrError

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.frames import FOREIGN_ERRORS
from skyops_p2p.adapters.libp2p.relay import CIRCUIT_MARK, Relay
from skyops_p2p.errors import NetworkError
from skyops_p2p.ports import PeerAddrs
from skyops_p2p.types import Multiaddr, PeerId

logger = logging.getLogger(__name__)

WRONG_PEER_MARKS = (
    "Peer ID mismatch",
    "PeerIDMismatchesPubkey",
    "does not match the peer",
    "does not correspond",
)
"""How libp2p words that somebody else answered."""
ADDRESS_LIFETIME_S = 3600
"""How long libp2p keeps a dialled address for its own dials (the DHT's)."""


class Dialler:
    """Opens connections over one swarm; at most DIALS_IN_FLIGHT_MAX at once, one per peer."""

    def __init__(self, swarm: Any, peerstore: Any, own: ID, relay: Relay | None) -> None:
        self._swarm = swarm
        self._peerstore = peerstore
        self._own = own
        self._relay = relay
        self._limiter = trio.CapacityLimiter(limits.DIALS_IN_FLIGHT_MAX)
        self._locks: dict[ID, trio.Lock] = {}

    async def dial(self, target: PeerAddrs, *, timeout_s: float) -> None:
        """Connect to a peer.

        Raises:
            NetworkError: `dial_failed` or `wrong_peer`.
        """
        peer = parse_peer(target.peer)
        if peer == self._own:
            raise NetworkError("a node does not dial itself", code="dial_failed")
        lock = self._locks.setdefault(peer, trio.Lock())
        try:
            with trio.fail_after(timeout_s):
                async with lock, self._limiter:
                    await self._dial_any(peer, target.addrs, trio.current_time() + timeout_s)
        except trio.TooSlowError as error:
            raise NetworkError(
                f"{target.peer} did not answer within {timeout_s:g} s", code="dial_failed"
            ) from error
        finally:
            if not lock.statistics().tasks_waiting:
                self._locks.pop(peer, None)

    async def _dial_any(self, peer: ID, addrs: tuple[Multiaddr, ...], deadline: float) -> None:
        failures: list[NetworkError] = []
        candidates = addrs[: limits.ADDRS_PER_PEER_MAX]
        for index, text in enumerate(candidates):
            if self._swarm.get_connections(peer):
                return
            share_s = max(0.05, (deadline - trio.current_time()) / (len(candidates) - index))
            try:
                await self._dial_one(peer, text, share_s)
            except NetworkError as error:
                failures.append(error)
            else:
                return
        if self._swarm.get_connections(peer):
            return
        wrong = next((failure for failure in failures if failure.code == "wrong_peer"), None)
        if wrong is not None:
            raise wrong
        reasons = "; ".join(str(failure) for failure in failures) or "it has no addresses"
        raise NetworkError(f"cannot reach {peer}: {reasons}", code="dial_failed")

    async def _dial_one(self, peer: ID, text: Multiaddr, timeout_s: float) -> None:
        addr = parse_dialable(text, peer)
        try:
            with trio.fail_after(timeout_s):
                if CIRCUIT_MARK not in text:
                    await self._swarm.dial_addr(addr, peer)
                elif self._relay is None:
                    raise NetworkError(f"{text} leads over a relay, and relaying is off", code="dial_failed")
                else:
                    await self._relay.dial(addr, peer)
        except trio.TooSlowError as error:
            raise NetworkError(f"{text} did not answer", code="dial_failed") from error
        except (SwarmException, *FOREIGN_ERRORS) as error:
            story = _story(error)
            if any(mark in story for mark in WRONG_PEER_MARKS):
                raise NetworkError(
                    f"another peer than {peer} answers at {text}", code="wrong_peer"
                ) from error
            logger.debug("dial_failed addr=%s reason=%s", text, story)
            raise NetworkError(f"{text} cannot be connected to", code="dial_failed") from error
        self._peerstore.add_addrs(peer, [addr], ADDRESS_LIFETIME_S)


def parse_peer(peer: PeerId) -> ID:
    """Return libp2p's form of a peer id.

    Raises:
        NetworkError: It is not a peer id (`unknown_peer`).
    """
    try:
        return ID.from_base58(peer)
    except (ValueError, KeyError) as error:
        raise NetworkError(f"{peer!r} is not a peer id", code="unknown_peer") from error


def parse_dialable(text: Multiaddr, peer: ID) -> RawMultiaddr:
    """Return libp2p's form of an address, without its /p2p part.

    Raises:
        NetworkError: Not an address (`dial_failed`), or of another peer (`wrong_peer`).
    """
    head, mark, tail = text.partition("/p2p/")
    if mark and "/" not in tail and tail != peer.to_base58():
        raise NetworkError(f"{text} names another peer than {peer}", code="wrong_peer")
    try:
        return RawMultiaddr(head if "/" not in tail else text)
    except (MultiaddrError, ValueError) as error:
        raise NetworkError(f"{text!r} is not an address", code="dial_failed") from error


def _story(error: BaseException | None) -> str:
    parts: list[str] = []
    while error is not None and len(parts) < 8:
        parts.append(f"{type(error).__name__}: {error}")
        error = error.__cause__ or error.__context__
    return " <- ".join(parts)
