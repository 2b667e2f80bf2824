"""Which modules keep state where no snapshot can reach it."""

import pytest
import wasmtime

from skyops_p2p.adapters.wasm.structure import hidden_state, is_module


def reason(body: str) -> str:
    return hidden_state(bytes(wasmtime.wat2wasm(f"(module {body})")))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "(global i64 (i64.const 1))",
        "(global (mut i32) (i32.const 66560))",
        '(global (export "a") (mut f64) (f64.const 1)) (global (export "b") (mut f32) (f32.const 1))',
        '(global (export "a") (mut i64) (i64.const -1)) (global (mut i32) (i32.const -129))',
        "(func $f) (elem declare func $f) (global funcref (ref.func $f)) (global funcref (ref.null func))",
        "(global $a i32 (i32.const 1)) (global i32 (i32.add (global.get $a) (i32.const 2)))",
    ],
)
def test_nothing_or_a_stack_pointer_is_hidden(body):
    assert reason(body) == ""


@pytest.mark.parametrize(
    "body",
    [
        "(global (mut i64) (i64.const 1))",
        "(global (mut i32) (i32.const 1)) (global (mut i32) (i32.const 1))",
        '(global (mut f32) (f32.const 1)) (func (export "a"))',
    ],
)
def test_other_mutable_globals_are(body):
    assert "not exported" in reason(body)


def test_bytes_that_end_early_cannot_be_read():
    data = bytes(wasmtime.wat2wasm("(module (global (mut i32) (i32.const 1)))"))
    assert hidden_state(data[:-2]) == "its globals cannot be read"


def test_only_core_modules_of_version_1_are_modules():
    assert is_module(b"\0asm\x01\0\0\0")
    assert not is_module(b"\0asm\x0d\0\x01\0")
    assert not is_module(b"(module)")
