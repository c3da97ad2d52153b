"""Sends checkpoints and results to the Hub, and takes results back."""
