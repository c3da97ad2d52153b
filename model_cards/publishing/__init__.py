"""Publishes checkpoints and results on the Hub, and retracts results."""
