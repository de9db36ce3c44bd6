"""Utilities for all packages: errors, files, devices, progress, interruption, provenance and deprecations."""
