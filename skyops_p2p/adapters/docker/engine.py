"""The container engine behind its socket: every call in a thread, with a deadline, its errors mapped.

Engines of any version answer calls of API 1.41 (Docker 20.10, Podman 4). A call that was given up leaves its thread
behind until the client's own timeout ends it: both are bounded.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import trio

from skyops_p2p import limits
from skyops_p2p.errors import ExecutionError

logger = logging.getLogger(__name__)
T = TypeVar("T")
API_VERSION = "1.41"
DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
GVISOR = "runsc"
_SOCKET = "unix://"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PODMAN = "Podman Engine"


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine said of itself."""

    version: str
    architecture: str
    """As images name it: "amd64"."""
    bounds_memory: bool
    bounds_pids: bool
    bounds_cpu: bool
    has_gvisor: bool
    is_experimental: bool
    is_podman: bool
    root_dir: str
    """Where it keeps its data."""


class Engine:
    """One engine; `close` it.

    Args:
        address: "unix://PATH": mounts are directories of this machine, so the engine must be here too.
    """

    def __init__(self, address: str) -> None:
        import docker

        self.address = address
        # A named version keeps the constructor from asking for one: nothing blocks here.
        self._client = docker.APIClient(
            base_url=address, version=API_VERSION, timeout=int(limits.SANDBOX_START_TIMEOUT_S)
        )
        self._limiter = trio.CapacityLimiter(limits.ENGINE_CALLS_MAX)
        self._waits = trio.CapacityLimiter(limits.ENGINE_WAITS_MAX)

    async def call(
        self,
        work: Callable[[Any], T],
        *,
        timeout_s: float = limits.SANDBOX_START_TIMEOUT_S,
        is_wait: bool = False,
        is_abandonable: bool = True,
    ) -> T:
        """Run one call with docker-py's client in a thread.

        Args:
            work: Takes the client.
            timeout_s: For whoever waits here.
            is_wait: It lasts as long as a program: such calls take no place from the others.
            is_abandonable: Whether it may go on without us when cancelled; else cancellation waits for its end,
                which the client's own timeout bounds.

        Raises:
            ExecutionError: `runtime_unavailable` (no answer), or what `work` raises.
            docker.errors.APIError: The engine refused.
        """
        import docker.errors
        import requests

        limiter = self._waits if is_wait else self._limiter
        try:
            with trio.fail_after(timeout_s):
                return await trio.to_thread.run_sync(
                    work, self._client, abandon_on_cancel=is_abandonable, limiter=limiter
                )
        except trio.TooSlowError:
            raise _unavailable(f"no answer within {timeout_s:g} s") from None
        except docker.errors.APIError:
            raise
        except (docker.errors.DockerException, requests.RequestException, OSError, ValueError) as error:
            raise _unavailable(str(error)) from error

    async def facts(self) -> EngineFacts:
        """Ask the engine what it is.

        Raises:
            ExecutionError: `runtime_unavailable`.
        """
        import docker.errors

        try:
            info, version = await self.call(
                lambda client: (client.info(), client.version(api_version=False)),
                timeout_s=limits.ENGINE_TIMEOUT_S,
            )
            return _facts(info, version)
        except (docker.errors.APIError, AttributeError, TypeError) as error:
            raise _unavailable(str(error)) from error

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()


def engine_address() -> str | None:
    """Return the address of this machine's engine; None if it is said to be elsewhere."""
    address = os.environ.get("DOCKER_HOST") or DEFAULT_ADDRESS
    return address if address.startswith(_SOCKET) else None


def _facts(info: dict[str, Any], version: dict[str, Any]) -> EngineFacts:
    names = [str(part.get("Name", "")) for part in version.get("Components") or []]
    machine = str(info.get("Architecture", ""))
    return EngineFacts(
        version=str(info.get("ServerVersion", "")),
        architecture=_ARCHITECTURES.get(machine, machine),
        bounds_memory=bool(info.get("MemoryLimit")),
        bounds_pids=bool(info.get("PidsLimit")),
        bounds_cpu=bool(info.get("CpuCfsQuota")),
        has_gvisor=GVISOR in (info.get("Runtimes") or {}),
        is_experimental=bool(info.get("ExperimentalBuild")),
        is_podman=_PODMAN in names,
        root_dir=str(info.get("DockerRootDir", "")),
    )


def _unavailable(reason: str) -> ExecutionError:
    return ExecutionError(
        f"the container engine does not answer: {reason}",
        code="runtime_unavailable",
        hint="Is it running, and may this user use its socket? `docker info` tells.",
    )
