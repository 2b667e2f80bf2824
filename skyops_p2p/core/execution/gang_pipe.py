"""One end of a line between two members of a gang: bytes in both directions that outlive the session. Pure.

What the other program has not taken yet is kept and sent again after a broken session, from where the other side says
that it stands; so nothing is lost, doubled or reordered, whatever happens between. At most GANG_LINE_BYTES_MAX wait in
each direction at each end. Spec: protocol/05-execution.md, "Lines". Source of window and cumulative acknowledgement:
RFC 9293, section 3.8.
"""

from skyops_p2p import limits
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.messages.gang import GangData, GangTaken


class GangPipe:
    """Both directions of one line, as one end sees them.

    Args:
        window: Bytes of one direction that may wait.
    """

    def __init__(self, *, window: int = limits.GANG_LINE_BYTES_MAX) -> None:
        self._window = window
        self._out = bytearray()
        """What the other program has not taken."""
        self._out_from = 0
        """Offset of its first byte."""
        self._next = 0
        """Offset of the next byte to send in the present session."""
        self._sent_to = 0
        """Highest offset that was ever sent, the end counting as one."""
        self._is_finished = False
        """Our program sends no more."""
        self._is_end_sent = False
        self._is_end_taken = False
        self._in = bytearray()
        """What our program has not taken."""
        self._taken = 0
        """Bytes that our program has taken."""
        self._end_at: int | None = None
        """How long the other direction is, once that is known."""
        self._is_end_passed = False
        self._told = 0
        """What the other side was told of `taken`."""

    # --- our program ----------------------------------------------------------------------------------------------
    @property
    def room(self) -> int:
        """How many bytes `put` takes at present."""
        return 0 if self._is_finished else self._window - len(self._out)

    def put(self, data: bytes) -> None:
        """Take bytes of our program, at most `room`."""
        assert len(data) <= self.room, "more than there is room for"
        self._out += data

    def finish(self) -> None:
        """Note that our program sends no more."""
        self._is_finished = True

    def waiting(self) -> bytes:
        """Return the next bytes for our program; empty if there are none."""
        return bytes(self._in[: limits.GANG_DATA_BYTES_MAX])

    def took(self, count: int) -> None:
        """Note that our program has got so many of the bytes that wait."""
        del self._in[:count]
        self._taken += count

    @property
    def is_end_due(self) -> bool:
        """Whether our program has got everything, and is to be told that no more comes."""
        return self._end_at == self._taken and not self._is_end_passed

    def pass_end(self) -> None:
        """Note that it was told."""
        self._is_end_passed = True

    # --- the other side -------------------------------------------------------------------------------------------
    @property
    def taken(self) -> int:
        """How far our program has come with what the other sends; the end counts as one."""
        return self._taken + self._is_end_passed

    @property
    def is_sent(self) -> bool:
        """Whether the other program has got all of ours and knows it."""
        return self._is_end_taken

    @property
    def is_over(self) -> bool:
        """Whether both directions have ended."""
        return self._is_end_taken and self._is_end_passed

    @property
    def is_untouched(self) -> bool:
        """Whether our program has sent nothing."""
        return not self._out and not self._out_from

    def resume(self, taken: int, *, told: int) -> None:
        """Begin a session: what the other program has not taken is sent again.

        Args:
            taken: Where the other side stands.
            told: What it was told of our `taken` as the session began.

        Raises:
            RemoteProtocolError: `malformed`: it cannot stand there.

        Rules: EXE-30, EXE-31.
        """
        self._note_taken(taken)
        self._next, self._is_end_sent, self._told = self._out_from, self._is_end_taken, told

    def next_message(self) -> GangData | GangTaken | None:
        """Return what is to be sent next, and count it as sent; None: nothing at present."""
        is_ended = self._is_end_passed and self._told < self.taken
        if is_ended or self.taken - self._told >= self._window // 4:
            self._told = self.taken
            return GangTaken(taken=self._told)
        start = self._next - self._out_from
        data = bytes(self._out[start : start + limits.GANG_DATA_BYTES_MAX])
        is_last = self._is_finished and start + len(data) == len(self._out)
        if not data and (not is_last or self._is_end_sent):
            return None
        offset, self._next = self._next, self._next + len(data)
        self._is_end_sent = is_last
        self._sent_to = max(self._sent_to, self._next + is_last)
        return GangData(offset=offset, data=data, is_last=is_last)

    def take(self, message: GangData | GangTaken) -> None:
        """Take a message of the other side.

        Raises:
            RemoteProtocolError: `malformed` (a gap, more behind the end, another end, a count that cannot be) or
                `flood` (more than may wait).

        Rules: EXE-30.
        """
        if isinstance(message, GangTaken):
            self._note_taken(message.taken)
            return
        received = self._taken + len(self._in)
        end = message.offset + len(message.data)
        if message.offset > received:  # EXE-30
            raise _refused("there are bytes missing before it")
        is_past = self._end_at is not None and (
            end > self._end_at or (message.is_last and end != self._end_at)
        )
        if is_past or (message.is_last and end < received):
            raise _refused("the direction has ended elsewhere")
        if end - self._taken > self._window:
            raise _refused("more bytes than may wait", code="flood")
        self._in += message.data[max(0, received - message.offset) :]
        if message.is_last:
            self._end_at = end

    def _note_taken(self, taken: int) -> None:
        if taken > self._sent_to:
            raise _refused("it has taken more than was sent")
        end = self._out_from + len(self._out)
        if taken > end:
            self._is_end_taken = True
        count = min(taken, end) - self._out_from
        if count > 0:  # an older count says nothing new
            del self._out[:count]
            self._out_from += count
            self._next = max(self._next, self._out_from)


def _refused(text: str, *, code: str = "malformed") -> RemoteProtocolError:
    return RemoteProtocolError(f"gang line: {text}", code=code, rule="EXE-30")
