"""What a node and the program of a warm lease say to each other: one JSON object a line, both ways. Pure.

    node:     {"task": 7, "arguments": ["a.png"], "stdin": "aGVsbG8="}
    program:  {"task": 7, "exit_code": 0, "stdout": "SEVMTE8=", "stderr": ""}

`stdin`, `stdout` and `stderr` are base64 (RFC 4648). A program may answer in any order, and leave out all but `task`.
Spec: protocol/05-execution.md, "Warm leases".
"""

import base64
import binascii
import json
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.errors import RemoteProtocolError

IN_FILE, OUT_FILE = "tasks.in", "tasks.out"
"""Named pipes in /skyops; SKYOPS_TASKS_IN and SKYOPS_TASKS_OUT name them for the program."""
BRACKETS_MAX = 64
"""Objects and lists that one answer may open. Python's decoder follows them on the C stack, and where some package has
raised the interpreter's recursion limit, deep ones end the process."""
LINE_BYTES_MAX = 2 * limits.TASK_MESSAGE_BYTES_MAX


@dataclass(frozen=True, slots=True)
class TaskAnswer:
    """How a program ended one task."""

    task: int
    exit_code: int
    stdout: bytes
    stderr: bytes


def encode_task(task: int, arguments: tuple[str, ...], stdin: bytes) -> bytes:
    """Return the line that gives a program one task."""
    fields = {"task": task, "arguments": list(arguments), "stdin": base64.b64encode(stdin).decode()}
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def decode_answer(line: bytes) -> TaskAnswer:
    """Read a program's line.

    Raises:
        RemoteProtocolError: Code `malformed`: it is no answer. The program is the peer here.
    """
    if line.count(b"[") + line.count(b"{") > BRACKETS_MAX:
        raise _malformed("too many brackets")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _malformed("no JSON") from error
    match fields:
        case {"task": int(task)} if task >= 0 and not isinstance(fields["task"], bool):
            code = fields.get("exit_code", 0)
            if type(code) is not int or not 0 <= code <= 255:
                raise _malformed("exit_code is not 0 to 255")
            stdout, stderr = (_bytes(fields.get(name, "")) for name in ("stdout", "stderr"))
            return TaskAnswer(task, code, stdout, stderr[-limits.LOG_CHUNK_BYTES_MAX :])
    raise _malformed("it names no task")


def _bytes(value: object) -> bytes:
    if not isinstance(value, str):
        raise _malformed("stdout and stderr are base64 texts")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("stdout and stderr are base64 texts") from error
    if len(data) > limits.TASK_BYTES_MAX:
        raise _malformed(f"more than {limits.TASK_BYTES_MAX} bytes: write larger things to an output")
    return data


def _malformed(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"answer of a task: {text}", code="malformed", rule="EXE-17")
