"""Several endpoints of one chain as one: the first that answers with sense; the others when it does not.

An endpoint is asked for its chain id, and for block 0, before its first answer counts and after each of its failures.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.chain import parsing
from skyops_p2p.adapters.chain.endpoint import Endpoint
from skyops_p2p.core.chain.endpoints import EndpointBook
from skyops_p2p.errors import ChainError, ChainRefusal
from skyops_p2p.types import MonotonicS

logger = logging.getLogger(__name__)

T = TypeVar("T")


class EndpointPool:
    """The endpoints, in the owner's order.

    Args:
        endpoints: 1 to CHAIN_ENDPOINTS_MAX.
        chain_id: What each must have.
        genesis: Hash of block 0 if it is known from an earlier run.
    """

    def __init__(self, endpoints: Sequence[Endpoint], *, chain_id: int, genesis: bytes | None = None) -> None:
        self._endpoints = tuple(endpoints)
        self._book = EndpointBook(len(endpoints))
        self._is_checked = [False] * len(endpoints)
        self.chain_id = chain_id
        self.genesis = genesis
        """Hash of block 0; the first endpoint's if none was given."""

    async def ask(self, read: Callable[[Any], T], method: str, *parameters: Any) -> T:
        """Ask until one endpoint answers with sense.

        Args:
            read: Turns the result into what is wanted; raises ChainError if it has another form, or is a lie.
            method: JSON-RPC method.
            parameters: Its parameters.

        Raises:
            ChainRefusal: An endpoint's answer.
            ChainError: What is wrong with the endpoint; `chain_unavailable` if there are several; at last after
                CHAIN_CALL_TIMEOUT_S.
        """
        failures: dict[int, ChainError] = {}
        with trio.move_on_after(limits.CHAIN_CALL_TIMEOUT_S):
            for _ in range(limits.CHAIN_ROUNDS_MAX):
                tried: set[int] = set()
                while (index := self._book.choose(_now(), tried=frozenset(tried))) is not None:
                    tried.add(index)
                    try:
                        return await self._ask_one(index, read, method, *parameters)
                    except ChainRefusal:
                        raise
                    except ChainError as error:
                        failures[index] = error
                await trio.sleep_until(self._book.next_awake())
        raise self._summary(failures)

    async def probe(self, index: int) -> None:
        """Check one endpoint's chain.

        Raises:
            ChainError: As `ask`, of this endpoint.
        """
        await self._check(self._endpoints[index])
        self._is_checked[index] = True

    def accept_head(self, number: int) -> None:
        """Check that a head lies not too far back.

        Raises:
            ChainError: `chain_went_back`.
        """
        if not self._book.accept_head(number):
            raise ChainError(
                f"the last block is {number}, and was {self._book.highest} before",
                code="chain_went_back",
                hint="The endpoint lags far behind, or the chain was begun anew; then restart the node.",
            )

    async def _ask_one(self, index: int, read: Callable[[Any], T], method: str, *parameters: Any) -> T:
        endpoint = self._endpoints[index]
        try:
            if not self._is_checked[index]:
                await self.probe(index)
            answer = read(await endpoint.ask(method, *parameters))
        except ChainRefusal:
            self._book.succeed(index)
            raise
        except ChainError as error:
            self._is_checked[index] = False
            self._book.fail(index, _now())
            if self._book.failures(index) == 1:
                logger.warning("chain_endpoint_failed endpoint=%s code=%s", endpoint.name, error.code)
            raise
        self._book.succeed(index)
        return answer

    async def _check(self, endpoint: Endpoint) -> None:
        found = parsing.quantity(await endpoint.ask("eth_chainId"))
        if found != self.chain_id:
            raise ChainError(
                f"{endpoint.name} is of chain {found}, not {self.chain_id}",
                code="chain_wrong",
                hint="network.chain_id and chain.endpoints do not belong together.",
            )
        first = parsing.block(await endpoint.ask("eth_getBlockByNumber", "0x0", False))
        if self.genesis is None:
            self.genesis = first.hash
        if first.hash != self.genesis:
            raise ChainError(
                f"{endpoint.name} has chain id {found}, but is another chain than before",
                code="chain_replaced",
                hint="A test chain was begun anew, or an endpoint is not what it says. Use a new data directory.",
            )

    def _summary(self, failures: dict[int, ChainError]) -> ChainError:
        if len(self._endpoints) == 1 and failures:
            return failures[0]
        texts = [f"{error.message} ({error.code})" for error in failures.values()]
        return ChainError("no endpoint of the chain answers: " + ("; ".join(texts) or "all rest"))

    async def aclose(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints:
            await endpoint.aclose()


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
