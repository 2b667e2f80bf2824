"""The images that this node has brought into the engine, and how they go again: the least recently used first.

Only images that were not there before, and that this node pulled or loaded, are ever removed; which those are is
written down beside the node's data. One that somebody has given another name, or made a container of, stays.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.docker.engine import Engine
from skyops_p2p.errors import ExecutionError

logger = logging.getLogger(__name__)
RECORD = "docker-images.json"
"""File in the data directory."""


@dataclass(frozen=True, slots=True)
class KeptImage:
    """One image that this node has brought."""

    id: str
    names: tuple[str, ...]
    """Tags that it had then: with others it is somebody else's too."""
    size_bytes: int
    """As the engine says; layers that images share count in each."""
    used_unix_s: float


class ImageCache:
    """The images of one node in one engine.

    Args:
        engine: Where they are.
        path: Of the record.
        bytes_max: The most that they may take together; None: none is removed.
        now: Unix seconds.
    """

    def __init__(
        self, engine: Engine, path: Path, *, bytes_max: int | None, now: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._path = path
        self._bytes_max = bytes_max
        self._now = now

    async def present(self) -> frozenset[str]:
        """Return the ids of all images that the engine has, whoever brought them.

        Raises:
            ExecutionError: `runtime_unavailable`.
        """
        found = await self._engine.call(lambda client: client.images(quiet=True))
        return frozenset(str(image_id) for image_id in found)

    async def added(self, facts: dict[str, Any]) -> None:
        """Note an image that came just now."""
        image_id, names = str(facts.get("Id", "")), tuple(map(str, facts.get("RepoTags") or ()))
        image = KeptImage(image_id, names, int(facts.get("Size") or 0), self._now())
        await self._write([*(one for one in await self._read() if one.id != image_id), image])

    async def used(self, image_id: str) -> None:
        """Note that an image is wanted; one that this node has not brought is none of its business."""
        kept = await self._read()
        if any(one.id == image_id for one in kept):
            await self._write(
                KeptImage(one.id, one.names, one.size_bytes, self._now()) if one.id == image_id else one
                for one in kept
            )

    async def trim(self) -> int:
        """Remove images until they fit; those that were wanted of late stay. Return how many went.

        Raises:
            ExecutionError: `runtime_unavailable`.
        """
        if self._bytes_max is None:
            return 0
        kept = sorted(await self._read(), key=lambda one: one.used_unix_s)
        surplus = sum(one.size_bytes for one in kept) - self._bytes_max
        stays_from, gone = self._now() - limits.IMAGE_REST_S, 0
        for one in kept:
            if surplus <= 0 or one.used_unix_s > stays_from:
                break
            if await self._remove(one):
                surplus, gone = surplus - one.size_bytes, gone + 1
                await self._write(other for other in await self._read() if other.id != one.id)
        return gone

    async def _remove(self, image: KeptImage) -> bool:
        """Remove one image; whether it need not be counted any more: it is gone, or somebody else's now."""
        import docker.errors

        def remove(client: Any) -> None:
            tags = client.inspect_image(image.id).get("RepoTags") or []
            if set(tags) - set(image.names):
                logger.info("image_has_other_names id=%s", image.id[:19])
                return
            for name in tags[1:]:  # the last name takes the image along
                client.remove_image(name)
            client.remove_image(image.id)

        try:
            await self._engine.call(remove, timeout_s=limits.SANDBOX_PREPARE_TIMEOUT_S, is_wait=True)
        except docker.errors.NotFound:
            return True
        except (
            docker.errors.APIError
        ) as error:  # a container of it: it stays, and is looked at again next time
            logger.info("image_stays id=%s reason=%s", image.id[:19], error.explanation)
            return False
        logger.info("image_removed id=%s bytes=%d", image.id[:19], image.size_bytes)
        return True

    async def _read(self) -> list[KeptImage]:
        return await trio.to_thread.run_sync(read_record, self._path)

    async def _write(self, images: Iterable[KeptImage]) -> None:
        newest = sorted(images, key=lambda one: one.used_unix_s)[-limits.IMAGES_NOTED_MAX :]
        await trio.to_thread.run_sync(_write_record, self._path, newest)


def read_record(path: Path) -> list[KeptImage]:
    """Return the images that a node has brought; none where no record can be read: then none is removed either."""
    try:
        rows = json.loads(path.read_bytes())
        return [
            KeptImage(str(row["id"]), tuple(row["names"]), int(row["size_bytes"]), float(row["used_unix_s"]))
            for row in rows
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("image_record_unreadable path=%s error=%s", path, error)
        return []


def _write_record(path: Path, images: list[KeptImage]) -> None:
    """Write the record whole or not at all.

    Raises:
        ExecutionError: `workspace_full`: then nothing has changed.
    """
    draft = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.write_text(json.dumps([asdict(one) for one in images]), encoding="utf-8")
        os.replace(draft, path)  # noqa: PTH105 - one step
    except OSError as error:
        raise ExecutionError(f"{path}: {error.strerror}", code="workspace_full") from error
