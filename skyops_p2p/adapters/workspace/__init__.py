"""Directories for plaintext that exist while a job runs, and the reader of what a job left in them."""

from skyops_p2p.adapters.workspace.tree import TreeFile, TreeNote, open_in_tree, walk_tree
from skyops_p2p.adapters.workspace.workspace import LocalWorkspace, open_workspace

__all__ = ["LocalWorkspace", "TreeFile", "TreeNote", "open_in_tree", "open_workspace", "walk_tree"]
