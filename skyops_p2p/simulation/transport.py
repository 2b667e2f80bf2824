"""What it costs to be connected: round trips before the first byte travels, and what becomes of a lost packet.

Small worlds do without: they are about what nodes decide. Worlds that measure latency take `LIBP2P`.
"""

from dataclasses import dataclass

RETRANSMIT_FIRST_S = 1.0
"""Until a packet is sent again on a connection whose round trip is not known yet (RFC 6298, 2.1)."""
RETRANSMIT_MIN_S = 0.2
"""What Linux adds at least to the smoothed round trip until a packet is sent again (TCP_RTO_MIN; RFC 6298 says 1 s)."""


@dataclass(frozen=True, slots=True)
class Transport:
    """How packets, connections and streams behave."""

    dial_round_trips: int = 3
    """Before a dial's connection stands: TCP, Noise and Yamux at their shortest."""
    stream_round_trips: int = 0
    """Before the first request of a new stream can be sent. A stream whose answer is in waits for the next request,
    up to REQUEST_STREAMS_IDLE_MAX of them, as in the adapter."""
    retransmits: bool = False
    """A lost packet of a request, an answer or gossip is sent again after the round trip and RETRANSMIT_MIN_S, then
    after twice as long, and so on, as TCP does; otherwise it is lost, and the question runs into its deadline."""


SHORT = Transport()
LIBP2P = Transport(dial_round_trips=3, retransmits=True)
"""As measured with our adapter of py-libp2p 0.8.1 over a proxy that delays by half a second each way: a dial took 3.2
round trips (TCP's, Noise's, the agreement on Yamux, and CPU), a request 1.05 on a new stream, 1.01 on an idle one."""
UNTAMED_LIBP2P = Transport(dial_round_trips=6, stream_round_trips=2, retransmits=True)
"""The same where each line of a negotiation waits for its answer, as py-libp2p does by itself: 6 for a dial, 3 for a
request on a new stream."""
CONNECTED = Transport(dial_round_trips=0, retransmits=True)
"""As if everybody were connected already."""
