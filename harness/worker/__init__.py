"""Runs a potential in a separate process, possibly with another Python interpreter."""
