"""The rules of running jobs: leases, runs, attempts, logs, checkpoints. Pure. Spec: protocol/05-execution.md."""
