"""Trust on real processes: some nodes misbehave, results are compared, and all others must come to the same scores.
docs/testnet.md."""
