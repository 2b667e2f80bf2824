"""The network port over py-libp2p 0.8.1. Nothing else in the package imports libp2p.

Import `skyops_p2p.adapters.libp2p.network` for the class: this package itself stays empty, because importing
libp2p takes half a second. What is known of libp2p's sharp edges, and which file contains each of them:

    logs.py       import-time logging effects, ordinary disconnects logged as errors
    patches.py    functions replaced inside libp2p, guarded by its exact version
    transport.py  the TCP listener and its sockets: real bind errors, byte counters, silent peers
    swarm.py      admission of inbound connections, limits, quick shutdown, no dialling on its own
    advertised.py no unspecified address is told or believed
    peerstore.py  what is remembered of peers, bounded
    health.py     frozen peers are found by silence
    agreement.py  a dialler that does not wait for each line's answer
    dialling.py   one address after the other, within a deadline
    events.py     the one channel, gossip dropped first
    relay.py      circuits and hole punching
    host.py       Noise and yamux alone, per-stream containment and limits
    gossip.py     GossipSub's parameters, pacing and the facade; pubsub.py reads and judges messages
    dht.py        our own protocol prefix, validated records, provider keys, deadlines
    frames.py     length-prefixed frames over a stream
    requests.py   requests and responses over long-lived streams
    discovery.py  multicast DNS on the local network
    network.py    the port itself
"""
