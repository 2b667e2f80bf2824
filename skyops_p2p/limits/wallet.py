"""Bounds of what a person does with money."""

# --- the wallet ---------------------------------------------------------------------------------------------------
WALLET_KEY_CHARS_MAX = 40
"""The key under which an act is carried out once; with the act's digest and a step's name it is a transaction's key."""
WALLET_WAIT_S = 5.0
"""How long one request to carry out an act waits for its transactions; who asks again goes on waiting."""
WALLET_PATIENCE_S = 120.0
"""How long a command waits for its transactions, unless --wait says so."""
WALLET_WORKERS_MAX = 256
"""Workers with an allotment that are remembered for `skyops wallet balance`; the oldest is forgotten."""
SIGNER_TIMEOUT_S = 60.0
"""A remote signer's answer: a person may have to nod first."""
PERMIT_S = 3600
"""Life of a permit, by the chain's clock; the hour that has begun comes on top."""
TICKETS_TRIED_MAX = 4096
"""Tickets of one juror among which the best is looked for; more stake than that helps no further here."""
EVIDENCE_BYTES_MAX = 64 * 1024 * 1024
"""A file of evidence, whose hash goes on chain."""
