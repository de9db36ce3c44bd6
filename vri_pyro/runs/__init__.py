"""Configure and run experiments, and load finished runs."""
