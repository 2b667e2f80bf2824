"""The command line, `skyops`."""
