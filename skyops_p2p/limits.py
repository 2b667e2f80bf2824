"""Every bound of the protocol and of this node, in one place, with its unit and its reason.

What happens at a limit is written in protocol/; a test stands one below, at and one above each of those that
a peer can reach.
"""

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

# --- state machines -----------------------------------------------------------------------------------------
HISTORY_MAX = 32
"""Transitions that each machine remembers for its error reports."""

# --- local store --------------------------------------------------------------------------------------------
JOURNAL_ENTRY_BYTES_MAX = (1 << 20) + (64 << 10)
"""One journal entry: a proof with a whole frame in it, and what was said of it."""
STORE_VALUE_BYTES_MAX = 64 * 1024
"""One named value."""
STORE_WRITES_PER_COMMIT_MAX = 256
"""Waiting writes that share one transaction, and so one sync of the disk."""
STORE_CALLS_WAITING_MAX = 4096
"""Calls that wait for the store; more wait their turn before they are queued."""

# --- this machine -----------------------------------------------------------------------------------------------
GPU_LOAD_TIMEOUT_S = 2.0
"""One look at how busy the GPUs of a job are; a driver that takes longer is not asked again."""
HARDWARE_PROBE_TIMEOUT_S = 10.0
"""Each part of the look at the machine: a broken GPU driver may hang for ever."""
ENGINE_TIMEOUT_S = 5
"""A container engine's or sandbox's answer; whole seconds, as its library counts them."""
DOCTOR_REACH_TIMEOUT_S = 3.0
"""One bootstrap peer's TCP answer to `skyops doctor`."""

# --- control API --------------------------------------------------------------------------------------------
API_BODY_BYTES_MAX = 64 * 1024
"""One request body; the largest legitimate one is a list of peers."""
API_REQUESTS_PER_S = 100.0
"""Sustained requests of all clients together; more are answered 429."""
API_REQUESTS_BURST = 200
"""Requests that may come at once before API_REQUESTS_PER_S bites."""
API_EVENT_STREAMS_MAX = 16
"""Clients that follow `GET /v1/events` at once."""
API_EVENT_HEARTBEAT_S = 10.0
"""Silence on an event stream after which a comment line shows that it still lives."""
API_OPERATION_TIMEOUT_S = 30.0
"""A ping, handshake or join asked for over the API; the network's own timeouts are shorter."""
API_ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""What the command line reads of one answer: a map of MAP_ENTRIES_MAX nodes fits."""
API_SUBMIT_BYTES_MAX = 512 * 1024
"""The body of `POST /v1/jobs`: a job file of JOB_FILE_BYTES_MAX and SECRETS_BYTES_MAX as base64 fit."""
API_PATH_CHARS_MAX = 4096
"""A path of this machine in a request: PATH_MAX of Linux."""
API_JOB_STREAMS_MAX = 64
"""Clients that follow jobs at once: matches, watched jobs, logs and results."""
API_JOB_WATCH_S = 0.2
"""Least time between two views on one watch stream; it grows with the shards, see API_JOB_WATCH_SHARDS."""
API_JOB_WATCH_SHARDS = 64
"""Shards that are shown every API_JOB_WATCH_S; of twice as many the views come half as often."""
API_JOB_LOOK_S = 1.0
"""A watched job is looked at this often even if nothing has happened: time remaining changes by itself."""
API_LINES_BYTES = 256 * 1024
"""Lines of a stream that are sent together when they wait already."""
API_LOG_LINE_CHARS_MAX = 16 * 1024
"""A line of a program's output is shown whole up to here; a longer one is shown in pieces."""
API_LOG_LINE_WAIT_S = 1.0
"""A line that has no end yet is shown after such a silence: a prompt, or a bar that the program draws."""

# --- local test networks ------------------------------------------------------------------------------------
TESTNET_NODES_MAX = 64
"""Processes of one local test network; each takes about 100 MiB and some CPU."""

# --- node core ----------------------------------------------------------------------------------------------
MAP_SYNC_BYTES_MAX = 40 * 1024
"""Records in one sync answer, together: the answer stays under MESSAGE_BYTES_MAX."""
MAP_RESTORE_MAX = 2000
"""Nodes read back from the local store at a start, the most recently seen: checked in well under a second."""
GOSSIP_BURST = 8.0
"""Presence messages of one author taken at once. protocol/03 PER-11."""
GOSSIP_PER_S = 1.0
"""Presence messages of one author in the long run; more are ignored, neither stored nor forwarded."""
GOSSIP_EXCESS_MAX = 256
"""Ignored messages of one author until a direct neighbour is banned as a flooder."""
VERIFIED_CACHE_MAX = 4096
"""Gossip payloads checked by the validator and not yet handled."""
PRESENCE_BUDGET_PER_S = 5.0
"""Heartbeats of all nodes of a topic in one second: intervals grow with the map. protocol/03 PER-10."""
PRESENCE_INTERVAL_S_MAX = 4000.0
"""Longest interval of heartbeats: MAP_ENTRIES_MAX / PRESENCE_BUDGET_PER_S. protocol/03 PER-8."""
RECORD_FETCH_BURST = 4.0
"""Questions for one node's record at once, when its heartbeats name a record that we lack."""
RECORD_FETCHES_PER_S = 0.5
"""Such questions in the long run: heartbeats that name a record that never comes cost little."""
SYNC_INTERVAL_S = 30.0
"""Anti-entropy with one random neighbour."""
RECORD_CHECK_S = 60.0
"""How often records are looked through for those that ran out, our own included."""
SYNC_ROUNDS_MAX = 512
"""Answers in a row in one synchronisation; MAP_ENTRIES_MAX / MAP_SYNC_ENTRIES_MAX and some."""
DISCOVERY_INTERVAL_S = 10.0
"""Questions to the DHT and to neighbours for more peers while below the target."""
DHT_REFRESH_S = 1800.0
"""Own record and provider keys are put again this often."""
FLUSH_INTERVAL_S = 2.0
"""Changed nodes of the map are written to the store together, this often."""
EVENT_FEED_MAX = 256
"""Events that one slow watcher may lag behind; more are dropped for it."""
EVENT_FEEDS_MAX = 64
"""Watchers of node events at once."""
SESSION_FRAME_BYTES_MAX = 256 * 1024
"""Plaintext of one session frame."""
SESSION_INBOX_MAX = 64
"""Session messages waiting for their reader; the stream is not read while it is full."""
REQUEST_BURST = 64.0
"""Requests of one peer answered at once. protocol/03 PER-18."""
REQUESTS_PER_S = 50.0
"""Requests of one peer in the long run; more are refused with the code `flood`."""
ORDERED_EFFECTS_MAX = 256
"""Effects waiting to be performed in order (store, gossip)."""
PUBLISH_TIMEOUT_S = 5.0
"""One gossip message handed to the network."""
DHT_TIMEOUT_S = 20.0
"""One question to the DHT, or one record put there, with all its hops."""
PROVIDE_KEYS_MAX = 32
"""Capability keys of one node in the DHT: 16 GPU models, and what else there is."""
HARDWARE_PROBE_INTERVAL_S = 600.0
"""The machine is looked at again this often."""

# --- auction ------------------------------------------------------------------------------------------------------
TENDER_BYTES_MAX = 2048
"""One enveloped tender; it is gossiped. protocol/04."""
TENDERS_CACHED_MAX = 128
"""Tenders whose signatures are remembered as good: as many as one worker answers at a time twice over, under 1 MiB."""
TENDER_LIFETIME_MS_MAX = 60_000
"""From a tender's issue to its expiry. protocol/04 AUC-3."""
TENDER_ROUNDS_MAX = 8
"""How often an announcement may be widened."""
TENDER_PEERS_MAX = 32
"""Peers in an allow or deny list of a tender: longer lists stay with the requester, which filters by itself."""
AUCTION_DIALS_MAX = 64
"""Dials to bidders and requesters under way at once: two tenders' invitations; more wait within their deadlines."""
TENDER_INVITES_MAX = 32
"""Workers asked directly in one round."""
TENDER_BIDS_MAX = 128
"""Commitments taken in one tender; later ones are declined with the code `book_full`."""
BOOK_BIDS_MAX = 16_384
"""Bids of one book that an audit reads."""
BOOK_BYTES_MAX = 64 << 20
"""One enveloped bid book."""
AUDIT_THREADS_MAX = 16
"""Threads that check the signatures of one book; what the interpreter does itself leaves no work for more."""
TENDER_GOSSIP_BURST = 32.0
"""Tenders of one author heard at once by gossip. protocol/04."""
TENDER_GOSSIP_GRACE_S = 0.2
"""A tender heard by gossip is answered only after this, unless it came directly: most come both ways, and one answer is
enough."""
TENDER_GOSSIP_PER_S = 8.0
"""Tenders of one author heard in the long run; more are ignored."""
TENDERS_OPEN_MAX = 64
"""Tenders that one worker answers, or one requester runs, at a time."""
MATCH_TIMEOUT_S = 5.0
"""From the tender to the confirmed award, or a stated failure."""
COMMIT_WINDOW_MS = 1500
"""How long commitments are taken where the caller says nothing; the window closes early when all have answered."""
REVEAL_WINDOW_MS = 1000
"""How long reveals are taken where the caller says nothing."""
AWARD_TIMEOUT_MS = 1000
"""How long one winner or reserve may take to confirm."""
RESERVATIONS_MAX = 256
"""Reservations of one worker's capacity at a time."""
MATCH_OUTCOMES_MAX = 1024
"""Nodes that the report of one match names; more are not remembered, so that a flood costs no memory."""
MATCH_WIDEN_MS_MIN = 500
"""Time that must be left of a match for a wider tender to be worth sending."""
LEASE_START_TIMEOUT_S = 60.0
"""A confirmed award whose job is not begun in this time is void, and the capacity free."""
WORKER_REFUSED_MAX = 1024
"""Requesters that a worker's settings name as not to work for."""
BOOK_FETCH_DELAY_S_MAX = 10.0
"""A worker that was let go asks for the bid book after a random part of this: all are let go at once. protocol/04
AUC-34."""
BOOK_FETCHES_MAX = 16
"""Bid books that one worker fetches at a time without having won; more are not looked at."""
PROOFS_KEPT_MAX = 128
"""Proofs of offences in auctions that a node keeps, one of each offence of an offender; the oldest makes room."""
TENDERS_SEEN_MAX = 4096
"""Tenders that a worker remembers against a second one with the same id; the oldest is forgotten."""

# --- job specification --------------------------------------------------------------------------------------------
JOB_FILE_BYTES_MAX = 256 * 1024
"""One job file in TOML, YAML or JSON."""
JOB_FILE_DEPTH_MAX = 16
"""Tables and lists inside each other in a job file; the specification itself needs four."""
JOB_FILE_ITEMS_MAX = 20_000
"""Values and tables of one YAML job file."""
JOB_SPEC_BYTES_MAX = 48 * 1024
"""Canonical form of one job specification; it fits a message to the winner."""
JOB_PROBLEMS_MAX = 50
"""Mistakes of one job file that are told at once."""
JOB_TEXT_CHARS_MAX = 8192
"""One argument or one value of the environment."""
JOB_WORDS_MAX = 256
"""Words of a command, and variables of the environment."""
JOB_PARTS_MAX = 64
"""Inputs, outputs, secrets, dependencies, labels of one job, each."""
JOB_PEERS_MAX = 256
"""Peers in the allow or deny list of one job."""
JOB_SHARDS_MAX = 1024
"""Shards of one job; each is a tender of its own."""
JOB_ATTEMPTS_MAX = 16
"""Attempts at one job."""
JOB_DURATION_S_MAX = 31_536_000
"""Any length of time in a job: a year."""
PREVIEW_NODES_MAX = 500
"""Nodes that one screening preview names; the counts cover all."""

# --- execution ----------------------------------------------------------------------------------------------------
LEASE_OPEN_BYTES_MAX = 224 * 1024
"""One LeaseOpen with its specification, inputs and secrets; it fits a session frame. protocol/05."""
LEASE_ANSWER_TIMEOUT_S = 10.0
"""From LeaseOpen or LeaseAttach to its answer."""
LEASE_BEAT_S = 1.0
"""Both sides of a lease say this often that they are there. protocol/05."""
LEASE_SUSPECT_S = 4.0
"""A side that was silent for so long is suspected; at least three beats. protocol/05."""
LEASE_WITNESS_S = 3.0
"""How long the answers of witnesses are waited for before they are asked again. protocol/05."""
LEASE_TTL_S = 120.0
"""A worker stops a run whose requester was silent for so long; a requester gives up a worker that it cannot reach,
though witnesses can. protocol/05."""
LEASE_STOP_GRACE_S = 20.0
"""Between SIGTERM and SIGKILL where nobody says otherwise."""
LEASES_MAX = 256
"""Leases that one node serves or holds at a time."""
HOLDERS_MAX = 8
"""Nodes that are named as holders of a job's bundles, and as keepers of copies."""
SECRET_BYTES_MAX = 16 * 1024
"""The value of one secret."""
SECRETS_BYTES_MAX = 64 * 1024
"""All secrets of one job together: they fit a LeaseOpen with everything else."""
PROGRESS_METRICS_MAX = 16
"""Figures beside the progress of a job."""
PROGRESS_LINE_BYTES_MAX = 1024
"""The last line of SKYOPS_PROGRESS; a longer one is not read."""
LOG_CHUNK_BYTES_MAX = 16 * 1024
"""One log record; longer output is cut into several."""
LOG_BATCH_BYTES_MAX = 128 * 1024
"""Output in one LogBatch."""
LOG_BATCH_RECORDS_MAX = 256
"""Log records in one LogBatch."""
LOG_BUFFER_BYTES_MAX = 4 << 20
"""Log that a worker keeps in memory for a requester that lags or is away; older records are in sealed segments."""
LOG_SEGMENT_BYTES = 256 * 1024
"""A sealed log segment is made when so much has come, or a checkpoint is saved."""
LOG_BYTES_MAX = 64 << 20
"""Log of one run; what comes after is dropped and counted, and the log says so."""
TASK_BYTES_MAX = 128 * 1024
"""Input, and output, of one task on a warm lease; larger things go through bundles."""
TASK_MESSAGE_BYTES_MAX = 224 * 1024
"""One TaskStart or TaskEnded."""
TASKS_IN_FLIGHT_MAX = 64
"""Tasks of one warm lease that wait for their turn."""
RUN_FETCH_TIMEOUT_S = 3600.0
"""Fetching all inputs of one run."""
RUN_COLLECT_TIMEOUT_S = 3600.0
"""Saving the last checkpoint, sealing all outputs and storing the receipt of one run."""
RUN_RESULT_KEEP_S = 7 * 86_400.0
"""How long a worker keeps a result that nobody has taken."""
RUN_EPOCHS_REMEMBERED_MAX = 4096
"""Shards whose newest epoch a worker remembers against older ones; the oldest is forgotten."""
CHECKPOINT_POLL_S = 1.0
"""How often a worker looks for completed checkpoints."""
CHECKPOINT_GRACE_S = 30.0
"""SKYOPS_GRACE_S where the job says nothing: from SIGTERM to SIGKILL."""
CHECKPOINTS_KEPT = 2
"""Checkpoints of a shard that are kept: the newest, and the one before in case the newest cannot be opened."""
JOBS_OPEN_MAX = 1024
"""Jobs of one requester that have not ended."""
JOBS_REMEMBERED_MAX = 4096
"""Ended jobs that a requester still lists; the oldest is forgotten with its results."""
JOB_BACKOFF_S_MAX = 300.0
"""Longest pause before another attempt; it doubles with each failure in a row."""
JOB_NO_MATCH_PAUSE_S = 5.0
"""Before the market is asked again when nobody took the job, as long as its queue time-out lasts."""

# --- sandboxes ------------------------------------------------------------------------------------------------
TREE_DEPTH_MAX = 32
"""Directories inside each other in an output; each costs an open file while the tree is read."""
OUTPUT_WAITING_BYTES_MAX = 256 * 1024
"""Output of one sandbox that nobody has read yet; past it the program waits."""
DISK_WATCH_S = 1.0
"""How often the files of a sandbox are added up where no file system of fixed size bounds them."""
DISK_ENTRIES_MAX = 200_000
"""Files and directories in the writable mounts of a sandbox that is watched; more count as over its disk limit."""
SANDBOX_MOUNTS_MAX = 64
"""Mounts of one sandbox."""
SANDBOX_PREPARE_TIMEOUT_S = 900.0
"""Getting an image or compiling a module, with all transfers."""
SANDBOX_START_TIMEOUT_S = 30.0
"""From the call to a running program; an engine on a loaded machine needs several seconds."""
SANDBOX_STOP_TIMEOUT_S = 30.0
"""From SIGKILL to the last trace gone; afterwards the rest is left to `reap`."""
SANDBOX_TMP_BYTES_MAX = 64 << 20
"""/tmp of a sandbox, in memory, and within its memory limit."""
SANDBOX_FILES_MAX = 1024
"""Open files of one process in a sandbox."""
IMAGES_BYTES_MAX = 16 << 30
"""Unpacked root file systems that one node keeps; the least recently used goes first."""
IMAGE_BYTES_MAX = 8 << 30
"""One root file system, unpacked."""
IMAGE_FILES_MAX = 400_000
"""Files and directories of one root file system."""
IMAGE_CONFIG_BYTES_MAX = 4 << 20
"""Manifest, and configuration, of a container image."""
ENGINE_CALLS_MAX = 16
"""Calls to the container engine at once; more wait for a free thread."""
ENGINE_WAITS_MAX = 512
"""Calls to the container engine that last as long as a program or a transfer."""
ENGINE_WAIT_S = 30
"""One look for the end of a container that has closed its output; then the next."""
WORKSPACE_TIMEOUT_S = 120.0
"""Making or mounting one file system in a file."""
USAGE_SAMPLE_S = 1.0
"""How often the figures of a container are noted: with its end they are gone."""

# --- content ------------------------------------------------------------------------------------------------------
CONTENT_CHUNK_BYTES = 262_104
"""Plaintext of one sealed chunk: with nonce and tag the block is 256 KiB, IPFS's own size. protocol/05b CON-2."""
CONTENT_BLOCK_BYTES_MAX = (1 << 20) - 16
"""One block of a bundle: with its status byte it fits a frame. The largest is a directory of CONTENT_FILES_MAX files."""
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
CONTENT_BATCH_BYTES = 4 << 20
"""Blocks that are sealed, checked, stored or opened by one call of a thread: enough to make the call cheap."""
CONTENT_BATCH_BLOCKS_MAX = 256
"""Blocks in such a batch, however small."""
CONTENT_BATCHES_IN_FLIGHT = 3
"""Batches of one transfer under way at once, so memory is bounded: 12 MiB and as much again where they are copied."""
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
CONTENT_CHANNELS_PER_PEER_MAX = 4
"""Data channels, and streams for blocks, of one peer served at once, each."""
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

# --- wasm -----------------------------------------------------------------------------------------------------
WASM_FRAME_BYTES_MAX = 64 << 20
"""One message between a node and a wasm child: all arguments and variables of a job, at their longest."""
WASM_READ_BYTES = 256 * 1024
"""Read at once from pipes, sockets and files of wasm jobs."""
WASM_STACK_BYTES = 2 << 20
"""Call stack of a module; past it, it traps with "stack overflow"."""
WASM_TABLE_ELEMENTS_MAX = 1_000_000
"""Function references in the tables of a module: 8 MB."""
WASM_INSTANCES_MAX = 16
"""Instances, tables and memories in one store: the job's own and those of the disk gate."""
WASM_POLL_MAX = 1024
"""Subscriptions in one `poll_oneoff`."""
WASM_SLEEP_S = 3600.0
"""A module that sleeps looks this often whether it is over, even if nobody woke it."""
WASM_ENTRIES_MAX = 200_000
"""Files and directories in the writable mounts of a wasm job; more count as over its disk limit."""
WASM_FILES_MAX = 256
"""Open files of one wasm child, its own few included."""
WASM_CHILD_BYTES = 128 << 20
"""What the process around a module may use beside the module's memory: interpreter, engine, buffers."""
WASM_ADDRESS_BYTES_MAX = 64 << 30
"""Address space of a child: each memory reserves 4 GiB and guards, without using them."""
WASM_OOM_SCORE = 800
"""A machine without memory kills wasm jobs before the node (0), and before almost everything else (1000 is first)."""
WASM_COMPILE_NICENESS = 5
"""Compiling yields to the jobs that run, but not so far that it starves: on a machine twice overbooked, Python at 10
took over a minute."""
WASM_COMPILE_BYTES_MAX = 4 << 30
"""Memory for compiling one module; Python as a module of 25 MiB takes about one."""
WASM_MODULE_BYTES_MAX = 256 << 20
"""One module."""
WASM_COMPILED_BYTES_MAX = 1 << 30
"""One compiled module; about twice the module."""
WASM_CACHE_BYTES_MAX = 2 << 30
"""Compiled modules that are kept; the one that was not used for longest goes first."""
WASM_PROBLEM_CHARS_MAX = 500
"""What is told of an invalid module."""
WASM_CHILDREN_MAX = 256
"""Wasm jobs of one node at a time, as LEASES_MAX."""
WASM_PARENT_IDLE_S = 300.0
"""The preloaded process leaves when nobody wanted a child for so long; it takes 40 MiB."""
WASM_PARENT_END_S = 5.0
"""The preloaded process is killed if it has not ended so long after it was told."""
WASM_INTERRUPT_S = 2.0
"""From an interrupt to SIGKILL: a module in a loop ends in milliseconds, one in a slow system call does not."""
WASM_ANSWER_S = 0.2
"""How long a usage report waits for a module's fuel before it takes the last one that was told."""
WASM_SNAPSHOT_TIMEOUT_S = 60.0
"""From the wish for a snapshot to its end: a step must end first."""
WASM_ANSWER_BYTES_MAX = 64 * 1024
"""One message of a child, which ran foreign code."""
WASM_SNAPSHOT_HEADER_BYTES_MAX = 1 << 20
"""Names and values of exported globals, and a few numbers."""
WASM_FUEL_MAX = 1 << 62
"""Fuel of a job without a bound of its own: some decades of one core."""
