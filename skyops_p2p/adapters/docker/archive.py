"""Reads which image a tar of `docker save` holds, before the engine is asked to load it. Blocks.

An image's id is the digest of its configuration, so it can be told from the tar alone: the engine may have it
already, and what it loaded can be checked. Source: Docker image specification 1.2.
"""

import hashlib
import json
import tarfile
from pathlib import Path

from skyops_p2p import limits
from skyops_p2p.errors import ExecutionError

_MANIFEST = "manifest.json"


def image_id_of(archive: Path) -> str:
    """Return "sha256:…" of the one image in a tar.

    Raises:
        ExecutionError: `image_missing` if there is no such file, `image_invalid` if it holds no image, or several.
    """
    try:
        with tarfile.open(archive, "r:*") as tar:
            manifest = json.loads(_read(tar, _MANIFEST))
            if not isinstance(manifest, list) or len(manifest) != 1:
                raise _invalid(archive, "it holds not exactly one image")
            config = _read(tar, str(manifest[0]["Config"]))
    except FileNotFoundError as error:
        raise ExecutionError(f"there is no image archive {archive.name}", code="image_missing") from error
    except (tarfile.TarError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
        raise _invalid(archive, str(error)) from error
    return f"sha256:{hashlib.sha256(config).hexdigest()}"


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.getmember(name)
    file = tar.extractfile(member) if member.size <= limits.IMAGE_CONFIG_BYTES_MAX else None
    if file is None:
        raise ValueError(f"{name} is no file of a reasonable size")
    with file:
        return file.read()


def _invalid(archive: Path, reason: str) -> ExecutionError:
    return ExecutionError(
        f"{archive.name} cannot be used as an image: {reason}",
        code="image_invalid",
        hint="Write it with `docker save IMAGE -o FILE`.",
    )
