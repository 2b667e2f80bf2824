"""What is sent to a node to have a job run: the job, where its relative paths begin, and the values of its secrets.

Made by whoever submits, on whose machine and in whose environment the secrets are.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ConfigError
from skyops_p2p.node.job_changes import Change
from skyops_p2p.node.job_files import read_job


@dataclass(frozen=True, slots=True)
class Submission:
    """One job, ready to be submitted."""

    spec: JobSpec
    base_dir: Path
    """Absolute."""
    secrets: Mapping[str, bytes] = field(repr=False)

    @property
    def tree(self) -> dict[str, Any]:
        """The job as JSON; values of secrets are not in it."""
        return self.spec.model_dump(mode="json", by_alias=True, exclude_none=True)


def prepare_file(
    path: Path,
    changes: Sequence[Change] = (),
    *,
    base_dir: Path | None = None,
    secrets: Mapping[str, bytes] | None = None,
) -> Submission:
    """Read a job file and fetch its secrets.

    Args:
        path: TOML, YAML or JSON.
        changes: Fields to replace before it is checked.
        base_dir: Where relative `file:` URIs begin; if left out, where the file lies.
        secrets: As in `prepare`.

    Raises:
        ConfigError: The job is not valid, or a secret is missing.
    """
    return prepare(read_job(path, changes), base_dir=base_dir or path.parent, secrets=secrets)


def prepare(spec: JobSpec, *, base_dir: Path, secrets: Mapping[str, bytes] | None = None) -> Submission:
    """Fetch the secrets of a job.

    Args:
        spec: The job.
        base_dir: Where relative `file:` URIs begin.
        secrets: Values by name; those that are not in it are fetched from where the job says.

    Raises:
        ConfigError: `secret_missing`, `secret_unknown` or `secret_too_long`.
    """
    base = Path(os.path.abspath(base_dir))  # noqa: PTH100 - text only; links stay
    given = dict(secrets or {})
    if unknown := sorted(set(given) - {item.name for item in spec.secrets}):
        raise ConfigError(
            f"the job has no secret {unknown[0]}", code="secret_unknown", hint="Name it in the job."
        )
    wanted = tuple(item for item in spec.secrets if item.name not in given)
    if wanted:
        from skyops_p2p.node.jobs.inputs import gather_secrets  # it loads the content store

        rest = spec.model_copy(update={"secrets": wanted})
        given |= dict(gather_secrets(rest, base_dir=base, environ=os.environ))
    return Submission(spec, base, given)
