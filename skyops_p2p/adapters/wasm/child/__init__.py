"""The far side of the wasm runtime: processes that run modules. Nothing of the node is here: no keys, no trio.

parent.py     the preloaded process from which all others are forked
job.py        one child from its fork to its end
confinement.py  resource limits of the process
engine.py     how modules are compiled
machine.py    a module with its memory, its meters, and the functions that it may call
world.py      clocks, randomness, sleep and exit as the module sees them
disk.py       the gate through which a module writes
programs.py   `_start`, other functions, steps
snapshots.py  the state of a step module in a file
"""
