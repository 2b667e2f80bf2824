"""Reputation at a node: what it holds becomes scores, and who uses them."""
