"""One simulated connection between two nodes: what dies with it."""

from collections import Counter
from collections.abc import Callable


class Connection:
    """A live connection; both ends hold the same object.

    Args:
        dialer: Number of the node that dialled.
        listener: Number of the node that was dialled.
    """

    __slots__ = ("_on_close", "dialer", "idle_streams", "is_open", "listener")

    def __init__(self, dialer: int, listener: int) -> None:
        self.dialer = dialer
        self.listener = listener
        self.is_open = True
        self.idle_streams: Counter[tuple[int, str]] = Counter()
        """(asking node, protocol) -> request streams that wait for the next request."""
        self._on_close: dict[Callable[[], None], None] = {}

    def other(self, node: int) -> int:
        """Return the number of the node at the other end."""
        return self.listener if node == self.dialer else self.dialer

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Call back once when the connection closes; in the order of registration."""
        self._on_close[callback] = None

    def forget(self, callback: Callable[[], None]) -> None:
        """Take a callback back."""
        self._on_close.pop(callback, None)

    def close(self) -> None:
        """Close; pending requests fail and streams break."""
        if self.is_open:
            self.is_open = False
            for callback in tuple(self._on_close):
                callback()
            self._on_close.clear()
