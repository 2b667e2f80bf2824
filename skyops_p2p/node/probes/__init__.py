"""Witnessed probes at one node: the shell around core/probes. Spec: protocol/08b-probes.md."""
