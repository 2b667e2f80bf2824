"""Test networks on one machine: real processes, real sockets, faults on purpose, and no supervisor.

The launcher starts node processes that live on by themselves and writes down who they are; every later command
finds them through that record. Test networks side by side have different network names and never mix.
"""
