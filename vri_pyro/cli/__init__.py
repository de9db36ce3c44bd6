"""The command line, ``vri-pyro``; one file per command."""
