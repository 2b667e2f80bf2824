"""One JSON-RPC server over HTTP. Every way in which it can fail becomes a ChainError with a code.

Source: JSON-RPC 2.0; the error numbers and words of geth, anvil, and the large providers.
"""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio

from skyops_p2p import limits
from skyops_p2p.errors import ChainError, ChainRefusal

_LIMITED_NUMBERS = {-32005, 429}
_BROKEN_NUMBERS = {-32603, -32601}
"""Internal error, and a method that it lacks: another endpoint may do better."""
_REVERTED_NUMBER = 3
_WORDS = (
    ("revert", "call_reverted"),
    ("insufficient funds", "funds_missing"),
    ("nonce too low", "nonce_low"),
    ("underpriced", "fee_low"),
    ("less than block base fee", "fee_low"),
    ("fee too low", "fee_low"),
)
"""What is looked for in the text of an error, in this order: the numbers do not tell these apart."""
KNOWN_WORDS = ("already known", "already imported", "known transaction", "alreadyknown")


def shown_url(url: str) -> str:
    """Return scheme, host and port of a URL: providers put their secrets into the path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}" + (f":{parts.port}" if parts.port else "")


class _Body(httpx.AsyncByteStream):
    """The body of a request, in one piece.

    httpx's own is an async generator, which a cancellation in the middle of a write leaves behind.
    """

    def __init__(self, data: bytes) -> None:
        self._left = [data]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class Endpoint:
    """One server.

    Args:
        url: "http://…" or "https://…"; its path may hold a secret, and is never shown.
        timeout_s: For one answer.
    """

    def __init__(self, url: str, *, timeout_s: float = limits.CHAIN_REQUEST_TIMEOUT_S) -> None:
        parts = urlsplit(url)
        self._url = url
        self._timeout_s = timeout_s
        self._numbers = itertools.count(1)
        host = parts.hostname or ""
        self.name = shown_url(url)
        """Scheme, host and port, for people."""
        # A proxy of the environment is for the world outside, not for this machine.
        is_here = host in {"127.0.0.1", "localhost", "::1"}
        self._http = httpx.AsyncClient(timeout=timeout_s, trust_env=not is_here)

    async def ask(self, method: str, *parameters: Any) -> Any:
        """Send one request and return its result.

        Raises:
            ChainError: `rpc_unreachable`, `rpc_timeout`, `rpc_garbage`, `rpc_busy`, `rpc_limited`, `rpc_broken`.
            ChainRefusal: The server understood, and refuses.
        """
        number = next(self._numbers)
        body = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(parameters)}
        try:
            with trio.fail_after(self._timeout_s):
                status, content = await self._post(body)
        except (trio.TooSlowError, httpx.TimeoutException) as error:
            raise ChainError(
                f"{self.name} did not answer within {self._timeout_s:g} s", code="rpc_timeout"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = str(error) or type(error).__name__
            raise ChainError(f"{self.name} cannot be reached: {reason}", code="rpc_unreachable") from error
        if status == 429 or status >= 500:
            raise ChainError(f"{self.name} answered HTTP {status}", code="rpc_busy")
        return self._result(content, number)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def _post(self, body: dict[str, Any]) -> tuple[int, bytes]:
        content = bytearray()
        with trio.CancelScope() as reading:
            request = self._http.build_request("POST", self._url, json=body)
            request.stream = _Body(request.content)
            answer = await self._http.send(request, stream=True)
            async with aclosing(answer):
                async for part in answer.aiter_bytes():
                    content += part
                    if len(content) > limits.CHAIN_ANSWER_BYTES_MAX:
                        reading.cancel()  # unlike an exception here, this also unwinds httpx's own generators
        if len(content) > limits.CHAIN_ANSWER_BYTES_MAX:
            raise self._garbage("its answer is too long")
        return answer.status_code, bytes(content)

    def _result(self, content: bytes, number: int) -> Any:
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._garbage("its answer is no JSON") from error
        if not isinstance(answer, dict):
            raise self._garbage("its answer is no object")
        failure = answer.get("error")
        if failure is not None:
            raise self._refusal(failure)
        if answer.get("id") != number or "result" not in answer:
            raise self._garbage("its answer is to another question")
        return answer["result"]

    def _garbage(self, reason: str) -> ChainError:
        return ChainError(f"{self.name} does not speak JSON-RPC: {reason}", code="rpc_garbage")

    def _refusal(self, failure: Any) -> ChainError:
        if not isinstance(failure, dict):
            return self._garbage("its error is no object")
        number, text = failure.get("code"), failure.get("message")
        if not isinstance(number, int) or not isinstance(text, str):
            return self._garbage("its error has no number or no text")
        text = "".join(letter if letter.isprintable() else " " for letter in text)
        text = text[: limits.CHAIN_ERROR_CHARS_MAX]
        lowered = text.lower()
        if number == _REVERTED_NUMBER:
            return ChainRefusal(text, code="call_reverted", data=_returned(failure.get("data")))
        for words, code in _WORDS:
            if words in lowered:
                return ChainRefusal(text, code=code, data=_returned(failure.get("data")))
        if number in _LIMITED_NUMBERS:
            return ChainError(f"{self.name}: {text}", code="rpc_limited")
        if number in _BROKEN_NUMBERS:
            return ChainError(f"{self.name}: {text}", code="rpc_broken")
        return ChainRefusal(text)


def _returned(data: Any) -> bytes:
    """Return the bytes of a revert, as far as the server tells them."""
    if isinstance(data, str) and data.startswith("0x"):
        try:
            return bytes.fromhex(data[2:])
        except ValueError:
            return b""
    return b""
