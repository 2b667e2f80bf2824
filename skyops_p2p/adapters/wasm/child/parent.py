"""The preloaded process from which the children are forked: `python -m skyops_p2p.adapters.wasm.child.parent N`.

Importing the engine takes a quarter of a second; a fork takes a few milliseconds. This process holds the engine and
nothing else: no job's data pass through it. It has one thread, makes one child for each request on its socket, and
says to the child's own pipe how it ended. It ends with the node: its socket then reads as closed, and all children
die with it.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from skyops_p2p import limits
from skyops_p2p.adapters.wasm.child.confinement import die_with
from skyops_p2p.adapters.wasm.child.job import Workshop, live, open_workshops

DESCRIPTORS = 4
"""With each request: conversation, stdout, stderr, and the pipe for the end."""


@dataclass
class Parent:
    """The loop.

    Args:
        control: Packets: a request of one byte with DESCRIPTORS, answered by the pid with a descriptor of the child.
        workshops: See Workshop.
    """

    control: socket.socket
    workshops: Mapping[bool, Workshop]
    _children: dict[int, tuple[int, int]] = field(default_factory=dict)
    """{descriptor of the child: (its pid, the pipe for its end)}"""

    def serve(self) -> None:
        """Serve until the node is gone, or nothing was asked for a long time."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        while True:
            ready = poll.poll(limits.WASM_PARENT_IDLE_S * 1000)
            if not ready and not self._children:
                return
            for descriptor, _ in ready:
                if descriptor in self._children:
                    poll.unregister(descriptor)
                    self._bury(descriptor)
                elif (child := self._answer()) is None:
                    return
                elif child >= 0:
                    poll.register(child, select.POLLIN)

    def _answer(self) -> int | None:
        """Read one request; return the new child's descriptor, -1 if there is none, None if the node is gone."""
        request, descriptors, _, _ = socket.recv_fds(self.control, 16, DESCRIPTORS)
        if not request:
            return None
        try:
            if len(descriptors) != DESCRIPTORS or len(self._children) >= limits.WASM_CHILDREN_MAX:
                self.control.send(b"0")
                return -1
            own_pid = os.getpid()
            pid = os.fork()
            if pid == 0:
                self._become_child(own_pid, descriptors)
            child = os.pidfd_open(pid)
            self._children[child] = (pid, os.dup(descriptors[-1]))
            socket.send_fds(self.control, [str(pid).encode()], [child])
            return child
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _bury(self, descriptor: int) -> None:
        """Tell how a child ended."""
        pid, pipe = self._children.pop(descriptor)
        os.close(descriptor)
        _, status, usage = os.wait4(pid, 0)
        report = {
            "status": os.waitstatus_to_exitcode(status),
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "memory_peak_bytes": usage.ru_maxrss * 1024,
        }
        with contextlib.suppress(BrokenPipeError):  # the node has left this job: nobody wants to know
            os.write(pipe, json.dumps(report).encode())
        os.close(pipe)

    def _become_child(self, parent_pid: int, descriptors: list[int]) -> None:
        """Live one child's life; never returns."""
        code = 1
        try:
            die_with(parent_pid)
            self.control.close()
            for descriptor, (_, pipe) in self._children.items():
                os.close(descriptor)
                os.close(pipe)
            conversation, out, err, end = descriptors
            os.dup2(out, 1)
            os.dup2(err, 2)
            for descriptor in (out, err, end):
                os.close(descriptor)
            live(conversation, self.workshops)
            code = 0
        finally:
            # At once: no destructor of the engine runs, and no traceback of ours lands in the job's log.
            os._exit(code)


def main() -> None:
    """Serve on the descriptor named by the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the node, which ends us its own way
    control = socket.socket(fileno=int(sys.argv[1]))
    workshops = open_workshops()
    gc.collect()
    gc.freeze()  # so that collections in children do not copy the pages that all share
    Parent(control, workshops).serve()


if __name__ == "__main__":
    main()
