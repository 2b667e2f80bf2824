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
