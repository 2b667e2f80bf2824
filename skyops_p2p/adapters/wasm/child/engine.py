"""How modules are compiled: the same settings when code is made and when it is loaded.

Fuel makes every loop iteration and block count; epochs make loops look whether somebody wants to interrupt. Both
together cost as much as one alone. Where results are compared bit for bit, NaNs have one form, which costs another
half again: that code is made for jobs of the verification class "exact" alone.
Source: docs.wasmtime.dev, "Interrupting Wasm Execution" and "Deterministic Wasm Execution".
"""

import wasmtime

from skyops_p2p import limits


def open_engine(*, is_deterministic: bool, is_parallel: bool = False) -> wasmtime.Engine:
    """Return an engine with our settings; a change needs a new SETTINGS_VERSION in modules.py.

    Args:
        is_deterministic: One form for NaNs.
        is_parallel: Compile on all cores. It starts threads, so not before a fork.
    """
    config = wasmtime.Config()
    config.consume_fuel = True
    config.epoch_interruption = True
    config.max_wasm_stack = limits.WASM_STACK_BYTES
    config.wasm_threads = False
    config.wasm_memory64 = False
    config.cranelift_nan_canonicalization = is_deterministic
    config.wasm_relaxed_simd_deterministic = is_deterministic
    config.parallel_compilation = is_parallel
    return wasmtime.Engine(config)


def compile_module(module: bytes, *, is_deterministic: bool) -> bytes:
    """Return native code for this machine.

    Raises:
        wasmtime.WasmtimeError: The bytes are no module, or need what the engine does not have.
    """
    engine = open_engine(is_deterministic=is_deterministic, is_parallel=True)
    return bytes(wasmtime.Module(engine, module).serialize())
