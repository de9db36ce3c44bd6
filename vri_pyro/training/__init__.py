"""Training loop: stages, batches, state, evaluation, checkpoints, run folder and loggers."""
