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
