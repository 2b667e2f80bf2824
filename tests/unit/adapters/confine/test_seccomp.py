"""The filter of the native runtime, run through a small interpreter of the kernel's packet filter machine."""

import errno
import struct

import pytest

from skyops_p2p.adapters.native.seccomp import MACHINES, filter_program

ALLOW, KILL, FAIL = 0x7FFF0000, 0x80000000, 0x00050000
READ = {"x86_64": 0, "aarch64": 63}


def judge(machine: str, number: int, argument: int = 0, *, audit: int | None = None) -> int:
    program = filter_program(machine)
    assert program is not None
    told = MACHINES[machine].audit if audit is None else audit
    data = struct.pack("<IIQ6Q", number, told, 0, argument, 0, 0, 0, 0, 0)
    steps = list(struct.iter_unpack("<HBBI", program))
    accumulator, place = 0, 0
    while True:
        code, if_true, if_false, value = steps[place]
        place += 1
        if code == 0x20:
            [accumulator] = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            return value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[
                code
            ]
            place += if_true if holds else if_false


@pytest.fixture(params=sorted(MACHINES))
def machine(request) -> str:
    return request.param


def test_ordinary_calls_are_allowed(machine):
    assert judge(machine, READ[machine]) == ALLOW


def test_every_listed_call_fails(machine):
    numbers = MACHINES[machine]
    assert {judge(machine, number) for number in numbers.forbidden} == {FAIL | errno.EPERM}
    assert len(set(numbers.forbidden)) == len(numbers.forbidden) >= 45


def test_processes_and_threads_are_made_but_no_namespaces(machine):
    clone = MACHINES[machine].clone
    assert judge(machine, clone, 0x003D0F00) == ALLOW  # what a thread library asks for
    for bit in (17, 25, 26, 27, 28, 29, 30):
        assert judge(machine, clone, 1 << bit) == FAIL | errno.EPERM
    assert judge(machine, MACHINES[machine].clone3) == FAIL | errno.ENOSYS


def test_only_three_families_of_sockets_are_made(machine):
    for family in range(64):
        expected = ALLOW if family in (1, 2, 10) else FAIL | errno.EAFNOSUPPORT
        assert judge(machine, MACHINES[machine].socket, family) == expected


def test_a_call_by_another_table_kills(machine):
    assert judge(machine, READ[machine], audit=0x40000003) == KILL  # 32-bit x86
    if MACHINES[machine].has_x32:
        assert judge(machine, 0x40000000 + 101) == KILL


def test_a_processor_without_a_table_has_no_filter():
    assert filter_program("riscv64") is None
