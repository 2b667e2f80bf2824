"""Adapters: each implements one port over one foreign thing. They do not know each other."""
