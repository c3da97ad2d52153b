"""Reads what has been published, and ranks it."""
