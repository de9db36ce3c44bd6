"""Experiments from their configuration, and finished runs opened again."""
