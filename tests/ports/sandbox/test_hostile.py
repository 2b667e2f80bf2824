"""Mallory's jobs against the runtimes that run real processes: each ends as stated, and the node stays up.

What any runtime can be tried with is in test_basics.py; wasm has no processes, and its own cases.
"""

import errno
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys

import pytest
import trio

from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import ExitKind
from tests.ports.sandbox.box import DEADLINE_S, limits_with, read_until
from tests.ports.sandbox.conftest import RUNTIMES, skip_unless_there
from tests.ports.sandbox.test_greedy import FORK_BOMB, MEMORY_HOG

CORE_PATTERN = trio.Path("/proc/sys/kernel/core_pattern")
ENDLESS = "print('begun', flush=True)\nwhile True: pass"
SYSTEM_CALLS = """
import ctypes, json
libc = ctypes.CDLL(None, use_errno=True)
def number_of(call):
    ctypes.set_errno(0)
    return ctypes.get_errno() if call() == -1 else 0
print(json.dumps({
    "mount": number_of(lambda: libc.mount(b"none", b"/work", b"tmpfs", 0, None)),
    "umount": number_of(lambda: libc.umount2(b"/proc", 2)),
    "ptrace": number_of(lambda: libc.ptrace(16, 1, 0, 0)),
    "unshare": number_of(lambda: libc.unshare(0x10000000)),
    "chroot": number_of(lambda: libc.chroot(b"/work")),
    "sethostname": number_of(lambda: libc.sethostname(b"x", 1)),
    "setuid": number_of(lambda: libc.setuid(0)),
    "mknod": number_of(lambda: libc.mknod(b"/work/disk", 0o60666, 0x0801)),
    "bpf": number_of(lambda: libc.syscall(321, 0, 0, 0)),
    "keyctl": number_of(lambda: libc.syscall(250, 0, 0, 0)),
}))
"""
CAPABILITIES = """
rows = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
import os
print([rows[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")], os.getuid() != 0)
"""
OPENS = """
import json, sys
said = {}
for path in sys.argv[2:]:
    try:
        open(path, sys.argv[1]).close()
        said[path] = "opened"
    except OSError as error:
        said[path] = "refused"
print(json.dumps(said))
"""
CONNECTS = """
import socket, sys
for host, port in (("127.0.0.1", int(sys.argv[1])), ("192.0.2.1", 80)):
    try:
        socket.create_connection((host, port), 5)
        print("connected")
    except OSError as error:
        print("refused")
try:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
    print("raw")
except OSError:
    print("refused")
try:
    socket.gethostbyname("example.org")
    print("resolved")
except OSError:
    print("refused")
"""


@pytest.fixture(params=["native", "docker"])
def runtime(request) -> str:
    skip_unless_there(request.param, RUNTIMES[request.param].missing())
    return request.param


async def test_ignoring_sigterm_does_not_help(box):
    program = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + ENDLESS
    with trio.fail_after(DEADLINE_S):
        spec = box.spec(program)
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await read_until(running, b"begun")
            assert (await running.stop(grace_s=0.3)).kind is ExitKind.STOPPED


async def test_a_program_that_hears_sigterm_may_save_its_state(box):
    program = (
        "import signal, sys\n"
        "def save(*_):\n    open('/out/saved', 'w').write('state'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "print('begun', flush=True)\nwhile True: signal.pause()"
    )
    with trio.fail_after(DEADLINE_S):
        spec = box.spec(program)
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await read_until(running, b"begun")
            assert (await running.stop(grace_s=DEADLINE_S)).kind is ExitKind.STOPPED
    assert (box.out / "saved").read_text() == "state"


async def test_a_signal_reaches_the_program(box):
    program = (
        "import os, signal\n"
        "signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b'heard'))\n"
        "print('begun', flush=True)\nwhile True: signal.pause()"
    )
    with trio.fail_after(DEADLINE_S):
        spec = box.spec(program)
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await read_until(running, b"begun")
            await running.signal(signal.SIGUSR1)
            await read_until(running, b"heard")
            await running.stop(grace_s=0)
            with pytest.raises(ExecutionError) as caught:
                await running.signal(signal.SIGUSR1)
    assert caught.value.code == "sandbox_ended"


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL, signal.SIGUSR2])
async def test_death_by_signal_is_told_apart(box, number):
    program = (
        f"import os, signal\nsignal.signal({int(number)}, signal.SIG_DFL) if {int(number)} != 9 else 0\n"
    )
    done = await box.run(program + f"os.kill(os.getpid(), {int(number)})")
    assert (done.end.kind, done.end.signal, done.end.exit_code) == (ExitKind.SIGNALLED, number, None)
    assert number.name in done.end.text


async def test_host_files_are_not_there(box):
    secret = box.folder.parent / "secret"
    secret.write_text("of the host")
    paths = [
        str(secret),
        str(box.folder),
        "/etc/shadow",
        "/root/.bashrc",
        "/var/run/docker.sock",
        "/proc/kcore",
    ]
    paths += [
        str(box.folder.parent / "data"),
        "/dev/sda",
        "/dev/mem",
        "/dev/kmsg",
        "/sys/kernel/debug",
        "/etc/machine-id",
    ]
    done = await box.run(OPENS, "rb", *paths)
    said = json.loads(done.text)
    # An engine covers /proc/kcore with an empty device; what counts is that nothing can be read.
    assert {path: word for path, word in said.items() if word == "opened" and path != "/proc/kcore"} == {}


async def test_a_link_that_was_left_for_the_node_leads_nowhere(box):
    done = await box.run("import os\nos.symlink('/etc/passwd', '/out/link')\nos.symlink('..', '/out/up')")
    assert done.end.exit_code == 0
    assert (box.out / "link").is_symlink()


async def test_nothing_outside_the_mounts_can_be_written(box):
    paths = [
        "/x",
        "/usr/x",
        "/bin/x",
        "/etc/x",
        "/etc/passwd",
        "/in/x",
        "/dev/x",
        "/usr/bin/env",
        "/sys/x",
        "/proc/x",
    ]
    said = json.loads((await box.run(OPENS, "wb", *paths)).text)
    assert set(said.values()) == {"refused"}, said


async def test_settings_of_the_kernel_cannot_be_written(box):
    before = await CORE_PATTERN.read_text()
    paths = [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
    ]
    said = json.loads((await box.run(OPENS, "wb", *paths)).text)
    assert set(said.values()) == {"refused"}, said
    assert await CORE_PATTERN.read_text() == before


async def test_there_is_no_network(box):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = await box.run(CONNECTS, str(listener.getsockname()[1]))
        assert done.text.split() == ["refused"] * 4
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_dangerous_system_calls_fail(box):
    said = json.loads((await box.run(SYSTEM_CALLS)).text)
    refused = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EINVAL}
    # Engines allow it among a container's own processes, of which none has more rights than another.
    allowed = {"ptrace"} if box.runtime == "docker" else set()
    assert {name for name, number in said.items() if number not in refused} <= allowed, said


async def test_it_has_no_capability_and_cannot_get_one(box):
    done = await box.run(CAPABILITIES)
    none = "0" * 16
    assert done.text.strip() == f"{[none, none, none, '1', '2']} True"


async def test_zombies_and_orphans_go_with_it(box):
    program = (
        "import os, time\n"
        "for _ in range(12):\n"
        "    if os.fork() == 0: os._exit(0)\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        while True: time.sleep(600)\n"
        "    os._exit(0)\n"
        "print('left')"
    )
    done = await box.run(program)
    assert (done.end.kind, done.end.exit_code, done.text.strip()) == (ExitKind.EXITED, 0, "left")
    assert await box.sandbox.reap() == 0


async def test_closing_its_output_does_not_end_it(box):
    done = await box.run(
        "import os\nfor n in (1, 2): os.close(n)\nopen('/out/after', 'w').write('x')\nos._exit(3)"
    )
    assert (done.end.kind, done.end.exit_code) == (ExitKind.EXITED, 3)
    assert (box.out / "after").exists()


async def test_a_paused_program_stands_still_and_can_be_stopped(box):
    program = (
        "import itertools\n"
        "for n in itertools.count():\n"
        "    open('/out/count', 'w').write(str(n))\n"
        "    if n == 1: print('begun', flush=True)\n"
    )
    with trio.fail_after(DEADLINE_S):
        spec = box.spec(program)
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await read_until(running, b"begun")
            await running.pause()
            used, said = (await running.usage()).cpu_s, (box.out / "count").read_bytes()
            for _ in range(20):
                await trio.lowlevel.checkpoint()
                assert (box.out / "count").read_bytes() == said
            assert (await running.usage()).cpu_s == used
            await running.resume()
            await running.resume()
            while (box.out / "count").read_bytes() in (said, b""):  # noqa: ASYNC110 - files send no events
                await trio.sleep(0.01)
            await running.pause()
            assert (await running.stop(grace_s=5)).kind is ExitKind.STOPPED
            with pytest.raises(ExecutionError) as caught:
                await running.pause()
    assert caught.value.code == "sandbox_ended"


async def test_an_endless_loop_that_is_paused_still_ends_with_its_time(box):
    with trio.fail_after(DEADLINE_S):
        # Long enough to be paused first on a machine that is busy with other tests.
        spec = box.spec(ENDLESS, limits=limits_with(wall_s=10.0))
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await read_until(running, b"begun")
            await running.pause()
            assert (await running.wait()).kind is ExitKind.TIMED_OUT


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("/no/such/program",), "no/such"),
        (("no-such-program",), ""),
        (("/in/data",), ""),
        (("/in",), ""),
        (("/in/foreign",), "PowerPC"),
        (("/in/script",), ""),
    ],
)
async def test_what_cannot_be_executed_is_told(box, command, words):
    (box.folder / "in" / "data").write_text("no program")
    foreign = box.folder / "in" / "foreign"
    foreign.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 21) + bytes(100))
    script = box.folder / "in" / "script"
    script.write_text("#!/no/such/interpreter\n")
    foreign.chmod(0o755)
    script.chmod(0o755)
    done = await box.run_spec(box.spec("", command=command))
    assert done.end.kind is ExitKind.NOT_STARTED, done
    assert (done.end.exit_code, done.end.signal) == (None, None)
    assert words in done.end.text


async def test_others_go_on_beside_a_fork_bomb_and_a_memory_hog(box):
    innocent = (
        "import os, signal\n"
        "signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b'well'))\n"
        "print('begun', flush=True)\nwhile True: signal.pause()"
    )
    with trio.fail_after(DEADLINE_S):
        spec = box.spec(innocent)
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        async with box.sandbox.start(spec) as running:
            await read_until(running, b"begun")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(box.run, FORK_BOMB)
                nursery.start_soon(box.run, MEMORY_HOG)
            await running.signal(signal.SIGUSR1)
            await read_until(running, b"well")
            assert (await running.stop(grace_s=0)).kind is ExitKind.STOPPED


@pytest.mark.process
async def test_a_killed_node_leaves_no_program_and_its_traces_are_reaped(
    open_box, runtime, request, tmp_path
):
    address = request.getfixturevalue("engine").address if RUNTIMES[runtime].needs_engine else ""
    node = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-m", "tests.ports.sandbox.doomed_node", runtime, str(tmp_path), address],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # it will have no time to clean up
    )
    with trio.fail_after(DEADLINE_S):
        try:
            assert node.stdout is not None
            assert await trio.to_thread.run_sync(node.stdout.readline) == b"begun\n"
        finally:
            node.kill()
            node.wait()
            node.stdout.close()
        async with open_box(tmp_path) as box:
            assert await box.sandbox.reap() == 1
            assert await box.sandbox.reap() == 0
        with (tmp_path / "mounts" / "out" / "held").open("rb") as held:
            while True:  # the program holds this lock as long as it lives
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await trio.sleep(0.01)


def test_the_tests_run_where_they_must() -> None:
    assert os.environ.get("CI") != "true" or not RUNTIMES["native"].missing()
