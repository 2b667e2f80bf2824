"""Bounds of the auction and of job specifications."""

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
BOOKS_RECENT_MAX = 32
"""Own bid books held in memory for the bidders that ask for them; of TENDER_BIDS_MAX bids one has 150 KiB."""
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
AWARDS_REMEMBERED_MAX = 256
"""Awards that this node can still take back; an older one runs out at its worker by itself."""
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

# --- proof of compute ---------------------------------------------------------------------------------------------
PROOF_SIZE_MAX = 8192
"""Rows of a matrix: a product's entries stay below 2^31, and a matrix is at most 64 MiB. protocol/04 AUC-24."""
PROOF_ROWS_MAX = 64
"""Rows that are drawn of one answer."""
PROOF_PLACES_MAX = 64
"""Blocks of memory that are drawn of one answer."""
PROOF_PATH_MAX = 32
"""Siblings of one leaf: trees of up to 2^32 leaves."""
PROOF_ROW_BYTES_MAX = 48 * 1024
"""One drawn row with its products: with its paths it fits a message. protocol/04 AUC-36."""
PROOF_KEPT_BYTES_MAX = 128 << 20
"""What a prover holds of one challenge until the rows are drawn. protocol/04 AUC-36."""
PROOF_BLOCKS_MAX = 2**16
"""Blocks of memory that a worker fills for one challenge: 2 MiB, half a second of hashing. protocol/04 AUC-36."""
PROOF_MEMORY_MIB_MAX = PROOF_BLOCKS_MAX * 32 >> 20
"""The same in MiB: what a person can ask for."""
PROOF_OPERATIONS_MIN = 1 << 20
"""Every worker takes a challenge of this size: a fifth of a second in plain Python."""
PROOF_WORK_S = 1.0
"""A worker takes challenges that need no longer than this by its own measure. protocol/04 AUC-36."""
PROOF_WORK_S_MAX = 8.0
"""A prover that has not answered after this is ended: it measured itself wrongly, or its machine is overloaded."""
PROOF_PREPARE_S_MAX = 30.0
"""Starting a prover, with the import of a GPU library."""
PROOF_INTERVAL_S = 1800.0
"""A worker takes one challenge of an asker in this time: work of PROOF_WORK_S twice an hour. protocol/04 AUC-36."""
PROOF_WORK_S_PER_H = 15.0
"""What all askers together may cost a worker in an hour, its preparations included: under half a percent."""
PROOF_KEEP_S = 20.0
"""An answer that was not opened in this time is forgotten, and the next asker served. protocol/04 AUC-38."""
PROOF_WARM_S = 60.0
"""A prover that nobody asked for this long is ended: its libraries and its GPU's memory are for jobs."""
PROOF_RETRY_S = 0.3
"""Pause before a worker is asked again that was about to be ready."""
PROOF_ROOT_S = 8.0
"""Before a match: from the first challenge to the last root; most take a second. protocol/04 AUC-37."""
PROOF_OPEN_S = 4.0
"""Before a match: from the last root to the last opening."""
PROOF_ASK_S = 20.0
"""Until the root where a person asks one worker, which may have to load a GPU library first; together with PROOF_OPEN_S
less than API_OPERATION_TIMEOUT_S."""
PROOFS_ASKED_MAX = 32
"""Workers that are challenged at once before a match; TENDER_INVITES_MAX are asked for bids."""
PROOFS_CHECKED_AT_ONCE = 4
"""Answers that are verified at a time, each in a thread."""
PROOF_FRESH_MS = 24 * 3600 * 1000
"""How long a proof counts. protocol/04 AUC-39."""
PROOF_ROWS_ATTESTED = 2
"""Rows that stand in an attestation: with those of GPUs it fits a message. protocol/04 AUC-44."""
ATTESTING_AT_ONCE = 2
"""Workers that one node attests at a time; others are told to come again."""
ATTESTATION_ASK_S = 40.0
"""What a worker waits for one verifier, who has it loaded, challenged and checked meanwhile."""
ATTESTATION_SHOW_S = 2.0
"""Before a match: for the attestations that workers have already."""
ATTESTATION_FIRST_S = 600.0
"""After its start, until a worker has itself attested: what runs for minutes only costs nobody a proof."""
ATTESTATION_RETRY_S = 1_800.0
"""Until a worker asks again that nobody has attested."""
ATTESTATION_RENEW_MS = 2 * 3600 * 1000
"""A worker has itself attested again so long before its attestation ends."""
PROOF_FAILED_S = 600.0
"""A worker that did not prove itself is left alone for so long; one whose proof is wrong for PROOF_FRESH_MS."""
PROVEN_PEERS_MAX = 1024
"""Workers whose proofs a node keeps, the newest; and as many of which it knows why they have none."""

# --- benchmark ----------------------------------------------------------------------------------------------------
BENCHMARK_S = 0.5
"""How long products, and copies, of one device are measured, at the least."""
BENCHMARK_FILE_BYTES_MAX = 64 * 1024
"""What is read of the file with the measurements: sixteen GPUs are a few KiB."""

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
