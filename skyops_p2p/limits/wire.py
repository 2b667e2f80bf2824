"""Bounds of messages, identities and records."""

# --- wire ---------------------------------------------------------------------------------------------------
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

# --- identity -----------------------------------------------------------------------------------------------
BINDING_LIFETIME_MS_MAX = 366 * 24 * 3600 * 1000
"""A wallet binding is renewed at least once a year. protocol/01 IDN-6."""
BINDINGS_CACHED_MAX = 4096
"""Bindings whose signatures are remembered as good: about 3 MiB when full."""
RECORDS_CACHED_MAX = 1024
"""Node records whose signatures are remembered as good: at most 8 MiB, of which the map holds most anyway."""
CLOCK_SKEW_MS_MAX = 120_000
"""How far in the future a peer's timestamp may lie. protocol/00 CNV-9."""

# --- node record, presence, map -----------------------------------------------------------------------------
NODE_RECORD_BYTES_MAX = 4096
"""One signed node record, as stored in the DHT. protocol/03."""
RECORD_LIFETIME_MS_MAX = 24 * 3600 * 1000
"""A node record is refreshed at least once a day."""
RECORD_ADDRS_MAX = 8
"""Multiaddrs in one node record. protocol/03."""
RECORD_GPUS_MAX = 16
"""GPUs in one node record. protocol/03."""
RECORD_RUNTIMES_MAX = 8
"""Runtimes in one node record. protocol/03."""
RECORD_LABELS_MAX = 16
"""Labels in one node record. protocol/03."""
PRESENCE_BYTES_MAX = 320
"""One signed heartbeat; about 200 bytes in practice."""
MAP_ENTRIES_MAX = 20_000
"""Nodes on the local map; past it the stalest INACTIVE one makes room, and if none is, the newcomer waits."""
MAP_SYNC_ENTRIES_MAX = 64
"""Records in one sync answer; the asker continues from the last one."""
PROBE_WITNESSES = 3
"""Peers asked to probe a suspect before it becomes INACTIVE (SWIM's k)."""
PROBES_IN_FLIGHT_MAX = 64
"""Suspects probed at once; further suspects wait for a free place."""
