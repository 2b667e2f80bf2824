"""A peer in a child process that is spoken to in JSON lines: a command a line in, an answer or an event a line out.

A command is {"id": n, "name": …, arguments…}; its answer has the same id, and "error" if it failed. An event has
the key "event"; the first one is "ready" and says the peer id and addresses.
"""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

START_TIMEOUT_S = 120.0
CALL_TIMEOUT_S = 90.0
POLL_S = 0.1
LINE_BYTES_MAX = 16 << 20
EVENTS_MAX = 10_000
"""Events kept for `wait_event`; older ones are forgotten."""


class ForeignPeerMissingError(Exception):
    """The program or what it needs cannot be had here; the text says what to do."""


class ForeignPeerError(Exception):
    """The foreign peer answered a command with an error."""


class LinePeer:
    """One running program; `start_peer` makes it."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self.pid = process.pid
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
async def start_peer(command: Sequence[str]) -> AsyncIterator[LinePeer]:
    """Run a program for the length of a block; it is killed at its end."""
    async with trio.open_nursery() as nursery:
        run = partial(
            trio.run_process,
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.__stderr__,
            check=False,
        )
        process: trio.Process = await nursery.start(run)
        peer = LinePeer(process)
        nursery.start_soon(peer.read_lines)
        ready = await peer.wait_event(lambda event: event["event"] == "ready", timeout_s=START_TIMEOUT_S)
        peer.peer_id, peer.wallet, peer.addrs = ready["peer"], ready.get("wallet", ""), tuple(ready["addrs"])
        try:
            yield peer
        finally:
            process.kill()
            nursery.cancel_scope.cancel()
