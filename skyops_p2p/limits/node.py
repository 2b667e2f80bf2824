"""Bounds of the node itself: its store, its machine, its API, its core."""

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
DOCTOR_CHAIN_TIMEOUT_S = 15.0
"""All that `skyops doctor` asks of the chain."""

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
DHT_ANNOUNCE_DELAY_S = 20.0
"""From a new record to its announcement in the DHT: a node that starts makes several, and lookups are many messages."""
DHT_KEY_PAUSE_S = 3.0
"""Between two capability keys: each is a lookup, and nodes that start together would do nothing else."""
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
