"""Building blocks of :func:`~vri_pyro.diagnostics.from_pyro_svi`, the converter to ArviZ."""
