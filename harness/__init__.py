"""Measures machine-learning interatomic potentials on seen molecules and on unseen combinations."""
