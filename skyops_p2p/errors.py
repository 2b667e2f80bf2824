"""The one error tree. Every error says what is wrong, what to do about it, and has a code that the docs explain.

    SkyopsError
      ConfigError            a file, a flag or an environment variable is wrong
      IdentityError          a key file is missing, unreadable, unsafe or does not open
      LocalProtocolError     our own bug: the caller broke a rule
        UnexpectedEvent      a state machine got an event that its table does not list
      RemoteProtocolError    the peer's fault; carries the code, the rule, and the peer where known
      NetworkError           could not reach, dial, listen or finish in time
      StoreError             the local store is full, locked, torn or too new
      ExecutionError         a sandbox could not do what was asked
      ChainError             the chain could not be read or written
        ChainRefusal         the chain answered, and refuses
      AuditError             a bid book is not what the rules make of it
      TestnetError           a local test network could not do what was asked

Bytes from a peer may raise RemoteProtocolError and nothing else.
"""

from typing import ClassVar


class SkyopsError(Exception):
    """Base of all expected failures.

    Args:
        message: One sentence for the person at the terminal, naming the offending value.
        code: Stable identifier in snake_case, listed in docs/troubleshooting.md; the class default if omitted.
        hint: What to do about it, one sentence; the class default if omitted.
    """

    code: str = "error"
    hint: str = ""
    is_retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if hint is not None:
            self.hint = hint

    def __str__(self) -> str:
        return self.message


class ConfigError(SkyopsError):
    """A setting is unknown, of the wrong type or out of its bounds."""

    code = "config_invalid"
    hint = "Run `skyops config check` to see every setting and where its value comes from."
    exit_code = 2


class IdentityError(SkyopsError):
    """A key file is missing, readable by others, damaged, or its passphrase is wrong."""

    code = "identity_unusable"
    hint = "Run `skyops doctor`; `skyops init` makes a new identity in an empty directory."
    exit_code = 3


class LocalProtocolError(SkyopsError):
    """This program broke its own rules: a bug to report."""

    code = "local_protocol"
    hint = "This is a bug in skyops: please report it with the log."


class UnexpectedEvent(LocalProtocolError):  # noqa: N818 - named after what happened
    """A state machine was handed an event that its table does not list; its state is unchanged."""

    code = "unexpected_event"


class RemoteProtocolError(SkyopsError):
    """The peer sent something that the specification refuses.

    Args:
        message: What was wrong, without repeating the peer's bytes.
        code: One of the refusal codes of protocol/00-conventions.md.
        rule: The specification rule that was broken, e.g. "ENV-4".
        peer: The peer's id where it is known.
    """

    code = "remote_protocol"
    hint = "The peer is at fault; nothing needs to be done here."

    def __init__(self, message: str, *, code: str, rule: str = "", peer: str = "") -> None:
        super().__init__(message, code=code)
        self.rule = rule
        self.peer = peer


class NetworkError(SkyopsError):
    """A peer could not be reached, or did not answer in time."""

    code = "network_unreachable"
    hint = "Check that the peer is running and that its address and port can be reached."
    is_retryable = True
    exit_code = 4


class StoreError(SkyopsError):
    """The local database cannot be used."""

    code = "store_unusable"
    hint = "Check free disk space and that no other skyops process uses this data directory."
    exit_code = 5


class ExecutionError(SkyopsError):
    """A sandbox could not start, enforce or stop what it was asked to."""

    code = "execution_failed"
    exit_code = 6


class ChainError(SkyopsError):
    """The chain could not be read, or a transaction could not be sent."""

    code = "chain_unavailable"
    hint = "`skyops chain status` asks each endpoint and says what is wrong with it."
    is_retryable = True
    exit_code = 7


class ChainRefusal(ChainError):  # noqa: N818 - an answer
    """The chain answered and refuses; the same question gets the same answer.

    Args:
        message: In the chain's words.
        code: What kind of refusal it is.
        hint: What to do about it; the class default if omitted.
        data: What a reverted call returned.
        reason: The contract's own code where it gave one, for example "deposit_too_small".
    """

    code = "chain_refused"
    hint = "The message is the chain's own."
    is_retryable = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        data: bytes = b"",
        reason: str = "",
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.data = data
        self.reason = reason


class TestnetError(SkyopsError):
    """The local test network could not do what was asked."""

    __test__ = False  # keeps pytest from collecting the class because of its name
    code = "testnet_failed"
    hint = "`skyops testnet status` shows its nodes; `skyops testnet logs NODE` shows what one said."
    exit_code = 8


class AuditError(SkyopsError):
    """A bid book cannot be found or read; one that breaks the rules ends the command with the same exit code."""

    code = "audit_failed"
    hint = "A bid book is the file that `skyops match` names, and holds one signed envelope."
    exit_code = 9
