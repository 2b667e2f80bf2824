"""Availability seen by witnesses that nobody could choose: drawn, asked, told, counted.

Spec: protocol/08b-probes.md.
"""
