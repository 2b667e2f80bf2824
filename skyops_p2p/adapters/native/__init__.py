"""The native runtime: programs of this machine, or of a root file system that came with a job, under bubblewrap.

Only this adapter starts bubblewrap. docs/runtimes.md says what it protects from, and what it does not.
"""

from skyops_p2p.adapters.native.sandbox import NativeSandbox, open_native_sandbox

__all__ = ["NativeSandbox", "open_native_sandbox"]
