"""Several workers on one job: the first error ends it, and comes out alone."""

from collections.abc import Awaitable, Callable, Sequence

import trio

from skyops_p2p.errors import SkyopsError


async def run_crew(workers: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Run workers side by side until all are done.

    Raises:
        SkyopsError: The first that one of them raised; the others are cancelled, and what they raise while they go is
            dropped, since it follows from the first.
    """
    errors: list[SkyopsError] = []

    async def guard(worker: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
        try:
            await worker()
        except SkyopsError as error:
            errors.append(error)
            scope.cancel()

    async with trio.open_nursery() as nursery:
        for worker in workers:
            nursery.start_soon(guard, worker, nursery.cancel_scope)
    if errors:
        raise errors[0]
