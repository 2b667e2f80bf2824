"""What the adapters of runtimes share: control groups, mounts, the output's bound, the disk's bound, the end in words.

It is no adapter of its own: nothing here starts a program.
"""
