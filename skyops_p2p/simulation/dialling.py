"""Dialling in memory: addresses that answer, refuse or stay silent; an identity that is proven or wrong."""

from typing import TYPE_CHECKING

import trio

from skyops_p2p.errors import NetworkError
from skyops_p2p.ports import PeerAddrs
from skyops_p2p.simulation.transport import RETRANSMIT_FIRST_S

if TYPE_CHECKING:
    from skyops_p2p.simulation.network import SimNetwork

REFUSED_S = 0.05
"""Until an address at which nobody listens says so."""


async def dial(dialer: "SimNetwork", target: PeerAddrs, *, timeout_s: float) -> None:
    """Connect a node to a peer; see ports.Network.dial."""
    await trio.lowlevel.checkpoint()
    if target.peer in dialer.connected_peers():
        return
    if target.peer == dialer.peer_id or not dialer.is_open:
        raise NetworkError(f"cannot dial {target.peer}", code="dial_failed")
    with trio.move_on_after(timeout_s):
        await _dial(dialer, target)
        return
    raise NetworkError(f"{target.peer} did not answer within {timeout_s:g} s", code="dial_failed")


async def _dial(dialer: "SimNetwork", target: PeerAddrs) -> None:
    fabric = dialer.fabric
    numbers = [number for addr in target.addrs if (number := fabric.listener_at(addr)) is not None]
    silent = [number for number in numbers if not _has_path(dialer, number)]
    answering = [number for number in numbers if number not in silent and fabric.member(number) is not None]
    if not answering:
        if silent:
            await trio.sleep_forever()
        await trio.sleep(REFUSED_S)
        raise NetworkError(f"no address of {target.peer} answers", code="dial_failed")
    await _shake_hands(dialer, answering[0])
    listener = fabric.member(answering[0])
    if listener is None or not _has_path(dialer, answering[0]):
        await trio.sleep_forever()
    elif listener.peer_id != target.peer:
        raise NetworkError(f"{listener.peer_id} answered for {target.peer}", code="wrong_peer")
    elif len(listener.connections) >= listener.connections_max:
        raise NetworkError(f"{target.peer} takes no more connections", code="dial_failed")
    elif dialer.is_open and target.peer not in dialer.connected_peers():  # it may have dialled us meanwhile
        fabric.connect(dialer, listener)


async def _shake_hands(dialer: "SimNetwork", number: int) -> None:
    """Spend the round trips of a dial; each lost packet costs a retransmission, TCP's first one a longer one."""
    fabric, round_trips = dialer.fabric, dialer.fabric.transport.dial_round_trips
    if round_trips == 0:
        return
    first_s = fabric.exchange_s(dialer.number, number, round_trips=1, rto_s=RETRANSMIT_FIRST_S)
    await trio.sleep(first_s + fabric.exchange_s(dialer.number, number, round_trips=round_trips - 1))


def _has_path(dialer: "SimNetwork", number: int) -> bool:
    faults = dialer.fabric.faults
    return not (faults.is_blocked(dialer.number, number) or faults.is_blocked(number, dialer.number))
