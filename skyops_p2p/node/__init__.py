"""The trio shell around the core: the Node, its dispatcher, its sessions and its identity."""
