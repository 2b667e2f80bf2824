"""Bounds of the exchange of receipts: what is held, what is asked for, and how often."""

# --- receipts of everybody ----------------------------------------------------------------------------------------
RECEIPTS_HELD_MAX = 16_384
"""Receipts of all parties that a node holds, about 1.2 KiB each; the newest stay. protocol/07b."""
RECEIPTS_HELD_PER_PAIR_MAX = 1024
"""Of one pair, so that one pair cannot push the others out; the newest stay. protocol/07b."""
HISTORIES_HELD_MAX = 4096
"""Proofs of double histories that a node holds; at the limit the oldest goes. protocol/07b."""
RECEIPT_AGE_MS_MAX = 360 * 86_400_000
"""A receipt that ended longer ago counts nothing (chapter 08), and is not exchanged. protocol/07b."""
RECEIPT_HALF_WAIT_MS = 600_000
"""A receipt with one half is told to others once it ended so long ago: the other half had its time. protocol/07b."""
RECEIPT_NAMES_TOLD_MAX = 24
"""Names in one gossiped batch: less than a KiB. protocol/07b."""
RECEIPT_TELL_S = 2.0
"""Names are gathered so long before they are gossiped."""
RECEIPT_GOSSIP_BURST = 8.0
"""Batches and proofs that one author may gossip at once. protocol/07b."""
RECEIPT_GOSSIP_PER_S = 0.5
"""The same in the long run. protocol/07b."""
RECEIPTS_ASKED_MAX = 24
"""Receipts in one question and in its answer: with all of them it fits a message. protocol/07b."""
RECEIPT_SYNC_NAMES_MAX = 512
"""Names in one answer of a synchronisation. protocol/07b."""
RECEIPT_SYNC_ROUNDS_MAX = 64
"""Answers of one synchronisation: with all of them it names more than anybody holds."""
RECEIPT_SYNC_S = 30.0
"""Between two synchronisations, each with another neighbour."""
EVIDENCE_AGED_S = 3600.0
"""Between two looks for what has become too old to be held; of statements of witnesses, too."""
RECEIPT_SYNC_SOON_S = 2.0
"""The same after one that brought news: others may know more."""
RECEIPT_REQUEST_BURST = 64.0
"""Questions that one peer may ask at once; more are refused as `flood`. protocol/07b."""
RECEIPT_REQUESTS_PER_S = 8.0
"""The same in the long run. protocol/07b."""
RECEIPT_QUESTIONS_MAX = 4
"""Questions of this node that are under way at a time, each to another peer."""
RECEIPT_ASK_PAUSE_S = 0.15
"""From one question to the next one to the same peer: fewer than RECEIPT_REQUESTS_PER_S."""
RECEIPT_ANSWER_S = 10.0
"""How long a question may take."""
WANTS_MAX = 4096
"""Receipts that are asked for at a time; what finds no room is found again by a synchronisation."""
WANTS_PER_PEER_MAX = 1024
"""The same of those that one peer has named."""
WANT_TRIES_MAX = 6
"""Peers that are asked for one receipt, before it is left to a synchronisation."""
WANT_SOURCES_MAX = 4
"""Peers that are remembered to have named one receipt."""
WANT_BACKOFF_S = 1.0
"""Pause before a receipt is asked for again; it doubles with each try."""
WANT_BACKOFF_S_MAX = 30.0
"""Longest of these pauses."""
RECEIPT_REST_S = 600.0
"""A peer that sent what was not asked for, or named what it has not, is neither heard nor asked so long."""
RECEIPT_BOGUS_BURST = 64.0
"""Receipts that a peer has named and does not have, before it rests; one more is forgiven each minute."""
RECEIPT_REFUSED_S = 600.0
"""A receipt that was refused is not asked for again so long; of a pair without money on chain at most so long."""
PAIR_UNFUNDED_S = 30.0
"""How long a pair is believed to have no money on chain; it doubles with each look, up to RECEIPT_REFUSED_S."""
CHAIN_SILENT_S = 30.0
"""What was not taken because the chain did not answer is asked for again after so long."""
RECEIPTS_REFUSED_MAX = 16_384
"""Names of such receipts that are remembered; the oldest is forgotten."""
RECEIPTS_PENDING_MAX = 1024
"""Receipts that wait for a look at the money of their pair; what finds no room is found again later."""
PAIRS_JUDGED_MAX = 8192
"""Pairs of which it is remembered whether they have money on chain; the oldest is forgotten."""
PAIR_JUDGED_S = 3600.0
"""How long that is believed of a pair that has some."""
HISTORY_TOLD_AGAIN_S = 3600.0
"""A proof is gossiped again after this, if somebody still shows receipts of its account. protocol/07b."""
RECEIPT_GAP_S = 600.0
"""Between two questions for the receipts that are missing before one of the same account."""
PAIRS_LOOKED_UP_MAX = 4
"""Looks at the chain for a pair's money, under way at a time."""
RECEIPT_EVENTS_MAX = 512
"""Events of the exchange that wait; what finds no room is found again by a synchronisation."""
ACCUSATIONS_MAX = 64
"""Double histories that wait to be shown to the contract; more are left to others."""
ACCUSATION_SPREAD_S = 120.0
"""Each node waits up to so long before it shows a proof, so that not all pay for the same."""
ACCUSATION_BACKOFF_S = 30.0
"""Pause after a chain that was away; it doubles up to REDEEM_BACKOFF_S_MAX."""

# --- verdicts of everybody ----------------------------------------------------------------------------------------
VERDICTS_HELD_MAX = 2048
"""Verdicts of all requesters that a node holds, about 12 KiB each; the newest stay. protocol/07b."""
VERDICTS_HELD_PER_REQUESTER_MAX = 128
"""Of one requester, so that one cannot push the others out; the newest stay. protocol/07b."""
VERDICT_TOLD_BYTES_MAX = 48 * 1024
"""A verdict that is told to others: seven workers and 64 candidates need half of it. protocol/07b."""
VERDICTS_ASKED_MAX = 4
"""Verdicts in one question; the answer has as many of them as fit a message. protocol/07b."""
