"""Bounds of verification: how many compute the same, who can be drawn, and how large a verdict is."""

# --- verification ---------------------------------------------------------------------------------------------------
VERIFICATION_WORKERS_MAX = 7
"""Workers that compute one shard, those included that decide between others; then nothing is decided. protocol/06."""
VERDICT_CANDIDATES_MAX = 64
"""Workers from whom replicas of one shard are drawn; those with the most weight. protocol/06."""
VERDICT_COMPARISONS_MAX = 21
"""Pairs of answers: of seven workers. protocol/06."""
VERDICT_BYTES_MAX = 128 * 1024
"""A verdict with all that it rests on. protocol/06."""
REPLICAS_PER_SHARD_MAX = 16
"""Replicas of one shard that are begun, those included that found no worker or lost theirs. protocol/06."""
COMPARISONS_OPEN_MAX = 32
"""Shards of one node whose results are compared at once; more wait with their result committed. docs/jobs.md."""
REPLICA_QUEUE_S_MAX = 300.0
"""Looking for a replica's worker; a job that asks for less in timeouts.queue has less. docs/jobs.md."""
REVEAL_TIMEOUT_S = 180.0
"""From RevealResult to the result; longer than a lease needs to find its session again. protocol/06."""
NUMERIC_FILE_BYTES_MAX = 64 * 1024 * 1024
"""A file of numbers that is compared element by element; larger ones must be equal. protocol/06."""
NUMERIC_JSON_BYTES_MAX = 4 * 1024 * 1024
"""The same for a JSON text. protocol/06."""
NUMERIC_JSON_DEPTH_MAX = 64
"""How deep a JSON text may be nested. protocol/06."""
NUMERIC_HEAD_BYTES_MAX = 4096
"""Head of an NPY file."""
CHAIN_STRETCHES_MAX = 2**24
"""Stretches of a chain of states: with 16 heads a round it is searched in six. protocol/06."""
BISECTION_BRANCHING = 16
"""Parts into which a round of bisection cuts. protocol/06."""
BISECTION_ROUND_S = 60.0
"""Time for each answer in a bisection; silence loses. protocol/06."""
CHAIN_STEPS_MAX = 2**48
"""Steps between two checkpoints of a chain. docs/jobs.md."""
CHAIN_SAVED_MAX = 128
"""Checkpoints of one lease that are kept for a referee; a longer chain is none. protocol/06."""
STRETCH_TIMEOUT_S = 900.0
"""To fetch a state and run the stretch where two results part; then another worker decides. docs/jobs.md."""
STRETCH_POLL_S = 0.2
"""How often a referee looks whether the checkpoint that ends its stretch is there."""
CANARIES_MAX = 64
"""Shards of one array that its requester computes, too. protocol/06."""
