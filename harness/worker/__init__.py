"""Runs a potential in a process of its own, which may be another interpreter."""
