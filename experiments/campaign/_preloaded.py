"""Imported by the server from which the processes of :mod:`campaign._runs` are forked."""

from campaign._runs import preload

preload()
