"""Reads and ranks published results."""
