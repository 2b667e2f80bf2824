"""Gets images: from the engine's own store, from a tar that came with the job, or from a registry; and checks them.

An image is fixed by its id ("sha256:…", the digest of its configuration), by "name@sha256:…" (the digest of its
manifest, which the engine checks while it pulls and we check again), or not at all ("name:tag").
"""

import logging
import re
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.docker.archive import image_id_of
from skyops_p2p.adapters.docker.engine import Engine
from skyops_p2p.adapters.docker.image_cache import ImageCache
from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import Progress, SandboxSpec

logger = logging.getLogger(__name__)
_ID = re.compile(r"sha256:[0-9a-f]{64}")
_VERIFY = ("manifest verification failed", "unexpected digest", "digest mismatch", "does not match digest")
_HASH_PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class Image:
    """One image in the engine's store."""

    id: str
    volumes: tuple[str, ...]
    """Directories that it declares as volumes."""


class EngineImages:
    """The images of one engine.

    Args:
        engine: Whose.
        architecture: Of its machine, as images name it.
        cache: Bounds what this node brings into the engine.
    """

    def __init__(self, engine: Engine, architecture: str, cache: ImageCache) -> None:
        self._engine = engine
        self._cache = cache
        self._architecture = architecture
        self._getting = trio.Lock()  # one transfer at a time: two would only halve each other

    async def find(self, spec: SandboxSpec) -> Image | None:
        """Return the image of a job if the engine has it.

        Raises:
            ExecutionError: `wrong_architecture`, `image_digest_wrong`, `image_missing`, `image_invalid`,
                `runtime_unavailable`.
        """
        name = await self._name(spec)
        facts = await self._inspect(name)
        return None if facts is None else self._checked(name, facts)

    async def get(self, spec: SandboxSpec, *, progress: Progress) -> Image:
        """Return the image of a job, loaded or pulled first where that is needed.

        Raises:
            ExecutionError: As `find`.
        """
        async with self._getting:
            found = await self.find(spec)
            if found is not None:
                await self._cache.used(found.id)
                return found
            before = await self._cache.present()
            name = await self._name(spec)
            if spec.image_archive is not None:
                await self._load(spec.image_archive, progress)
            elif _ID.fullmatch(name):
                raise ExecutionError(
                    f"the engine has no image {name}",
                    code="image_missing",
                    hint="An id alone cannot be pulled.",
                )
            else:
                await self._pull(name, progress)
            facts = await self._inspect(name)
            if facts is not None and facts.get("Id") not in before:
                await self._cache.added(facts)
                await self._cache.trim()
        if facts is None:
            raise _digest_wrong(name)
        return self._checked(name, facts)

    async def _name(self, spec: SandboxSpec) -> str:
        if spec.image_archive is None:
            return _checked_name(spec.image)
        found = await trio.to_thread.run_sync(image_id_of, spec.image_archive, abandon_on_cancel=True)
        if _ID.fullmatch(spec.image) and spec.image != found:
            raise _digest_wrong(spec.image)
        return found

    async def _inspect(self, name: str) -> dict[str, Any] | None:
        import docker.errors

        try:
            facts: dict[str, Any] = await self._engine.call(lambda client: client.inspect_image(name))
        except docker.errors.NotFound:
            return None
        except docker.errors.APIError as error:
            raise ExecutionError(f"no image {name!r}: {error.explanation}", code="image_missing") from error
        return facts

    def _checked(self, name: str, facts: dict[str, Any]) -> Image:
        image_id, architecture = str(facts.get("Id", "")), str(facts.get("Architecture", ""))
        digests = [str(text).rpartition("@")[2] for text in facts.get("RepoDigests") or []]
        _, separator, wanted = name.rpartition("@")
        if separator and wanted not in (*digests, image_id):
            raise _digest_wrong(name)
        if not separator and _ID.fullmatch(name) and name != image_id:
            raise _digest_wrong(name)
        if architecture != self._architecture:
            raise ExecutionError(
                f"the image {name} is for {architecture}, and this machine is {self._architecture}",
                code="wrong_architecture",
            )
        return Image(image_id, tuple(sorted((facts.get("Config") or {}).get("Volumes") or {})))

    async def _load(self, archive: Path, progress: Progress) -> None:
        given_up = threading.Event()
        try:
            await self._transfer(partial(_load_now, archive=archive, progress=progress, given_up=given_up))
        finally:
            given_up.set()

    async def _pull(self, name: str, progress: Progress) -> None:
        given_up = threading.Event()
        try:
            await self._transfer(partial(_pull_now, name=name, progress=progress, given_up=given_up))
        finally:
            given_up.set()

    async def _transfer(self, work: Any) -> None:
        import docker.errors

        try:
            await self._engine.call(work, timeout_s=limits.SANDBOX_PREPARE_TIMEOUT_S, is_wait=True)
        except docker.errors.APIError as error:
            raise _transfer_failed(str(error.explanation)) from error


def _checked_name(name: str) -> str:
    _, separator, digest = name.rpartition("@")
    if not name or name.startswith("-") or any(char.isspace() for char in name):
        raise ExecutionError(f"{name!r} is no name of an image", code="image_missing")
    if (separator or name.startswith(_HASH_PREFIX)) and not _ID.fullmatch(digest):
        raise _digest_wrong(name)
    return name


class _Counted:
    """A file that tells how far it was read, and ends early when nobody waits any more."""

    def __init__(self, file: BinaryIO, size: int, progress: Progress, given_up: threading.Event) -> None:
        self._file = file
        self._size = size
        self._progress = progress
        self._given_up = given_up

    def __iter__(self) -> "_Counted":
        return self

    def __next__(self) -> bytes:
        data = b"" if self._given_up.is_set() else self._file.read(1 << 20)
        if not data:
            raise StopIteration
        self._progress(self._file.tell(), self._size)
        return data


def _load_now(client: Any, *, archive: Path, progress: Progress, given_up: threading.Event) -> None:
    with archive.open("rb") as file:
        counted = _Counted(file, archive.stat().st_size, progress, given_up)
        # Read to the end even after an error, which ends it anyway: else the connection stays open.
        failures = [str(step["error"]) for step in client.load_image(counted) if "error" in step]
    if failures:
        raise _transfer_failed(failures[0])


def _pull_now(client: Any, *, name: str, progress: Progress, given_up: threading.Event) -> None:
    repository, separator, digest = name.rpartition("@")
    if not separator:
        place, colon, tag = name.rpartition(":")
        repository, digest = (place, tag) if colon and "/" not in tag else (name, "latest")
    failure = ""  # told after the end: a stream that is not read to it keeps its connection
    layers: dict[str, tuple[int, int]] = {}  # {layer: (done, total)}; an image has at most 127
    for step in client.pull(repository, tag=digest, stream=True, decode=True):
        if given_up.is_set():
            return
        failure = failure or str(step.get("error", ""))
        detail = step.get("progressDetail") or {}
        if step.get("status") == "Downloading" and detail.get("total"):
            layers[str(step.get("id"))] = (int(detail.get("current", 0)), int(detail["total"]))
            progress(sum(done for done, _ in layers.values()), sum(total for _, total in layers.values()))
    if failure:
        raise _transfer_failed(failure)


def _transfer_failed(reason: str) -> ExecutionError:
    if any(words in reason for words in _VERIFY):
        return ExecutionError(
            f"what came is not the image that was asked for: {reason}",
            code="image_digest_wrong",
            hint="The registry served other bytes than the digest names: do not trust it.",
        )
    return ExecutionError(
        f"the image cannot be had: {reason}",
        code="image_missing",
        hint="Check its name, and whether this machine reaches the registry without a login.",
    )


def _digest_wrong(name: str) -> ExecutionError:
    return ExecutionError(
        f"the image is not {name}",
        code="image_digest_wrong",
        hint="The digest is the one that `docker images --digests` or `docker inspect` shows.",
    )
