"""Bounds of settlement: lanes, meters, vouchers, receipts."""

# --- settlement ---------------------------------------------------------------------------------------------------
PAY_INTERVAL_MS = 10_000
"""Runtime until a lane's first meter; each paid interval is followed by one of twice the length. protocol/07."""
PAY_INTERVAL_MS_MAX = 60_000
"""Longest interval of a pair that has no long past. protocol/07."""
PAY_INTERVAL_TRUSTED_MS_MAX = 300_000
"""Longest interval that two sides may agree on, and the most that is paid ahead. protocol/07."""
PAY_GRACE_MS = 5_000
"""From a meter to its voucher; then the worker pauses the program. protocol/07."""
PAY_STOP_MS = 120_000
"""A program that has been paused for want of payment so long is stopped: as LEASE_TTL_S, so that a requester may be
restarted. protocol/07."""
PAY_KEEP_MS = 7 * 86_400_000
"""The unpaid meter of a run that was stopped is kept so long for its voucher, as a result is. protocol/07."""
PAY_RESEND_MS = 2_000
"""What was not answered is sent again after this."""
PAY_OFFER_WAIT_MS = 30_000
"""A worker that has not answered the offer of a lane for so long does not want it. protocol/07."""
PAY_LAST_WAIT_MS = 120_000
"""How long a requester waits for the last meter of a lane whose lease has ended; then the lane closes as it is."""
METER_READ_MS = 1_000
"""How often each side reads its meters: the most that one goes past the end of an interval."""
METER_APART_BPS = 200
"""Meters further apart stop the lane. protocol/07."""
METER_APART_MS = 2 * METER_READ_MS
"""Times closer than this are never too far apart: both sides read once a second, at different instants. protocol/07."""
METER_APART_BYTES = 1 << 20
"""The same for bytes: what is on its way counts on one side only. protocol/07."""
METER_APART_MIB_S = 2 * 1024
"""The same for memory: a gibibyte for two seconds. protocol/07."""
LANES_PER_PAIR_MAX = 64
"""Lanes of one pair at a time; more are refused with the code `busy`. protocol/07."""
LANES_EXPECTED_MAX = 256
"""Leases whose lane has not been offered yet, as LEASES_MAX."""
VOUCHER_ITEMS_MAX = 16
"""Intervals that one voucher pays, and receipts that it brings: with all of them it fits a message. protocol/07."""
RECEIPT_BYTES_MAX = 1536
"""One receipt; its longest form has about 900 bytes."""
SIGNED_RECEIPT_BYTES_MAX = 2048
"""One receipt with its halves."""
RECEIPTS_WATCHED_MAX = 65_536
"""Places in the chains of other parties that are remembered to tell a double history; the oldest is forgotten."""
RUNWAY_LOW_S = 600
"""A deposit that lasts less long is told to its owner."""
REDEEM_MARGIN_S = 6 * 3600
"""A worker counts on an allotment that is being taken back until so long before it can be: time to redeem."""
VOUCHERS_PER_BATCH_MAX = 200
"""Vouchers in one redemption; the contract takes no more. contracts/README.md."""
PAIRS_MAX = 1024
"""Pairs that one node keeps, as requester and as worker together; a lease of one more is refused as `busy`."""
PAY_EVENTS_MAX = 256
"""Events of one pair that wait; a reading of a meter that finds no room is left out, the next one says more."""
LANE_RECORDS_MAX = 16_384
"""Lanes that a node remembers for bills and earnings; the one that ended longest ago is forgotten."""
RECEIPTS_KEPT_MAX = 8_192
"""Receipts that a node keeps whole; of older ones the leaf is left, so that newer ones can be proved."""
RECEIPT_LEAVES_MAX = 131_072
"""Leaves that a node keeps in all; past them the oldest go, and with them the proofs of their pair."""
CONTRACTS_LOOK_S_MIN = 2.0
"""First pause of a node that has never found its contracts, as no endpoint answered; it doubles."""
CONTRACTS_LOOK_S_MAX = 60.0
"""Longest of these pauses."""
FUNDS_POLL_S = 15.0
"""Between two looks at the money of a pair that has lanes."""
FUNDS_POLL_IDLE_S = 600.0
"""The same for a pair without lanes: far less than REDEEM_MARGIN_S."""
FUNDS_BACKOFF_S_MAX = 300.0
"""Longest pause after looks that failed; it doubles up to that."""
FUNDS_ASKED_MAX = 4
"""Looks at the chain that are under way at a time."""
FUNDS_WAIT_S = 30.0
"""How long a lease waits for the first look at the money that is to pay it."""
ALLOTMENT_WAIT_S = 60.0
"""How long a lease waits for an allotment that its worker wants to see first; some blocks."""
SETTLE_IDLE_S = 60.0
"""A requester closes the session of a pair that has had nothing to say for so long."""
SETTLE_BACKOFF_S_MAX = 30.0
"""Longest pause before a session of a pair is opened anew; it doubles up to that."""
REDEEM_BACKOFF_S_MAX = 3600.0
"""Longest pause after a redemption that failed; it doubles up to that."""
RELEASES_AT_ONCE_MAX = 16
"""Holdbacks that are released in one round of the batcher, each by a transaction of its own."""
REDEEM_LOOK_S = 30.0
"""Between two rounds of the batcher."""
