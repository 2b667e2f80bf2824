"""The requester's side of jobs: keeps them, finds them workers, watches their leases, and brings results home.

`keeper` holds all jobs; `shard_task` drives one shard; `lease_client` speaks with its worker; `inputs` seals what goes
out and `results` opens what comes back; `records` is what survives a restart; `log_files` keeps the logs.
"""
