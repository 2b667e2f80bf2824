"""Every bound of the protocol and of this node, in one place, with its unit and its reason.

What happens at a limit is written in protocol/; a test stands one below, at and one above each of those that
a peer can reach.
"""

# --- wire -----------------------------------------------------------------------------------------------------
FRAME_BYTES_MAX = 1 << 20
"""One length-prefixed frame on a stream. Larger things are chunked. protocol/00 CNV-6."""
MESSAGE_BYTES_MAX = 64 * 1024
"""One canonical message, decoded in memory. protocol/00 CNV-4."""
ENVELOPE_BYTES_MAX = MESSAGE_BYTES_MAX + 512
"""A message plus key, type and signature. protocol/02 ENV-2."""
GOSSIP_BYTES_MAX = 4096
"""One gossip payload: gossip costs CPU on every node of the topic. protocol/03."""
NESTING_DEPTH_MAX = 8
"""Maps and arrays inside each other in one message. protocol/00 CNV-4."""
COLLECTION_ITEMS_MAX = 1024
"""Entries of one array or map in one message. protocol/00 CNV-4."""
NETWORK_NAME_CHARS_MAX = 24
"""Short enough that every DHT key stays under 50 bytes with its prefix."""

# --- identity -------------------------------------------------------------------------------------------------
BINDING_LIFETIME_MS_MAX = 366 * 24 * 3600 * 1000
"""A wallet binding is renewed at least once a year. protocol/01 IDN-6."""
CLOCK_SKEW_MS_MAX = 120_000
"""How far in the future a peer's timestamp may lie. protocol/00 CNV-9."""

# --- node record, presence, map -------------------------------------------------------------------------------
NODE_RECORD_BYTES_MAX = 4096
"""One signed node record, as stored in the DHT. protocol/03."""
RECORD_LIFETIME_MS_MAX = 24 * 3600 * 1000
"""A node record is refreshed at least once a day."""
RECORD_ADDRS_MAX = 8
RECORD_GPUS_MAX = 16
RECORD_RUNTIMES_MAX = 8
RECORD_LABELS_MAX = 16
PRESENCE_BYTES_MAX = 320
"""One signed heartbeat; about 200 bytes in practice."""
MAP_ENTRIES_MAX = 20_000
"""Nodes on the local map; past it the stalest INACTIVE entry makes room, and if none is, the newcomer waits."""
MAP_SYNC_ENTRIES_MAX = 64
"""Records in one sync answer; the asker continues from the last one."""
PROBE_WITNESSES = 3
"""Peers asked to probe a suspect before it becomes INACTIVE (SWIM's k)."""
PROBES_IN_FLIGHT_MAX = 64

# --- connections ----------------------------------------------------------------------------------------------
CONNECTIONS_MAX = 128
PEERS_TARGET = 8
"""Connections a node seeks by itself; over-degree leaves of a star are pruned and isolated below it."""
ADDRESS_BOOK_PEERS_MAX = 4096
ADDRS_PER_PEER_MAX = 8
DIALS_IN_FLIGHT_MAX = 8
DIAL_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 10.0
REQUESTS_INBOUND_MAX = 64
"""Requests served at once for all peers; more are answered with the code `busy`."""
REQUESTS_INBOUND_PER_PEER_MAX = 16
STREAMS_PER_PEER_MAX = 64
HALF_OPEN_PER_SOURCE_MAX = 16
"""Unfinished inbound connections of one source address."""
EVENT_QUEUE_MAX = 4096
"""Events waiting for the node's core; gossip is dropped (and counted) first."""
EFFECTS_IN_FLIGHT_MAX = 256
PEER_EXCHANGE_ADDRS_MAX = 32

# --- handshake and sessions -----------------------------------------------------------------------------------
HANDSHAKE_TIMEOUT_S = 10.0
"""From the first byte to the last; a slow peer is cut off. protocol/01 HSK."""
HANDSHAKES_INBOUND_MAX = 32
HANDSHAKES_PER_PEER_MAX = 2
NONCE_CACHE_MAX = 65_536
"""Hello nonces remembered; each for twice the clock skew."""
SESSION_LIFETIME_S = 3600.0
SESSION_REKEY_MESSAGES = 1 << 20
SESSION_REKEY_S = 900.0
SESSIONS_MAX = 1024

# --- state machines -------------------------------------------------------------------------------------------
HISTORY_MAX = 32
"""Transitions that each machine remembers for its error reports."""

# --- local store ----------------------------------------------------------------------------------------------
JOURNAL_ENTRY_BYTES_MAX = 1 << 20
JOURNAL_COMPACT_AFTER_ENTRIES = 10_000
