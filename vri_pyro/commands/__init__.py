"""What ``vri-pyro`` can do, a command a file."""
