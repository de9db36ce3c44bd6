"""A broad bench: data sets of three kinds, cells drawn at random, and methods with nothing tuned to the data."""
