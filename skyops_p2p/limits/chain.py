"""Bounds of what is asked of a chain, and of the embedded one."""

# --- the client -----------------------------------------------------------------------------------------------
CHAIN_ENDPOINTS_MAX = 8
"""JSON-RPC endpoints of one chain."""
CHAIN_REQUEST_TIMEOUT_S = 10.0
"""One endpoint's answer to one request."""
CHAIN_CALL_TIMEOUT_S = 45.0
"""One question to the chain, whatever endpoints are tried."""
CHAIN_ROUNDS_MAX = 3
"""How often all endpoints are tried for one question."""
CHAIN_REST_S_MIN = 0.5
"""Rest of an endpoint after its first failure; it doubles with each further one."""
CHAIN_REST_S_MAX = 30.0
"""Longest rest of an endpoint."""
CHAIN_ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""An endpoint's answer; CHAIN_LOGS_MAX logs of the usual size fit."""
CHAIN_REQUEST_BYTES_MAX = 1024 * 1024
"""A request: a transaction of CHAIN_DATA_BYTES_MAX as hexadecimal digits fits."""
CHAIN_ERROR_CHARS_MAX = 300
"""How much of an endpoint's error text is shown."""
CHAIN_REORG_BLOCKS_MAX = 64
"""How far an endpoint's head may lie below the highest seen; confirmations asked for are at most as many."""
CHAIN_DATA_BYTES_MAX = 128 * 1024
"""Data of one transaction: more is not carried from node to node by geth."""
CHAIN_TRANSACTION_GAS_MAX = 1 << 24
"""Gas of one transaction: EIP-7825."""

# --- sending ----------------------------------------------------------------------------------------------------
CHAIN_OUTBOX_MAX = 64
"""Transactions of one account on their way; more are refused with `outbox_full`."""
CHAIN_KEY_CHARS_MAX = 128
"""The key under which a transaction is ordered once."""
CHAIN_ENDED_KEPT_MAX = 1024
"""Ended transactions whose outcome is remembered; the oldest are forgotten."""
CHAIN_GAS_MARGIN_PERCENT = 25
"""Gas allowed above the estimate."""
CHAIN_BUMPS_MAX = 10
"""Replacements of one transaction by one that pays more: at CHAIN_BUMP_PERCENT each, 9 times the first fee."""
CHAIN_BUMP_PERCENT = 25
"""By how much the fees rise; nodes ask for 10 at least."""
CHAIN_BUMP_AFTER_S = 45.0
"""How long a transaction may wait for its block before it pays more."""
CHAIN_RESEND_S = 15.0
"""How often a transaction that is in no block is offered again: pools forget, and a reorganisation empties them."""

# --- following --------------------------------------------------------------------------------------------------
CHAIN_LOG_BLOCKS_MAX = 2000
"""Blocks of one question for logs; halved when an endpoint finds them too many."""
CHAIN_LOGS_MAX = 10_000
"""Logs of one answer."""
CHAIN_FOLLOW_NAME_CHARS_MAX = 64
"""The name of a follower's checkpoint."""

# --- contracts --------------------------------------------------------------------------------------------------
STAKE_KEPT_S = 60.0
"""How long an answer of NodeRegistry about a stake is believed: stakes leave after days, slashes come after hours."""
STAKE_AWAY_S = 3600.0
"""How long it counts on while the chain does not answer; the shortest time in which a dispute can slash a stake."""
STAKE_LOOK_S = 5.0
"""How long a job waits for the stakes of its candidates; whose is not known by then is not asked this time."""
STAKES_LOOKED_AT_MAX = 96
"""Candidates of one job that the chain is asked about; three times TENDER_INVITES_MAX."""
STAKES_ASKED_AT_ONCE_MAX = 8
"""Questions about stakes that are under way at a time."""
STAKES_KEPT_MAX = 4096
"""Wallets whose stake is remembered; the oldest answer is forgotten."""

# --- the embedded chain -----------------------------------------------------------------------------------------
CHAIN_BATCH_MAX = 100
"""Requests of one batch to the embedded chain."""
CHAIN_ANSWERS_MAX = 8192
"""Answers of calls after a block that is named which it keeps; the one not asked for longest goes."""
CHAIN_ANSWER_KEPT_BYTES_MAX = 2048
"""Bytes of a call and its answer together; larger ones are not kept."""
CHAIN_MINED_BLOCKS_MAX = 256
"""Blocks that one request makes."""
CHAIN_SERVER_CONNECTIONS_MAX = 128
"""Connections that it answers at once; more wait."""
CHAIN_SERVER_IDLE_S = 120.0
"""Silence after which it closes a connection."""
CHAIN_START_TIMEOUT_S = 180.0
"""Its start, with the state of an earlier run; two seconds of CPU, and more than half a minute on a busy machine."""
CHAIN_STOP_TIMEOUT_S = 10.0
"""Its orderly end; then it is killed."""
