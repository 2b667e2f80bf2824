"""A scheduler on this machine, timed with a function that does nothing; run by the Python that has it.

    python _scheduler.py dask|ray TASKS FOLDER

Prints one JSON object: seconds from nothing to the first result, milliseconds of each task, tasks a second of many.
"""

import json
import os
import sys
import time
from collections.abc import Callable

WORKERS = 1


def nothing(number: int) -> int:
    """Return its argument."""
    return number


def measure(tasks: int, one: Callable[[int], int], many: Callable[[int], object], began: float) -> None:
    """Time the first task, some one after the other, and many at once; print the figures."""
    one(0)
    first_s = time.perf_counter() - began
    times_ms = []
    for number in range(1, tasks + 1):
        started = time.perf_counter()
        assert one(number) == number
        times_ms.append((time.perf_counter() - started) * 1000)
    started = time.perf_counter()
    many(4 * tasks)
    per_s = 4 * tasks / (time.perf_counter() - started)
    print(json.dumps({"first_s": first_s, "times_ms": times_ms, "per_s": per_s}), flush=True)


def dask(tasks: int) -> None:
    """Time Dask: a scheduler in this process, a worker in one of its own."""
    from distributed import Client, LocalCluster

    began = time.perf_counter()
    with (
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        measure(
            tasks,
            lambda number: client.submit(nothing, number, pure=False).result(),
            lambda count: client.gather([client.submit(nothing, n, pure=False) for n in range(count)]),
            began,
        )


def ray(tasks: int, folder: str) -> None:
    """Time Ray with one worker process."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    began = time.perf_counter()
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
    remote = ray.remote(nothing)
    measure(
        tasks,
        lambda number: ray.get(remote.remote(number)),
        lambda count: ray.get([remote.remote(n) for n in range(count)]),
        began,
    )
    ray.shutdown()


if __name__ == "__main__":
    kind, count = sys.argv[1], int(sys.argv[2])
    if kind == "dask":
        dask(count)
    else:
        ray(count, sys.argv[3])
