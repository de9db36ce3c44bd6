"""The parts of the converter to ArviZ."""
