"""Bounds of leases, runs, jobs, and of the sandboxes that they run in."""

# --- execution ----------------------------------------------------------------------------------------------------
LEASE_OPEN_BYTES_MAX = 224 * 1024
"""One LeaseOpen with its specification, inputs and secrets; it fits a session frame. protocol/05."""
LEASE_ANSWER_TIMEOUT_S = 10.0
"""From LeaseOpen or LeaseAttach to its answer."""
LEASE_BEAT_S = 1.0
"""Both sides of a lease say this often that they are there. protocol/05."""
LEASE_EARLY_BEATS_MAX = 4
"""Beats by which a worker tells a change of phase at once, in LEASE_BEAT_S and beside the others. protocol/05."""
LEASE_SUSPECT_S = 4.0
"""A side that was silent for so long is suspected; at least three beats. protocol/05."""
LEASE_WITNESS_S = 3.0
"""How long the answers of witnesses are waited for before they are asked again. protocol/05."""
LEASE_TTL_S = 120.0
"""A worker stops a run whose requester was silent for so long; a requester gives up a worker that it cannot reach,
though witnesses can. protocol/05."""
LEASE_BREACHES_MAX = 3
"""Sessions of one lease that a requester ends for what the worker sent; then the worker is given up. protocol/05."""
LEASE_STOP_GRACE_S = 20.0
"""Between SIGTERM and SIGKILL where nobody says otherwise."""
AWARD_IDLE_S = 10.0
"""A worker holds the award of a shard that has ended well for so long, for the job's next one. protocol/05."""
ARRAY_MATCHES_MAX = 8
"""Matches of one job's shards at once: more only reserve the same workers against each other."""
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
LOG_TAKEN_BYTES_MAX = 2 * LOG_BYTES_MAX
"""Log of one run that a requester takes; more is no honest worker's. protocol/05."""
TASK_BYTES_MAX = 128 * 1024
"""Input, and output, of one task on a warm lease; larger things go through bundles."""
TASK_MESSAGE_BYTES_MAX = 224 * 1024
"""One TaskStart or TaskEnded."""
TASKS_IN_FLIGHT_MAX = 64
"""Tasks of one warm lease that wait for their turn."""
OUTPUTS_PATIENCE_S_MIN = 30.0
"""Outputs that cannot be had are asked for again for as long as the run took, but for so long at least. protocol/05."""
OUTPUTS_PATIENCE_S_MAX = 600.0
"""And for so long at most. protocol/05."""
OUTPUTS_PAUSE_S = 1.0
"""Before outputs are asked for again; doubled each time."""
OUTPUTS_PAUSE_S_MAX = 8.0
"""The longest such pause."""
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
SEARCH_STEPS_SHOWN = 32
"""Steps of a shard's newest match that its view holds, answers not counted."""
SEARCH_REASONS_SHOWN = 16
"""Reasons why nobody took a shard, and kinds of answers, that its view holds."""
SEARCH_SHARDS_SHOWN = 64
"""Jobs of more shards show no steps of their matches: their views are long enough."""
VERIFY_DIFFERENCES_MAX = 100
"""Files of one shard that a verification names; of others it says how many there are."""
JOB_NO_MATCH_PAUSE_S = 5.0
"""Before the market is asked again when nobody took the job, as long as its queue time-out lasts."""

# --- gangs --------------------------------------------------------------------------------------------------------
GANG_MEMBERS_MAX = 64
"""Shards of one gang: the list of all members fits a LeaseOpen beside everything else. protocol/05."""
GANG_ADDRS_MAX = 3
"""Addresses of one member in that list."""
GANG_FORM_S = 45.0
"""From a gang's first award to its last; the rest of LEASE_START_TIMEOUT_S is for opening the leases."""
GANG_MATCHES_MAX = 4
"""Matches of one gang at once: more only reserve the same workers against each other."""
GANG_PAUSE_S_MAX = 30.0
"""Longest random pause before a gang that did not come together is tried again: two that want the same workers must
not go on in step."""
GANG_SAVE_S = 120.0
"""How long a member that was stopped for its gang may take to save its last checkpoint, after its grace."""
GANG_LINE_BYTES_MAX = 512 * 1024
"""Bytes of one direction of a line between two members that its program has not read yet; the other side waits."""
GANG_DATA_BYTES_MAX = 60 * 1024
"""Bytes in one GangData: with its frame it fits a message."""
GANG_LINES_PER_PAIR_MAX = 16
"""Lines of one member to another, each direction; the program's next one is closed at once."""
GANG_LINES_MAX = 128
"""Lines of one member in all: 128 MiB if no program reads. A full mesh of GANG_MEMBERS_MAX needs 126."""
GANG_HALF_OPEN_MAX = 64
"""Sessions of the gang protocol that have not said yet what they are for; more are closed with the code `busy`."""
GANG_HALF_OPEN_PER_PEER_MAX = 4
"""Those of one peer."""
GANG_ANSWER_S = 10.0
"""From the session to its GangConnect."""
GANG_WAIT_S = 3600.0
"""A new line waits so long for the other member's program: it may still fetch its inputs."""
GANG_RESUME_S = 180.0
"""A line whose session broke is there to be resumed for so long: more than a requester needs to give up a worker
(LEASE_TTL_S), so that the programs of the other members are stopped in order before they see an error."""
GANG_RETRY_S_MAX = 5.0
"""Longest pause between two attempts at opening a session for a line; it doubles from a quarter of a second."""
GANG_LISTEN_POLL_S = 0.1
"""How often a member's listening socket is looked for while a line waits for it."""
GANG_CLOSE_WAIT_S = 1.0
"""A connection that a program has closed whole is told to the other member after this: it may be the program's end."""
GANG_DRAIN_S = 30.0
"""How long what an ended program has still sent to others is carried there."""

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
"""A sandbox's directory for temporary files: in memory, and within its memory limit."""
SANDBOX_FILES_MAX = 1024
"""Open files of one process in a sandbox."""
DOCKER_IMAGES_GIB = 50
"""Images that one node has brought into the container engine; the least recently used goes first."""
IMAGE_REST_S = SANDBOX_PREPARE_TIMEOUT_S
"""An image that was wanted so lately stays: its job may not have started yet."""
IMAGES_NOTED_MAX = 4096
"""Images that a node remembers to have brought into the engine."""
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
