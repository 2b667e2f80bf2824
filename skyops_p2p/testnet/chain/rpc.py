"""The embedded chain's JSON-RPC: the methods that clients use, and those with which tests move time and blocks.

Source: ethereum/execution-apis; the error numbers and words are geth's, the `evm_` methods Hardhat's, the `anvil_`
methods anvil's; `skyops_reorg` is our own.
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from eth._utils.address import generate_contract_address
from eth.abc import LogAPI
from eth_typing import Address

from skyops_p2p import limits
from skyops_p2p._version import __version__
from skyops_p2p.testnet.chain.calls import CallRequest
from skyops_p2p.testnet.chain.evm import EmbeddedChain, Mined
from skyops_p2p.testnet.chain.genesis import GAS_LIMIT
from skyops_p2p.testnet.chain.refusals import Refused

_TIP_WEI = 10**9
_NEXT = ("latest", "pending")


class Rpc:
    """Answers requests about one chain."""

    def __init__(self, chain: EmbeddedChain) -> None:
        self._chain = chain
        self._answers: OrderedDict[tuple[bytes, CallRequest], bytes] = OrderedDict()
        """(hash of a block, a call) -> what it returns after it, the one that was asked for last at the end."""
        self._methods: dict[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: f"skyops-chain/{__version__}",
            "net_version": lambda: str(chain.chain_id),
            "eth_chainId": lambda: hex(chain.chain_id),
            "eth_blockNumber": lambda: hex(chain.head.block_number),
            "eth_gasPrice": lambda: hex(int(chain.head.base_fee_per_gas or 0) + _TIP_WEI),
            "eth_maxPriorityFeePerGas": lambda: hex(_TIP_WEI),
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getBalance": self._balance,
            "eth_getCode": self._code,
            "eth_getStorageAt": self._storage,
            "eth_getTransactionCount": self._transaction_count,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_sendRawTransaction": lambda raw: _hex(chain.send(_bytes(raw))),
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getLogs": self._logs,
            "evm_mine": self._mine,
            "anvil_mine": self._mine_many,
            "anvil_rollback": self._rollback,
            "skyops_reorg": self._reorg,
            "evm_increaseTime": self._increase_time,
            "evm_setAutomine": self._set_automine,
        }

    def answer(self, body: bytes) -> bytes:
        """Answer one request, or a batch of at most CHAIN_BATCH_MAX; whatever came, an answer goes back."""
        try:
            request = json.loads(body)
        except (ValueError, RecursionError):
            return _packed(_failure(None, -32700, "parse error"))
        if isinstance(request, list):
            if not 0 < len(request) <= limits.CHAIN_BATCH_MAX:
                return _packed(_failure(None, -32600, "batch is empty or too long"))
            return _packed([self._one(item) for item in request])
        return _packed(self._one(request))

    def _one(self, request: Any) -> dict[str, Any]:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _failure(None, -32600, "invalid request")
        number = request.get("id")
        parameters = request.get("params") or []
        method = self._methods.get(request["method"])
        if method is None:
            return _failure(number, -32601, f"the method {request['method'][:64]} does not exist")
        if not isinstance(parameters, list):
            return _failure(number, -32602, "parameters are a list")
        try:
            return {"jsonrpc": "2.0", "id": number, "result": method(*parameters)}
        except Refused as error:
            data = {} if error.data is None else {"data": _hex(error.data)}
            return _failure(number, error.number, error.message, **data)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            return _failure(number, -32602, f"invalid parameters: {error}")

    # --- blocks and accounts ------------------------------------------------------------------------------------

    def _number(self, tag: Any) -> int:
        if isinstance(tag, dict):
            found = self._chain.number_of(_bytes(tag["blockHash"]))
            if found is None:
                raise Refused("header not found")
            return found
        head: int = self._chain.head.block_number
        named = {"earliest": 0, "latest": head, "pending": head, "safe": head, "finalized": head}
        number = named[tag] if tag in named else int(tag, 16)
        if not 0 <= number <= head:
            raise Refused("header not found")
        return number

    def _block_by_number(self, tag: Any, _is_full: bool = False) -> dict[str, Any] | None:
        try:
            number = self._number(tag)
        except Refused:
            return None
        return self._block(number)

    def _block_by_hash(self, text: str, _is_full: bool = False) -> dict[str, Any] | None:
        number = self._chain.number_of(_bytes(text))
        return None if number is None else self._block(number)

    def _block(self, number: int) -> dict[str, Any]:
        block = self._chain.block(number)
        header = block.header
        return {
            "number": hex(header.block_number),
            "hash": _hex(header.hash),
            "parentHash": _hex(header.parent_hash),
            "stateRoot": _hex(header.state_root),
            "receiptsRoot": _hex(header.receipt_root),
            "transactionsRoot": _hex(header.transaction_root),
            "logsBloom": _hex(int(header.bloom).to_bytes(256, "big")),
            "miner": _hex(header.coinbase),
            "extraData": _hex(header.extra_data),
            "gasLimit": hex(header.gas_limit),
            "gasUsed": hex(header.gas_used),
            "timestamp": hex(header.timestamp),
            "baseFeePerGas": hex(int(header.base_fee_per_gas or 0)),
            "transactions": [_hex(one.hash) for one in block.transactions],
        }

    def _balance(self, account: str, tag: Any = "latest") -> str:
        return hex(self._chain.state(self._number(tag)).get_balance(_account(account)))

    def _code(self, account: str, tag: Any = "latest") -> str:
        return _hex(self._chain.state(self._number(tag)).get_code(_account(account)))

    def _storage(self, account: str, slot: str, tag: Any = "latest") -> str:
        value = self._chain.state(self._number(tag)).get_storage(_account(account), int(slot, 16))
        return _hex(value.to_bytes(32, "big"))

    def _transaction_count(self, account: str, tag: Any = "latest") -> str:
        address = _account(account)
        if tag == "pending":
            return hex(self._chain.pending_nonce(address))
        return hex(self._chain.state(self._number(tag)).get_nonce(address))

    # --- calls and transactions ---------------------------------------------------------------------------------

    def _call(self, request: dict[str, Any], tag: Any = "latest") -> str:
        """Run a call after a block that is named, at its time; after the last one, at the time of the next.

        Of the former the answer never changes, and many nodes ask for the same.
        """
        wanted, number = _call_request(request), self._number(tag)
        if tag in _NEXT:
            return _hex(self._chain.call(wanted, number, is_next=True))
        key = (self._chain.hash_of(number), wanted)
        answer = self._answers.pop(key, None)
        if answer is None:
            answer = self._chain.call(wanted, number)
        if len(wanted.data) + len(answer) <= limits.CHAIN_ANSWER_KEPT_BYTES_MAX:
            self._answers[key] = answer
        while len(self._answers) > limits.CHAIN_ANSWERS_MAX:
            self._answers.popitem(last=False)
        return _hex(answer)

    def _estimate(self, request: dict[str, Any], tag: Any = "latest") -> str:
        return hex(self._chain.estimate(_call_request(request), self._number(tag), is_next=tag in _NEXT))

    def _transaction(self, text: str) -> dict[str, Any] | None:
        wanted = _bytes(text, 32)
        mined = self._chain.mined(wanted)
        one = mined.transaction if mined else self._chain.waiting(wanted)
        if one is None:
            return None
        return {
            "hash": _hex(one.hash),
            "from": _hex(one.sender),
            "to": _hex(one.to) if one.to else None,
            "nonce": hex(one.nonce),
            "value": hex(one.value),
            "gas": hex(one.gas),
            "input": _hex(one.data),
            "maxFeePerGas": hex(one.max_fee_per_gas),
            "maxPriorityFeePerGas": hex(one.max_priority_fee_per_gas),
            "blockHash": _hex(mined.block.hash) if mined else None,
            "blockNumber": hex(mined.block.number) if mined else None,
            "transactionIndex": hex(mined.index) if mined else None,
        }

    def _receipt(self, text: str) -> dict[str, Any] | None:
        mined = self._chain.mined(_bytes(text, 32))
        if mined is None:
            return None
        one, base_fee = mined.transaction, int(mined.block.header.base_fee_per_gas or 0)
        created = None if one.to else _hex(generate_contract_address(one.sender, one.nonce))
        paid = min(one.max_fee_per_gas, base_fee + one.max_priority_fee_per_gas)
        return {
            "transactionHash": _hex(one.hash),
            "transactionIndex": hex(mined.index),
            "blockHash": _hex(mined.block.hash),
            "blockNumber": hex(mined.block.number),
            "from": _hex(one.sender),
            "to": _hex(one.to) if one.to else None,
            "contractAddress": created,
            "status": "0x1" if mined.receipt.state_root == b"\x01" else "0x0",
            "gasUsed": hex(mined.gas_used),
            "cumulativeGasUsed": hex(mined.receipt.gas_used),
            "effectiveGasPrice": hex(paid),
            "logs": [_log(mined, mined.logs_before + i, log) for i, log in enumerate(mined.receipt.logs)],
        }

    def _logs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in wanted:
            first = last = self._number({"blockHash": wanted["blockHash"]})
        else:
            first = self._number(wanted.get("fromBlock", "latest"))
            last = min(self._last(wanted.get("toBlock", "latest")), self._chain.head.block_number)
        if last - first >= limits.CHAIN_LOG_BLOCKS_MAX:
            raise Refused(f"more than {limits.CHAIN_LOG_BLOCKS_MAX} blocks at once", number=-32005)
        addresses, topics = wanted.get("address") or [], wanted.get("topics") or []
        accounts = {_bytes(one, 20) for one in ([addresses] if isinstance(addresses, str) else addresses)}
        found = []
        for mined, index, log in self._chain.logs(first, last):
            if (not accounts or log.address in accounts) and _has_topics(log, topics):
                found.append(_log(mined, index, log))
                if len(found) > limits.CHAIN_LOGS_MAX:
                    raise Refused(f"more than {limits.CHAIN_LOGS_MAX} logs at once", number=-32005)
        return found

    def _last(self, tag: Any) -> int:
        return self._chain.head.block_number if tag in ("latest", "pending") else int(tag, 16)

    # --- for tests ----------------------------------------------------------------------------------------------

    def _mine(self, _when: Any = None) -> str:
        self._chain.mine()
        return "0x0"

    def _mine_many(self, count: int | str = 1) -> None:
        blocks = _count(count)
        if not 1 <= blocks <= limits.CHAIN_MINED_BLOCKS_MAX:
            raise Refused(f"1 to {limits.CHAIN_MINED_BLOCKS_MAX} blocks at once", number=-32602)
        for _ in range(blocks):
            self._chain.mine()

    def _rollback(self, count: int | str = 1) -> None:
        """Take blocks back; their transactions are gone, as on anvil."""
        self._chain.take_back(_count(count), is_dropped=True)

    def _reorg(self, count: int | str, is_dropped: bool = False) -> str:
        """Have another branch, one block longer and empty, take the place of the last blocks; return the new head.

        The transactions wait for a later block, or with `is_dropped` until somebody offers them again.
        """
        blocks = _count(count)
        self._chain.take_back(blocks, is_dropped=bool(is_dropped))
        for _ in range(blocks + 1):
            self._chain.mine(transactions_max=0)
        return hex(self._chain.head.block_number)

    def _increase_time(self, seconds: int | str) -> str:
        by = _count(seconds)
        if not 0 <= by < 2**32:
            raise Refused("time only goes forward", number=-32602)
        self._chain.ahead_s += by
        return hex(self._chain.ahead_s)

    def _set_automine(self, is_on: bool) -> bool:
        self._chain.is_automining = bool(is_on)
        return True


def _count(given: int | str) -> int:
    return int(given, 16) if isinstance(given, str) else int(given)


def _log(mined: Mined, index: int, log: LogAPI) -> dict[str, Any]:
    return {
        "address": _hex(log.address),
        "topics": [_hex(topic.to_bytes(32, "big")) for topic in log.topics],
        "data": _hex(log.data),
        "blockNumber": hex(mined.block.number),
        "blockHash": _hex(mined.block.hash),
        "transactionHash": _hex(mined.transaction.hash),
        "transactionIndex": hex(mined.index),
        "logIndex": hex(index),
        "removed": False,
    }


def _has_topics(log: LogAPI, wanted: list[Any]) -> bool:
    if len(wanted) > len(log.topics):
        return False
    for topic, options in zip(log.topics, wanted, strict=False):
        texts = [options] if isinstance(options, str) else options
        if texts and topic not in {int(text, 16) for text in texts}:
            return False
    return True


def _call_request(request: dict[str, Any]) -> CallRequest:
    gas = int(request["gas"], 16) if "gas" in request else limits.CHAIN_TRANSACTION_GAS_MAX
    return CallRequest(
        sender=_bytes(request.get("from") or "0x" + "00" * 20, 20),
        to=_bytes(request["to"], 20) if request.get("to") else b"",
        value=int(request.get("value", "0x0"), 16),
        data=_bytes(request.get("data") or request.get("input") or "0x"),
        gas=min(gas, GAS_LIMIT),
    )


def _account(text: str) -> Address:
    return Address(_bytes(text, 20))


def _bytes(text: str, size: int | None = None) -> bytes:
    if not text.startswith("0x"):
        raise ValueError("bytes begin with 0x")
    data = bytes.fromhex(text[2:])
    if size is not None and len(data) != size:
        raise ValueError(f"{size} bytes are wanted")
    return data


def _hex(data: bytes) -> str:
    return "0x" + bytes(data).hex()


def _failure(number: Any, code: int, message: str, **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message, **more}}


def _packed(answer: Any) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()
