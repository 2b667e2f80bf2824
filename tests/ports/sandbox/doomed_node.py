"""A node to be killed while a program runs in it: `python -m …doomed_node RUNTIME FOLDER ADDRESS`."""

import sys
from pathlib import Path

import trio

from tests.ports.sandbox import docker_box, native_box
from tests.ports.sandbox.box import read_until
from tests.ports.sandbox.engine import Engine

HOLDER = (
    "import fcntl, time\n"
    "held = open('/out/held', 'w')\n"
    "fcntl.flock(held, fcntl.LOCK_EX)\n"
    "print('begun', flush=True)\n"
    "time.sleep(3600)\n"
)


async def main(runtime: str, folder: str, address: str) -> None:
    if runtime == "docker":
        opened = docker_box.open_box(Path(folder), Engine(address, has_gvisor=False))
    else:
        opened = native_box.open_box(Path(folder))
    async with opened as box:
        spec = box.spec(HOLDER)
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await read_until(running, b"begun")
            print("begun", flush=True)
            await running.wait()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:4])
