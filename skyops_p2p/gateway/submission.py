"""What `POST /v1/jobs` takes: a job, where its relative paths begin, and the values of its secrets.

The values come with the request, never from this process's environment: who may ask this API need not know what its
environment holds. They are in no error, log or example.
"""

import base64
import binascii
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from skyops_p2p.core.jobs.problems import check_spec
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ConfigError
from skyops_p2p.limits import API_PATH_CHARS_MAX, JOB_PARTS_MAX, SECRET_BYTES_MAX, SECRETS_BYTES_MAX

_HINT = "`skyops submit` fetches them from where the job file says, and sends them along."


class SubmitRequest(BaseModel):
    """A job to run."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    spec: dict[str, Any]
    """The job, as in a JSON job file."""
    base_dir: str = Field(min_length=1, max_length=API_PATH_CHARS_MAX)
    """Absolute; where relative `file:` URIs begin."""
    secrets: dict[str, SecretStr] = Field({}, max_length=JOB_PARTS_MAX)
    """Name of each secret of the job -> its value in base64."""


def read_spec(tree: object) -> JobSpec:
    """Return the job that a request carries.

    Raises:
        ConfigError: `job_invalid`, with every mistake.
    """
    spec, problems = check_spec(tree)
    if spec is None:
        raise ConfigError("; ".join(str(problem) for problem in problems), code="job_invalid")
    return spec


def read_values(spec: JobSpec, secrets: dict[str, SecretStr]) -> tuple[tuple[str, bytes], ...]:
    """Return (name, value) of the job's secrets, in its order.

    Raises:
        ConfigError: `secret_missing`, `secret_unknown`, `secret_invalid` or `secret_too_long`; no value is in it.
    """
    names = [item.name for item in spec.secrets]
    if missing := [name for name in names if name not in secrets]:
        raise ConfigError(
            f"no value came with the job for the secret {missing[0]}", code="secret_missing", hint=_HINT
        )
    if unknown := sorted(set(secrets) - set(names)):
        raise ConfigError(
            f"the job has no secret {unknown[0][:64]}", code="secret_unknown", hint="Name it in the job."
        )
    values = tuple((name, _decode(name, secrets[name])) for name in names)
    if any(len(value) > SECRET_BYTES_MAX for _, value in values) or (
        sum(len(value) for _, value in values) > SECRETS_BYTES_MAX
    ):
        raise ConfigError(
            f"a secret has at most {SECRET_BYTES_MAX} bytes, and all of a job {SECRETS_BYTES_MAX}",
            code="secret_too_long",
            hint="Give larger data as an input: inputs are encrypted too.",
        )
    return values


def _decode(name: str, value: SecretStr) -> bytes:
    try:
        return base64.b64decode(value.get_secret_value(), validate=True)
    except (binascii.Error, ValueError):
        # Not chained: what the decoder says may repeat a part of the value.
        trouble = ConfigError(
            f"the value of the secret {name} is no base64", code="secret_invalid", hint=_HINT
        )
    raise trouble


def absolute_path(text: str, what: str) -> Path:
    """Return a path of this machine.

    Args:
        text: As it was sent.
        what: What it is called in the request.

    Raises:
        ConfigError: `path_not_absolute`.
    """
    path = Path(text)
    if not path.is_absolute() or "\0" in text:
        raise ConfigError(
            f"{what} is no absolute path",
            code="path_not_absolute",
            hint="The node runs in a directory of its own, so only absolute paths mean something to it.",
        )
    return path
