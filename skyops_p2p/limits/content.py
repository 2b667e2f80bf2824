"""Bounds of encrypted content and its transfer."""

# --- content ------------------------------------------------------------------------------------------------------
CONTENT_CHUNK_BYTES = 262_104
"""Plaintext of one sealed chunk: with nonce and tag the block is 256 KiB, IPFS's own size. protocol/05b CON-2."""
CONTENT_BLOCK_BYTES_MAX = (1 << 20) - 16
"""One block of a bundle: with its status byte it fits a frame. The largest is a directory with all its files."""
CONTENT_FOREIGN_BLOCK_BYTES_MAX = 2 << 20
"""One block of IPFS, which Bitswap bounds so."""
CONTENT_LINKS_MAX = 16_400
"""Links of one node that is read; larger directories of IPFS are sharded, and not read."""
CONTENT_DEPTH_MAX = 8
"""Levels of a file's tree that are read; four of 174 links hold 240 TB."""
CONTENT_OBJECT_BYTES_MAX = 1 << 42
"""Plaintext of one file: 4 TiB."""
CONTENT_FILES_MAX = 16_384
"""Files of one bundle: its directory fits a block."""
CONTENT_PATH_BYTES_MAX = 1024
"""One path in a bundle."""
CONTENT_MANIFEST_BYTES_MAX = 24 << 20
"""List of files of one bundle: CONTENT_FILES_MAX of the longest paths."""
CONTENT_BLOCKS_MAX = 1 << 24
"""Blocks of one bundle: 4 TiB."""
CONTENT_BATCH_BYTES = 3 << 20
"""Blocks that are sealed, checked, stored or opened by one call of a thread: enough to make the call cheap."""
CONTENT_BATCH_BLOCKS_MAX = 256
"""Blocks in such a batch, however small."""
CONTENT_BATCHES_IN_FLIGHT = 2
"""Batches of one transfer under way at once, so memory is bounded: 6 MiB and as much again where they are copied. With
more it is not quicker, and an input of 1 GiB takes a node 80 MiB instead of 50."""
CONTENT_OWNER_CHARS_MAX = 256
"""Who pinned a block, "job/<id>"; of a copy the peer, its label and the bundle."""
CONTENT_LABEL_CHARS_MAX = 96
"""What a peer calls a copy that it asks others to keep."""
CONTENT_COPIES_TOLD_MAX = 3
"""Copies in one answer: with their notes they fit a message."""
CONTENT_NOTE_BYTES_MAX = 16 * 1024
"""What goes with a copy, such as the receipt of a checkpoint."""
CONTENT_HOLDERS_MAX = 8
"""Holders that one fetch asks at once."""
CONTENT_WINDOW_BLOCKS = 64
"""Blocks asked of one holder and not yet received: 16 MiB keep a gigabit link of 100 ms full."""
CONTENT_STALL_S = 15.0
"""A holder that owes blocks and sends none for so long is dropped."""
CONTENT_ATTEMPTS_MAX = 4
"""How often one block is asked for of all holders together, before the fetch fails."""
CONTENT_OPEN_TIMEOUT_S = 5.0
"""Connecting a data channel, or opening a stream for blocks, and its handshake."""
CONTENT_SERVE_BATCH_BLOCKS = 4
"""Blocks read at once to be served: 1 MiB; the next are read while these are sent."""
CONTENT_IDLE_S = 120.0
"""A data channel or stream for blocks without a request is closed after this."""
CONTENT_CHANNELS_MAX = 32
"""Data channels, and streams for blocks, served at once, each; more are closed unanswered. Slow readers on all of them
hold 128 MiB."""
CONTENT_CHANNELS_PER_PEER_MAX = 6
"""Data channels, and streams for blocks, of one peer served at once, each."""
CONTENT_LINKS_PER_HOLDER_MAX = 3
"""Links that this node opens to one holder: half of what it serves (CONTENT_CHANNELS_PER_PEER_MAX), since it may not
have noticed yet that as many were closed."""
CONTENT_CHANNELS_HALF_OPEN_MAX = 32
"""Data channels that have not shown that they know the key; the oldest is closed for a new one."""
CONTENT_OFFERS_MAX = 1024
"""Data channels offered and not yet used; past it the oldest offer is void."""
CONTENT_OFFER_S = 3600.0
"""An offer of a data channel is good for this long: a session's lifetime."""
CONTENT_SERVE_BYTES_PER_S = 1 << 30
"""Served to one peer in the long run; past it, its answers wait."""
CONTENT_SERVE_BURST_BYTES = 1 << 30
"""Served to one peer at once, before CONTENT_SERVE_BYTES_PER_S bites."""
CONTENT_QUOTA_MIB = 20 * 1024
"""Blocks kept on disk; the default of the setting content.quota_mib."""
CONTENT_REPLICA_MIB = 1024
"""Blocks kept for one peer's bundles; the default of the setting content.replica_mib."""
CONTENT_REPLICA_S_MAX = 14 * 86_400
"""How long a peer may ask for a copy to be kept; it may ask again."""
CONTENT_COPIES_FETCHED_MAX = 4
"""Bundles fetched for others at once; more are refused with the code `busy`."""
CONTENT_REPLICAS_MAX = 256
"""Bundles kept for others at a time."""
IPFS_WANTS_MAX = 128
"""Blocks asked of IPFS nodes at once, and wants taken from one message of theirs."""
IPFS_MESSAGE_BYTES_MAX = 4 << 20
"""One Bitswap message; IPFS nodes send up to 2 MiB and one block."""
IPFS_TIMEOUT_S = 30.0
"""How long one IPFS node may take for a batch of wants before the next is asked."""
IPFS_POLL_S = 0.05
"""How often a want looks whether its block was said to be absent."""
CONTENT_REPLICA_POLL_S = 0.5
"""How often a peer that copies a bundle is asked whether it has all; doubles up to thirty times this."""
