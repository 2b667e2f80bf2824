"""The content shelf: trees are sealed into bundles, fetched from holders, opened, and kept for others."""
