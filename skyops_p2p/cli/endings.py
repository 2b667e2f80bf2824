"""How a command's ending is told: one line for a person, or with --json one object for a program, and an exit code."""

import json
import os
import sys

import click

from skyops_p2p.errors import SkyopsError

EXIT_USAGE = 2
EXIT_UNEXPECTED = 70
"""A bug: EX_SOFTWARE of sysexits.h."""
EXIT_INTERRUPTED = 130
"""Ctrl-C, as a shell reports SIGINT."""
BUG_HINT = "This is a bug in skyops: please report it with what the same command tells with --debug."


def tell_ending(error: BaseException, arguments: list[str]) -> int:
    """Tell on standard error how a command ended that did not simply return; return its exit code.

    Args:
        error: What came out of it.
        arguments: The words of the command line: whether they hold --json and --debug is found without parsing them,
            as it may be the parser that failed.
    """
    error = _unwrap(error)
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    match error:
        case SkyopsError():
            code = error.exit_code
            _tell(error, code, as_json="--json" in words)
        case click.exceptions.Exit():
            return error.exit_code
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return EXIT_USAGE
        case click.ClickException():
            from skyops_p2p.cli.usage import usage_error

            _tell(usage_error(error), EXIT_USAGE, as_json="--json" in words)
            return EXIT_USAGE
        case click.Abort() | KeyboardInterrupt():
            return EXIT_INTERRUPTED
        case BrokenPipeError():
            # The reader (head, less) has left. Python would complain again while closing stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case SystemExit():
            return error.code if isinstance(error.code, int) else 1
        case _:
            code = EXIT_UNEXPECTED
            bug = SkyopsError(f"{type(error).__name__}: {error}", code="unexpected", hint=BUG_HINT)
            _tell(bug, code, as_json="--json" in words)
    if "--debug" in words:
        import traceback

        traceback.print_exception(error)
    return code


def _unwrap(error: BaseException) -> BaseException:
    """Return the only error inside a group (trio's nurseries group even a single one)."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _tell(error: SkyopsError, exit_code: int, *, as_json: bool) -> None:
    """Write the error; the members of the object are those of a problem document of the control API."""
    if as_json:
        members = {"code": error.code, "detail": error.message, "hint": error.hint, "exit_code": exit_code}
        click.echo(json.dumps({"error": members}, ensure_ascii=False), err=True)
    else:
        click.echo(_error_text(error.code, error.message, error.hint), err=True)


def _error_text(code: str, message: str, hint: str) -> str:
    """Return what happened and what to do, on one line; under a message that is a list, what to do has its own."""
    told = f"error[{code}]: {message}"
    gap = "\n  " if "\n" in message else " "
    return f"{told}{gap}-> {hint}" if hint else told
