"""Bounds of connections, gossip, sessions, and the libp2p adapter."""

# --- connections --------------------------------------------------------------------------------------------
CONNECTIONS_MAX = 128
"""Connections held, inbound and outbound; the default of the setting network.connections_max."""
PEERS_TARGET = 8
"""Connections a node seeks by itself; over-degree leaves of a star are pruned and isolated below it."""
ADDRESS_BOOK_PEERS_MAX = 4096
"""Peers whose addresses are remembered."""
ADDRS_PER_PEER_MAX = 8
"""Addresses remembered for one peer."""
DIALS_IN_FLIGHT_MAX = 8
"""Dials under way at once."""
DIAL_TIMEOUT_S = 10.0
"""TCP, Noise, yamux and identify of one outbound connection, together."""
REQUEST_TIMEOUT_S = 10.0
"""From a request to its answer where the caller gives no time of its own."""
REQUESTS_INBOUND_MAX = 64
"""Requests served at once for all peers; more are answered with the code `busy`."""
REQUESTS_INBOUND_PER_PEER_MAX = 16
"""Requests of one peer served at once; more are answered with the code `busy`."""
STREAMS_PER_PEER_MAX = 64
"""Streams of one peer, both directions; more are reset."""
HALF_OPEN_PER_SOURCE_MAX = 16
"""Unfinished inbound connections of one source address."""
EVENT_QUEUE_MAX = 4096
"""Events waiting for the node's core; gossip is dropped (and counted) first."""
EFFECTS_IN_FLIGHT_MAX = 256
"""Effects being performed at once; the core waits for a free place."""
PEER_EXCHANGE_ADDRS_MAX = 32
"""Peers in one answer of peer exchange. protocol/03."""

# --- libp2p adapter -----------------------------------------------------------------------------------------
INBOUND_UPGRADE_TIMEOUT_S = 5.0
"""Noise and yamux negotiation of an inbound connection; afterwards the socket is closed."""
HALF_OPEN_MAX = 256
"""Unfinished inbound connections of all sources; past it the oldest of the worst source makes room."""
STREAM_NEGOTIATION_TIMEOUT_S = 8.0
"""Choosing the protocol of one stream, either side."""
NEGOTIATION_BYTES_MAX = 64 * 1024
"""One multistream-select line; libp2p itself reads some megabytes before it gives up."""
YAMUX_WINDOW_BYTES_MAX = 2 << 20
"""Receive window of one stream: room for one whole frame and its successor; more kills js peers."""
YAMUX_FRAME_BYTES_MAX = 2 * YAMUX_WINDOW_BYTES_MAX
"""One data frame: js peers send all the credit that they have in one, and libp2p gives more than a window of it."""
YAMUX_BUFFER_BYTES_MAX = 16 << 20
"""Unread bytes of one connection over all its streams; a peer that ignores its windows is cut off there."""
IDENTIFY_BYTES_MAX = 64 * 1024
"""What a peer says of itself; honest ones need 2 KiB."""
GOSSIP_RPC_BYTES_MAX = 256 * 1024
"""One pubsub frame (several messages and control)."""
GOSSIP_RPC_MESSAGES_MAX = 256
"""Messages taken from one pubsub frame; the rest is dropped."""
GOSSIP_CONTROL_ITEMS_MAX = 500
"""Message ids or topics taken from one control list of a pubsub frame."""
GOSSIP_QUEUE_MAX = 512
"""Pubsub frames waiting for one peer (libp2p's 32 lose bursts); beyond it new ones are dropped."""
GOSSIP_QUEUE_PACE = 64
"""Publishing waits while some mesh peer has this many frames waiting."""
GOSSIP_PUBLISH_TIMEOUT_S = 5.0
"""How long one publish may be paced."""
GOSSIP_SEEN_MAX = 65_536
"""Message ids remembered against duplicates."""
GOSSIP_SEEN_S = 120.0
"""How long a message id is remembered; longer than gossip travels."""
GOSSIP_PER_PEER_RATE = 200.0
"""Messages per second taken from one forwarder in the long run; more are dropped unread."""
GOSSIP_PER_PEER_BURST = 1000
"""Messages taken from one forwarder at once, before the rate bites."""
GOSSIP_MALFORMED_MAX = 3
"""Malformed pubsub frames of one connection before the peer is disconnected."""
GOSSIP_TOPICS_PER_PEER_MAX = 32
"""Subscriptions remembered for one peer."""
REQUEST_IDLE_S = 120.0
"""A long-lived request stream without requests is closed after this."""
REQUEST_STREAMS_IDLE_MAX = 4
"""Idle request streams kept for one peer and protocol."""
REQUEST_REFUSAL_BYTES_MAX = 64
"""Code of a refusal in a response frame."""
STREAM_LINGER_S = 10.0
"""A closed stream waits this long for the peer's own close before it is reset."""
STREAMS_LINGERING_MAX = 1024
"""Closed streams that wait for the peer's close; past it they are reset at once."""
STREAM_CLOSE_TIMEOUT_S = 1.0
"""Sending the close of one stream."""
WRITE_STALL_MAX_S = 5.0
"""A yamux frame that cannot be written for this long ends its connection."""
HEALTH_INTERVAL_S = 5.0
"""A connection silent for this long is pinged (a yamux PING frame)."""
CONNECTION_SILENCE_MAX_S = 15.0
"""A connection without a byte for this long is dropped: its peer is frozen or gone."""
NETWORK_STOP_TIMEOUT_S = 2.5
"""Closing the host in order; afterwards its sockets are closed without ceremony."""
PSK_HEX_CHARS = 64
"""Hex digits of a private network's key: 32 bytes."""
DHT_RECORDS_MAX = 8192
"""Records and provider entries stored for others."""
DHT_KEY_BYTES_MAX = 50
"""A DHT key with its prefix; libp2p refuses longer ones."""
DHT_MESSAGE_BYTES_MAX = 256 * 1024
"""One DHT message on a stream."""
DHT_REPLICATION = 20
"""Kademlia's k."""
RELAY_RESERVATIONS_MAX = 64
"""Peers that a relay keeps reachable."""
RELAY_CIRCUITS_PER_PEER_MAX = 8
"""Circuits of one peer that this node relays at once."""
RELAY_CIRCUIT_BYTES_MAX = 256 << 20
"""Bytes through one circuit; it is closed after them: relays carry control, not results."""
RELAY_CIRCUIT_S = 1800
"""How long one relayed circuit may stand."""
RELAY_RESERVATION_S = 3600
"""How long a peer may keep its place on this relay before it asks again."""
RELAY_WATCH_S = 5.0
"""A node that is reached through a relay looks this often whether the relay is still connected."""
MDNS_PEERS_MAX = 256
"""Peers taken from multicast answers."""

# --- handshake and sessions ---------------------------------------------------------------------------------
HANDSHAKE_TIMEOUT_S = 10.0
"""From the first byte to the last; a slow peer is cut off. protocol/01 HSK."""
HANDSHAKES_INBOUND_MAX = 32
"""Handshakes answered at once; more are refused with the code `busy`."""
HANDSHAKES_PER_PEER_MAX = 2
"""Handshakes of one peer answered at once; more are refused with the code `busy`."""
NONCE_CACHE_MAX = 65_536
"""Hello nonces remembered; each for twice the clock skew."""
MANIFEST_WORDS_MAX = 8
"""Job modes, and tokens, that one manifest names. protocol/01."""
SESSION_LIFETIME_S = 3600.0
"""A session ends after this; a new handshake makes the next one. protocol/01."""
SESSION_REKEY_MESSAGES = 1 << 20
"""Messages under one key and direction, far below the cipher's bound. protocol/01."""
SESSION_REKEY_S = 900.0
"""Time under one key. protocol/01."""
SESSIONS_MAX = 1024
"""Sessions kept; past it the oldest is closed."""
