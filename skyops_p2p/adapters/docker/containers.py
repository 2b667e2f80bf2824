"""The calls about one container, each with its deadline, its refusals mapped or taken for what they mean."""

import os
from collections.abc import Callable
from typing import Any

from skyops_p2p import limits
from skyops_p2p.adapters.docker.container import OWNER_LABEL
from skyops_p2p.adapters.docker.engine import API_VERSION, Engine
from skyops_p2p.errors import ExecutionError

_GONE, _CONFLICT = 404, 409
_GPU_REFUSALS = ("could not select device driver", "nvidia", "unknown device")


class Containers:
    """Containers of one engine.

    Args:
        engine: Whose.
        owner: What our containers are labelled with.
    """

    def __init__(self, engine: Engine, owner: str) -> None:
        self._engine = engine
        self._owner = owner

    async def create(self, name: str, config: dict[str, Any]) -> str:
        """Make a container and return its id."""
        made: dict[str, Any] = await self._refusable(
            lambda client: client.create_container_from_config(config, name=name)
        )
        return str(made["Id"])

    async def attach(self, container_id: str) -> int:
        """Return the descriptor of a stream with everything that the container will write; the caller closes it."""
        descriptor: int = await self._refusable(lambda _: _attach(self._engine.address, container_id))
        return descriptor

    async def start(self, container_id: str, *, checkpoint: str = "") -> None:
        """Start a container, from a checkpoint of its own if one is named."""
        params = {"checkpoint": checkpoint} if checkpoint else {}

        def work(client: Any) -> None:
            answer = client._post(client._url("/containers/{0}/start", container_id), params=params)
            client._raise_for_status(answer)

        await self._refusable(work)

    async def checkpoint(self, container_id: str, name: str) -> None:
        """Save and end a container; the engine must be experimental, and its runtime able to."""

        def work(client: Any) -> None:
            answer = client._post_json(
                client._url("/containers/{0}/checkpoints", container_id),
                data={"CheckpointID": name, "Exit": True},
            )
            client._raise_for_status(answer)

        await self._refusable(work)

    async def main_pid(self, container_id: str) -> int:
        """Return the number of its first process on this machine, 0 if it has ended."""
        return int((await self._state(container_id)).get("Pid", 0))

    async def is_running(self, container_id: str) -> bool:
        """Return whether it runs, paused or not."""
        return bool((await self._state(container_id)).get("Running"))

    async def wait(self, container_id: str) -> dict[str, Any]:
        """Wait for its end and return its last state.

        Raises:
            ExecutionError: `runtime_unavailable`, `sandbox_failed` (it is gone).
        """
        import requests

        def look(client: Any) -> bool:
            try:
                client.wait(container_id, timeout=limits.ENGINE_WAIT_S)
            except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError) as error:
                if "timed out" not in str(error).lower():
                    raise
                return False
            return True

        while True:
            has_ended = await self._refusable(
                look, timeout_s=2.0 * limits.ENGINE_WAIT_S, is_wait=True, is_abandonable=True
            )
            if has_ended:
                return await self._state(container_id)

    async def pause(self, container_id: str) -> None:
        """Freeze it.

        Raises:
            ExecutionError: `not_supported`, or `sandbox_ended` if it ended just now.
        """
        import docker.errors

        try:
            await self._engine.call(lambda client: client.pause(container_id))
        except docker.errors.APIError as error:
            if not await self.is_running(container_id):
                raise ExecutionError("the program has ended", code="sandbox_ended") from error
            raise ExecutionError(f"it cannot be paused: {error.explanation}", code="not_supported") from error

    async def unpause(self, container_id: str) -> None:
        """Undo `pause`; without a pause nothing happens."""
        await self._if_there(lambda client: client.unpause(container_id), also=500)

    async def kill(self, container_id: str, signal: str) -> bool:
        """Send a signal to its first process; return whether it still ran."""
        return await self._if_there(lambda client: client.kill(container_id, signal=signal))

    async def remove(self, name: str) -> None:
        """Remove it with everything in it, whether it runs or not."""
        await self._if_there(
            lambda client: client.remove_container(name, force=True, v=True), is_abandonable=False
        )

    async def ours(self) -> list[str]:
        """Return the names of all our containers, running or not."""
        found: list[dict[str, Any]] = await self._refusable(
            lambda client: client.containers(all=True, filters={"label": f"{OWNER_LABEL}={self._owner}"})
        )
        return [str(facts["Names"][0]).lstrip("/") for facts in found if facts.get("Names")]

    async def _state(self, container_id: str) -> dict[str, Any]:
        facts: dict[str, Any] = await self._refusable(lambda client: client.inspect_container(container_id))
        state: dict[str, Any] = facts.get("State") or {}
        return state

    async def _if_there(
        self, work: Callable[[Any], object], *, also: int = 0, is_abandonable: bool = True
    ) -> bool:
        """Return False where the engine says that the container is gone, or not in the state for it."""
        import docker.errors

        try:
            await self._engine.call(work, is_abandonable=is_abandonable)
        except docker.errors.APIError as error:
            if error.status_code in (_GONE, _CONFLICT, also):
                return False
            raise ExecutionError(f"the engine refused: {error.explanation}", code="sandbox_failed") from error
        return True

    async def _refusable(
        self,
        work: Callable[[Any], Any],
        *,
        timeout_s: float = limits.SANDBOX_START_TIMEOUT_S,
        is_wait: bool = False,
        is_abandonable: bool = False,
    ) -> Any:
        """Make a call to its end, even when cancelled: what it makes must be known to be removed."""
        import docker.errors

        try:
            return await self._engine.call(
                work, timeout_s=timeout_s, is_wait=is_wait, is_abandonable=is_abandonable
            )
        except docker.errors.APIError as error:
            reason = str(error.explanation)
            if any(words in reason for words in _GPU_REFUSALS):
                raise ExecutionError(
                    f"the engine cannot give the job its GPU: {reason}",
                    code="gpu_unavailable",
                    hint="It needs the NVIDIA container toolkit.",
                ) from error
            raise ExecutionError(f"the engine refused: {reason}", code="sandbox_failed") from error


def _attach(address: str, container_id: str) -> int:
    """Ask for the stream on a connection of its own: it never returns to the pool of the others."""
    import docker

    client = docker.APIClient(
        base_url=address, version=API_VERSION, timeout=int(limits.SANDBOX_START_TIMEOUT_S)
    )
    try:
        stream = client.attach_socket(container_id, params={"stdout": 1, "stderr": 1, "stream": 1})
        descriptor = os.dup(stream.fileno())
        stream._response.close()  # docker-py keeps the answer there, and with it the connection
    finally:
        client.close()
    return descriptor
