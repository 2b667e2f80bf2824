"""The local control API: HTTP on loopback, for the command line, scripts and monitoring."""
