"""One child, from its fork to its end: it hears what it shall do, does it, says how it ended, and is gone."""

import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import wasmtime

from skyops_p2p import limits
from skyops_p2p.adapters.wasm.child.confinement import become, confine
from skyops_p2p.adapters.wasm.child.disk import GateModules
from skyops_p2p.adapters.wasm.child.engine import compile_module, open_engine
from skyops_p2p.adapters.wasm.child.machine import Machine
from skyops_p2p.adapters.wasm.child.orders import Orders
from skyops_p2p.adapters.wasm.child.programs import run_to_end
from skyops_p2p.adapters.wasm.frames import (
    BlockingConversation,
    CompileRequest,
    RunRequest,
    decode_request,
)


@dataclass(frozen=True, slots=True)
class Workshop:
    """What is made once in the parent, and is there in every child."""

    engine: wasmtime.Engine
    gates: GateModules


def open_workshops() -> dict[bool, Workshop]:
    """Make both: {whether runs are deterministic: workshop}."""
    engines = {
        is_deterministic: open_engine(is_deterministic=is_deterministic) for is_deterministic in (False, True)
    }
    return {key: Workshop(engine, GateModules(engine)) for key, engine in engines.items()}


def live(descriptor: int, workshops: Mapping[bool, Workshop]) -> None:
    """Do one request.

    Args:
        descriptor: This end of the conversation.
        workshops: As made in the parent.
    """
    conversation = BlockingConversation.from_descriptor(descriptor)
    try:
        message = conversation.read()
        if message is None:
            return
        request = decode_request(message)
        if isinstance(request, CompileRequest):
            _compile(request, conversation)
        else:
            _run(request, conversation, workshops[request.is_deterministic])
    except Exception as error:  # noqa: BLE001 - the edge of a process: the node must hear of it
        conversation.write({"failure": f"{type(error).__name__}: {error}"[: limits.WASM_PROBLEM_CHARS_MAX]})


def _run(request: RunRequest, conversation: BlockingConversation, workshop: Workshop) -> None:
    confine(
        data_bytes_max=request.memory_bytes_max,
        file_bytes_max=request.file_bytes_max,
        # A snapshot may be a little longer than the memory in it: what does not deflate grows by its headers.
        file_bytes_hard_max=request.memory_bytes_max + request.memory_bytes_max // 8 + limits.WASM_READ_BYTES,
    )
    orders = Orders(conversation, workshop.engine.increment_epoch)
    threading.Thread(target=orders.listen, daemon=True, name="orders").start()
    machine = Machine(request, workshop.engine, workshop.gates, orders)
    orders.tell({"end": run_to_end(machine, request, orders)})


def _compile(request: CompileRequest, conversation: BlockingConversation) -> None:
    os.nice(limits.WASM_COMPILE_NICENESS)
    confine(
        data_bytes_max=request.memory_bytes_max,
        file_bytes_max=limits.WASM_COMPILED_BYTES_MAX,
        file_bytes_hard_max=limits.WASM_COMPILED_BYTES_MAX,
    )
    orders = Orders(conversation, lambda: None)
    threading.Thread(target=orders.listen, daemon=True, name="orders").start()
    orders.tell({"compiled": _compile_to_file(request)})


def _compile_to_file(request: CompileRequest) -> dict[str, object]:
    with Path(request.module).open("rb") as file:
        module = file.read(limits.WASM_MODULE_BYTES_MAX + 1)
    if hashlib.sha256(module).hexdigest() != request.digest:
        return {"problem": "it changed while it was read"}
    descriptor = os.open(request.target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        become(request.user)
        try:
            code = compile_module(module, is_deterministic=request.is_deterministic)
        except wasmtime.WasmtimeError as error:
            return {"problem": " ".join(str(error).split())[: limits.WASM_PROBLEM_CHARS_MAX]}
        file.write(code)
        file.flush()
        os.fsync(file.fileno())
    return {"problem": "", "bytes": len(code)}
