"""The training loop: stages, batches, state, evaluation, checkpoints and the run folder."""
