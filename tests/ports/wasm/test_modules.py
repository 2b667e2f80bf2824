"""Compiled modules: kept, found again, bounded, and only our own are ever loaded."""

import os

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import ExitKind
from tests.ports.wasm.workbench import module_text

pytestmark = pytest.mark.process
TEXT = module_text('(func (export "_start"))')


def compiled(bench) -> list:
    return sorted((bench.folder.parent / "data" / "wasm").glob("*.cwasm"))


async def test_a_module_is_compiled_once_for_each_setting(bench):
    for _ in range(2):
        await bench.run(TEXT)
    [first] = compiled(bench)
    await bench.run(TEXT, is_deterministic=True)
    assert len(compiled(bench)) == 2
    assert first in compiled(bench)


async def test_progress_goes_from_nothing_to_all(bench):
    seen: list[tuple[int, int]] = []
    spec = bench.spec(TEXT)
    await bench.sandbox.prepare(spec, progress=lambda done, total: seen.append((done, total)))
    size = spec.module.stat().st_size
    assert seen == [(0, size), (size, size)]


async def test_two_jobs_that_want_the_same_module_compile_it_once(bench):
    spec = bench.spec(TEXT)
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(lambda: bench.sandbox.prepare(spec, progress=lambda done, total: None))
    assert len(compiled(bench)) == 1
    assert await bench.sandbox.reap() == 0


async def test_files_are_for_this_user_alone(bench):
    await bench.run(TEXT)
    [file] = compiled(bench)
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


async def test_code_that_others_could_have_written_is_not_loaded(bench):
    await bench.run(TEXT)
    compiled(bench)[0].chmod(0o666)
    done = await bench.run(TEXT)
    assert done.end.kind is ExitKind.LOST
    assert "this user's alone" in done.end.text


async def test_code_behind_a_link_is_not_loaded(bench):
    await bench.run(TEXT)
    [file] = compiled(bench)
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))
    assert (await bench.run(TEXT)).end.kind is ExitKind.LOST


async def test_a_directory_that_others_may_write_is_refused(bench):
    folder = bench.folder.parent / "data" / "wasm"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(ExecutionError) as caught:
        await bench.run(TEXT)
    assert caught.value.code == "runtime_unavailable"


async def test_what_was_not_used_for_longest_goes_first(bench, monkeypatch):
    texts = [module_text(f'(func (export "_start")) (func (export "f{n}"))') for n in range(3)]
    await bench.run(texts[0])
    [first] = compiled(bench)
    await bench.run(texts[1])
    [second] = set(compiled(bench)) - {first}
    os.utime(second, (1, 1))
    monkeypatch.setattr(limits, "WASM_CACHE_BYTES_MAX", first.stat().st_size * 5 // 2)
    await bench.run(texts[2])
    assert first in compiled(bench)
    assert second not in compiled(bench)
    assert len(compiled(bench)) == 2


async def test_the_newest_module_stays_even_if_it_alone_is_too_large(bench, monkeypatch):
    monkeypatch.setattr(limits, "WASM_CACHE_BYTES_MAX", 1)
    assert (await bench.run(TEXT)).end.exit_code == 0


async def test_what_a_killed_node_left_half_written_is_removed(bench):
    await bench.run(TEXT)
    left = compiled(bench)[0].with_suffix(".0123.partial")
    left.write_bytes(b"half")
    assert await bench.sandbox.reap() == 1
    assert not left.exists()


async def test_a_module_that_is_too_long_is_refused(bench, monkeypatch):
    monkeypatch.setattr(limits, "WASM_MODULE_BYTES_MAX", 64)
    with pytest.raises(ExecutionError) as caught:
        await bench.run(TEXT)
    assert caught.value.code == "module_invalid"


async def test_compiling_has_a_deadline(bench, monkeypatch):
    monkeypatch.setattr(limits, "SANDBOX_PREPARE_TIMEOUT_S", 0.0)
    with pytest.raises(ExecutionError) as caught:
        await bench.run(TEXT)
    assert caught.value.code == "prepare_timeout"
    assert compiled(bench) == []
