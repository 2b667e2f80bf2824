"""What the embedded chain does not do, in the words of geth."""


class Refused(Exception):  # noqa: N818 - an answer to whoever asked, not a failure
    """A request cannot be done.

    Args:
        message: In the words of geth, which clients look for.
        number: JSON-RPC's error number.
        data: What a reverted call returned.
    """

    def __init__(self, message: str, *, number: int = -32000, data: bytes | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.number = number
        self.data = data
