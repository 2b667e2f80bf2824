"""What goes out with a job: inputs from files, other jobs and IPFS, sealed once for all attempts; and its secrets.

Spec: docs/jobs.md, "Inputs". All paths of `file:` URIs are taken relative to where the job file lies.
"""

import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.opening import IMAGE_PATH, MODULE_PATH, is_archive
from skyops_p2p.core.jobs.parts import Secret
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ConfigError, ExecutionError, SkyopsError
from skyops_p2p.node.content.shelf import ContentShelf, Progress, TreePart
from skyops_p2p.wire.messages.execution import InputPart

INPUT_BYTES_MAX = 1 << 40
"""One input; the store's quota is what really bounds it."""


@dataclass(frozen=True, slots=True)
class Source:
    """Data on this machine: a file or a directory."""

    path: Path
    is_file: bool
    passage: Path | None = None
    """Directory that was made for this job only, and goes once it is sealed."""


Resolve = Callable[[str], Awaitable[Source]]
"""Brings the data of a URI that is no `file:` onto this machine."""


class InputSealer:
    """Seals the inputs of jobs into the content store.

    Args:
        shelf: The store.
        resolvers: Scheme ("job", "ipfs", "cid") -> how its data gets here.
    """

    def __init__(self, shelf: ContentShelf, resolvers: Mapping[str, Resolve]) -> None:
        self._shelf = shelf
        self._resolvers = resolvers

    async def seal(
        self, spec: JobSpec, *, base_dir: Path, key: bytes, owner: str, progress: Progress
    ) -> tuple[InputPart, ...]:
        """Seal all inputs, the module and the image archive of a job.

        Args:
            spec: The job.
            base_dir: Where relative `file:` URIs begin.
            key: The job's content key, 32 bytes.
            owner: Under it the store keeps them.
            progress: Told (done, total) bytes of each.

        Raises:
            ExecutionError: `input_missing`, `input_unusable`, or what sealing raises.
            StoreError: `store_full`.
        """
        wanted = [(item.path, item.uri) for item in spec.inputs]
        if spec.module:
            wanted.append((MODULE_PATH, spec.module))
        if is_archive(spec):
            wanted.append((IMAGE_PATH, spec.image))
        sealed = []
        for path, uri in wanted:
            source = await self._source(uri, base_dir)
            if path in (MODULE_PATH, IMAGE_PATH) and not source.is_file:
                raise _unusable(uri, "is a directory; module and image are single files")
            part = TreePart(source.path.parent, source.path.name, source.path.name)
            if not source.is_file:
                part = TreePart(source.path, "", "")
            bundle = await self._shelf.seal_parts(
                [part], key=key, owner=owner, bytes_max=INPUT_BYTES_MAX, progress=progress
            )
            if source.passage is not None:
                await trio.to_thread.run_sync(shutil.rmtree, source.passage)
            sealed.append(InputPart(path=path, bundle=bundle, is_file=source.is_file))
        return tuple(sealed)

    async def _source(self, uri: str, base_dir: Path) -> Source:
        scheme, _, rest = uri.partition(":")
        if scheme == "file":
            return await trio.to_thread.run_sync(local_source, uri, base_dir / rest.removeprefix("//"))
        resolve = self._resolvers.get(scheme)
        if resolve is None:
            raise _unusable(uri, f"this node cannot fetch {scheme}:")
        return await resolve(uri)


def local_source(uri: str, path: Path) -> Source:
    """Look at a path of this machine; blocks for a moment.

    Raises:
        ExecutionError: `input_missing` or `input_unusable`.
    """
    real = Path(
        os.path.realpath(path)
    )  # a person may link to data; what a job leaves behind is never followed
    if real.is_dir():
        return Source(real, is_file=False)
    if real.is_file() and os.access(real, os.R_OK):
        return Source(real, is_file=True)
    if real.exists():
        raise _unusable(uri, "is no readable file or directory")
    raise ExecutionError(
        f"{uri}: there is no {real}",
        code="input_missing",
        hint="Paths in a job file are taken from where the job file lies.",
    )


def gather_secrets(
    spec: JobSpec, *, base_dir: Path, environ: Mapping[str, str]
) -> tuple[tuple[str, bytes], ...]:
    """Fetch the values of a job's secrets from where it says they are.

    Args:
        spec: The job.
        base_dir: Where relative `file:` sources begin.
        environ: The environment of whoever submits.

    Raises:
        ConfigError: `secret_missing` or `secret_too_long`; the value is in no message.
    """
    found = tuple((item.name, _value(item, base_dir, environ)) for item in spec.secrets)
    for name, value in found:
        if len(value) > limits.SECRET_BYTES_MAX:
            raise ConfigError(
                f"the secret {name} has {len(value)} bytes; allowed are {limits.SECRET_BYTES_MAX}",
                code="secret_too_long",
                hint="Give larger data as an input: inputs are encrypted too.",
            )
    if sum(len(value) for _, value in found) > limits.SECRETS_BYTES_MAX:
        raise ConfigError(
            f"the secrets have more than {limits.SECRETS_BYTES_MAX} bytes together",
            code="secret_too_long",
            hint="Give larger data as an input: inputs are encrypted too.",
        )
    return found


def _value(item: Secret, base_dir: Path, environ: Mapping[str, str]) -> bytes:
    if item.value is not None:
        return item.value.get_secret_value().encode()
    kind, _, rest = (item.source or f"env:{item.name}").partition(":")
    if kind == "file":
        try:
            return (base_dir / rest).read_bytes()
        except OSError as error:
            raise _missing(item.name, f"the file {rest}: {error.strerror}") from error
    if rest not in environ:
        raise _missing(item.name, f"the environment variable {rest} is not set")
    return environ[rest].encode()


def _missing(name: str, text: str) -> SkyopsError:
    return ConfigError(
        f"the secret {name} cannot be had: {text}",
        code="secret_missing",
        hint="Set it, or correct `source` in the job file.",
    )


def _unusable(uri: str, text: str) -> ExecutionError:
    return ExecutionError(
        f"{uri} {text}", code="input_unusable", hint="See docs/jobs.md for what an input may be."
    )
