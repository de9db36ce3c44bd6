"""The command line, ``vri-pyro``: one file a command."""
