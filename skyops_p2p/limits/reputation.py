"""Bounds of reputation: how much evidence is kept, and for how long."""

# --- reputation ---------------------------------------------------------------------------------------------------
REPUTATION_HORIZON_EPOCHS = 360
"""Evidence older than this many days counts nothing: six half-lives of fraud memory. protocol/08."""
REPUTATION_UPTIME_EPOCHS = 28
"""Days of probes that count: four half-lives. protocol/08."""
REPUTATION_DEALS_MAX = 200_000
"""Receipts that are kept; the newest stay. About 300 bytes each."""
REPUTATION_DEALS_PER_PAIR_MAX = 1024
"""Receipts of one pair that are kept, so that one pair cannot push the others out; the newest stay. protocol/08."""
REPUTATION_CHECKS_MAX = 200_000
"""Verdicts that are kept; the newest stay."""
REPUTATION_OFFENCES_MAX = 20_000
"""Offences beside wrong results that are kept; the newest stay."""
REPUTATION_BANNED_MAX = 65_536
"""Accounts with a double history that are remembered; the oldest is forgotten, the chain remembers those with stake."""
REPUTATION_EXPLAINED_MAX = 64
"""Raters and receipts that an explanation names; the weightiest."""
REPUTATION_BATCH = 128
"""Receipts that are taken in at once, before others go on: some ten milliseconds."""
REPUTATION_GATHER_S = 1.0
"""News of evidence is gathered so long before scores are worked out anew."""
REPUTATION_LOOK_S = 120.0
"""What the chain says of a pair or a stake is looked up again after so long, if it is that one's turn."""
REPUTATION_LOOK_SOON_S = 10.0
"""The same of a pair with a new receipt, whose worker may redeem it soon; then less and less often."""
REPUTATION_LOOKS_PER_AGE = 4
"""Looks at a pair in the time that its newest receipt is old, once that is older than so many of these seconds."""
REPUTATION_ROUND_S = 15.0
"""Between two rounds of such looks, unless something was never looked up."""
REPUTATION_LOOKS_MAX = 64
"""Looks at the chain in one round, the longest overdue first."""
REPUTATION_LOOKS_AT_ONCE_MAX = 4
"""Of them, under way at a time."""
REPUTATION_LOOK_WAIT_S = 10.0
"""How long one look may take; what is not answered by then stays as it was."""
REPUTATION_ACCOUNTS_MAX = 16_384
"""Wallets whose stake is followed: parties of receipts first, then nodes of the map."""
REPUTATION_CHECKS_WAITING_MAX = 1024
"""Verdicts that wait to be counted; more are refused, and whoever has them gives them again."""
REPUTATION_ROWS_MAX = 1000
"""Accounts in one answer; those of whom most is known."""
