"""Training of reference models on the `train` split of one task."""
