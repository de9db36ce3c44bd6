"""The named configurations, installed as ``vri_pyro.configs``."""
