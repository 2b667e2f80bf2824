"""What the node has asked of a running job, between the thread that hears it and the thread that runs the module.

A module hears nothing while it runs. The listening thread moves the engine's epoch, so that the module's next loop
iteration or call comes back to `attend`; a module that sleeps is woken and attends too.
"""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from skyops_p2p.adapters.wasm.frames import BlockingConversation


class Interrupted(Exception):  # noqa: N818 - named after what happened
    """The node wants the module to end now."""


class Orders:
    """Orders of the node, and the answers to them.

    Args:
        conversation: With the node.
        raise_epoch: Makes a running module attend.
    """

    def __init__(self, conversation: BlockingConversation, raise_epoch: Callable[[], None]) -> None:
        self._conversation = conversation
        self._raise_epoch = raise_epoch
        self._lock = threading.Lock()
        self._fuel_questions = 0
        self._snapshot_questions = 0
        self.is_interrupted = False
        self.is_stop_asked = False
        self.news = threading.Event()
        """Set when an order came; whoever sleeps for a module waits for it."""

    def listen(self) -> None:
        """Hear the node until it is gone; then this process is of no use to anybody. Runs in a thread of its own."""
        try:
            while (message := self._conversation.read()) is not None:
                self._hear(message)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)

    def tell(self, message: dict[str, Any]) -> None:
        """Send something to the node."""
        with self._lock:
            self._conversation.write(message)

    def answer_fuel(self, used: int) -> None:
        """Answer all questions for the fuel."""
        with self._lock:
            count, self._fuel_questions = self._fuel_questions, 0
        for _ in range(count):
            self.tell({"fuel": used})

    def is_snapshot_asked(self) -> bool:
        """Return whether somebody waits for a snapshot."""
        with self._lock:
            return self._snapshot_questions > 0

    def answer_snapshots(self, *, is_saved: bool) -> None:
        """Answer all questions for a snapshot."""
        with self._lock:
            count, self._snapshot_questions = self._snapshot_questions, 0
        for _ in range(count):
            self.tell({"snapshot": is_saved})

    def _hear(self, message: dict[str, Any]) -> None:
        match message.get("order"):
            case "interrupt":
                self.is_interrupted = True
            case "stop":
                self.is_stop_asked = True
            case "fuel":
                with self._lock:
                    self._fuel_questions += 1
            case "snapshot":
                with self._lock:
                    self._snapshot_questions += 1
        self.news.set()
        self._raise_epoch()
