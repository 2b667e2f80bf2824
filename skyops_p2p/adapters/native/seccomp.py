"""The system call filter of the native runtime, as a program for the kernel's packet filter machine.

A list of what is forbidden, as container engines have it, written by hand for two processors: what could reach
outside the sandbox or into the kernel's less-travelled parts. Programs see EPERM, or ENOSYS for clone3 (whose flags
lie in memory that a filter cannot read; libraries then use clone). Sources: seccomp(2), the kernel's syscall tables
(x86 syscall_64.tbl, asm-generic unistd.h), linux/audit.h, linux/filter.h.
"""

import errno
import platform
import struct
from dataclasses import dataclass

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ALLOW, _FAIL = 0x80000000, 0x7FFF0000, 0x00050000
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
"""Offsets in struct seccomp_data; both machines are little-endian, so the low half of an argument comes first."""
_X32_BIT = 0x40000000
_NEW_NAMESPACE_FLAGS = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_SOCKET_FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET, AF_INET6; the namespace has no interface but loopback."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Numbers of one processor's system calls."""

    audit: int
    """AUDIT_ARCH_*: which table the number belongs to."""
    clone: int
    clone3: int
    socket: int
    forbidden: tuple[int, ...]
    has_x32: bool = False


_FORBIDDEN: dict[str, tuple[int | None, ...]] = {
    # name: (x86_64, aarch64); None where the machine has no such call
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}


def _forbidden(column: int) -> tuple[int, ...]:
    numbers = (row[column] for row in _FORBIDDEN.values())
    return tuple(sorted(number for number in numbers if number is not None))


MACHINES = {
    "x86_64": Machine(0xC000003E, clone=56, clone3=435, socket=41, forbidden=_forbidden(0), has_x32=True),
    "aarch64": Machine(0xC00000B7, clone=220, clone3=435, socket=198, forbidden=_forbidden(1)),
}


def filter_program(machine: str = "") -> bytes | None:
    """Return the filter for a processor, this one's by default; None for one whose numbers are not known here."""
    numbers = MACHINES.get(machine or platform.machine())
    return None if numbers is None else b"".join(_steps(numbers))


def _steps(numbers: Machine) -> list[bytes]:
    steps = [
        _step(_LOAD, _MACHINE_AT),
        _step(_IF_EQUAL, numbers.audit, skip_if=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_AT),
    ]
    if numbers.has_x32:  # a second table of the same calls, which the list below would miss
        steps += [_step(_IF_AT_LEAST, _X32_BIT, skip_else=1), _step(_RETURN, _KILL)]
    steps += _refuse(numbers.clone3, errno.ENOSYS)
    steps += [
        _step(_IF_EQUAL, numbers.clone, skip_else=4),
        _step(_LOAD, _FIRST_ARGUMENT_AT),
        _step(_IF_ANY_BIT, _NEW_NAMESPACE_FLAGS, skip_else=1),
        _step(_RETURN, _FAIL | errno.EPERM),
        _step(_RETURN, _ALLOW),
    ]
    for number in numbers.forbidden:
        steps += _refuse(number, errno.EPERM)
    families = len(_SOCKET_FAMILIES)
    steps += [
        _step(_IF_EQUAL, numbers.socket, skip_else=families + 2),
        _step(_LOAD, _FIRST_ARGUMENT_AT),
        *(
            _step(_IF_EQUAL, family, skip_if=families - place)
            for place, family in enumerate(_SOCKET_FAMILIES)
        ),
        _step(_RETURN, _FAIL | errno.EAFNOSUPPORT),
    ]
    return [*steps, _step(_RETURN, _ALLOW)]


def _refuse(number: int, error: int) -> list[bytes]:
    return [_step(_IF_EQUAL, number, skip_else=1), _step(_RETURN, _FAIL | error)]


def _step(code: int, value: int, *, skip_if: int = 0, skip_else: int = 0) -> bytes:
    """Encode struct sock_filter."""
    return struct.pack("<HBBI", code, skip_if, skip_else, value)
