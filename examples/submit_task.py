"""Have the running node run a job, follow its log, and fetch the result: the client for scripts and notebooks.

    python examples/submit_task.py [JOB_FILE [DIRECTORY]]

Without a job file it trains the handwritten digits of examples/digits. It talks to the node that runs on this machine
(`skyops run`, or SKYOPS_DATA_DIR for another); the job goes on there if this program is stopped.
"""

import sys
from pathlib import Path

from skyops_p2p import SkyopsError, SyncClient

DIGITS = Path(__file__).resolve().parent / "digits" / "job-wasm.toml"


def submit(file: Path, into: Path) -> None:
    """Run a job to its end."""
    client = SyncClient.local()
    job = client.submit(file)
    print(f"submitted {job.job_id}; come back with: skyops status {job.job_id[:12]}")
    for line in job.logs():
        print(f"  {line.text}")
    view = job.wait()
    print(f"{view.state}: {view.meaning} {view.change}".rstrip())
    for shard in view.shards:
        for attempt in shard.attempts:
            print(f"  shard {shard.index} ran on {attempt.worker[-8:]}: {attempt.code}")
    if view.state != "succeeded":
        sys.exit(1)
    result = job.result(into)
    print(f"{result.files} files in {result.folder}")


if __name__ == "__main__":
    try:
        submit(
            Path(sys.argv[1]) if len(sys.argv) > 1 else DIGITS,
            Path(sys.argv[2] if len(sys.argv) > 2 else "results"),
        )
    except SkyopsError as error:
        sys.exit(f"error[{error.code}]: {error}\n  hint: {error.hint}")
