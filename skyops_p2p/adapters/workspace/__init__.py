"""Directories for plaintext that exist while a job runs, and the reader of what a job left in them."""

from skyops_p2p.adapters.workspace.tree import TreeFile, TreeNote, open_in_tree, walk_tree

__all__ = ["TreeFile", "TreeNote", "open_in_tree", "walk_tree"]
